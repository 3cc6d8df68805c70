"""Says what a stranger's model, dataset, run folder, plan, rules or profile holds that should be known before use.

    sft-advisor doctor vet ./model --against org/model      also: is each file the one that the hub publishes?

Nothing is loaded or run, and nothing fetched but, with --against, the list of digests. Exit code 0 when nothing was
found, 2 when something was.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.base.errors import EXIT_BAD_INPUT, EXIT_OK

if TYPE_CHECKING:
    from advisor.trust.look import Known, Vetted
    from rules.engine import RuleBook


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to look at."""
    parser.add_argument("name", metavar="NAME", help="a model, dataset, run, plan, answers, rules or profile")
    parser.add_argument(
        "--against", metavar="ORG/NAME", help="the hub's model or dataset that a folder is said to be"
    )
    parser.add_argument("--rules", metavar="DIR", type=Path, help="rules of your own, added to the book")
    parser.add_argument("--json", action="store_true", help="the findings as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Look, judge by the SEC-* rules, print."""
    from advisor.commands.output import show, write_json
    from advisor.commands.rulebook import read_rule_book
    from advisor.report.vet import findings

    found = vetted(arguments.name, read_rule_book(arguments.rules), against=arguments.against)
    if arguments.json:
        write_json(found)
    else:
        show(findings(found))
    return EXIT_BAD_INPUT if found.findings else EXIT_OK


def vetted(name: str, book: RuleBook, *, against: str | None = None) -> Vetted:
    """What the rules on trust say of what lies at `name`. Raises InputError when there is nothing."""
    from advisor.base.sandbox import sandboxed
    from advisor.trust.look import Finding, Known, Vetted

    kind, facts = sandboxed(Known, lambda: _look(name, against))
    about_trust = {rule.id for rule in book.rules if "trust." in rule.when}
    fired = [trace for trace in book.judge(facts, only_fired=True) if trace.rule_id in about_trust]
    return Vetted(
        name=name,
        kind=kind,
        findings=tuple(
            Finding(rule=t.rule_id, title=t.title, what=t.message, why=t.because, fix=t.fix) for t in fired
        ),
    )


def _look(name: str, against: str | None) -> Known:
    from advisor.base.sandbox import lock_down
    from advisor.trust.look import folder_kind, trust_facts
    from advisor.trust.published import published_files
    from trainers.foreign.files import bytes_at
    from trainers.foreign.limits import bounded_memory

    published = published_files(against, folder_kind(name)) if against else None
    lock_down(bytes_at(Path(name).expanduser()))
    with bounded_memory():
        return trust_facts(name, published)
