"""The rule book: list it, check and test rules (bundled, or your own in DIR), start a new one, run scenarios.

sft-advisor rules list
sft-advisor rules new ACME-01 "A 4-bit base in production" --in my-rules
sft-advisor rules check my-rules
sft-advisor rules test my-rules
sft-advisor rules scenario tests/scenarios/S01.toml
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.base.errors import EXIT_BAD_INPUT, EXIT_OK, InputError, Problem
from advisor.base.language import tr
from advisor.commands.output import remark, show, write_json, write_text
from rules.rule import EFFECTS

if TYPE_CHECKING:
    from advisor.report.documents import Agreement
    from rules.engine import RuleBook


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One subcommand each."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|check|test|new|scenario")
    listing = actions.add_parser("list", help="every rule in one line")
    listing.add_argument("directory", metavar="DIR", nargs="?", type=Path, help="rules of your own, on top")
    listing.add_argument("--group", help="only of one group, such as quality")
    listing.add_argument("--effect", choices=EFFECTS, help="only with one effect")
    listing.add_argument("--json", action="store_true")
    check = actions.add_parser("check", help="load, type-check and test rules, and search for conflicts")
    check.add_argument("directory", metavar="DIR", nargs="?", type=Path, help="your own; without it the bundled book")
    check.add_argument("--json", action="store_true")
    test = actions.add_parser("test", help="run the cases in the rule files")
    test.add_argument("directory", metavar="DIR", nargs="?", type=Path)
    test.add_argument("--json", action="store_true", help="every case, and whether it holds")
    new = actions.add_parser("new", help="write a working rule to start from")
    new.add_argument("id", metavar="ID", help="such as ACME-01")
    new.add_argument("title", metavar="TITLE", help="names the situation, not the remedy")
    new.add_argument("--effect", choices=EFFECTS, default="warn")
    new.add_argument("--in", dest="directory", metavar="DIR", type=Path, default=Path("my-rules"))
    scenario = actions.add_parser("scenario", help="answers in, expected advice out: run scenario files")
    scenario.add_argument("files", metavar="FILE", nargs="+", type=Path, help="files, or folders of them")
    scenario.add_argument("--json", action="store_true")
    scenario.add_argument("--rules", dest="directory", metavar="DIR", type=Path)


def run(arguments: argparse.Namespace) -> int:
    """Do one of them."""
    actions: dict[str, Callable[[argparse.Namespace], int]] = {
        "list": _list,
        "check": _check,
        "test": _test,
        "new": _new,
        "scenario": _scenario,
    }
    return actions[arguments.action](arguments)


def _load(arguments: argparse.Namespace) -> RuleBook:
    from advisor.commands.rulebook import read_rule_book

    return read_rule_book(arguments.directory)


def _list(arguments: argparse.Namespace) -> int:
    from rules.policy import rule_rows

    found = rule_rows(_load(arguments), group=arguments.group, effect=arguments.effect)
    if arguments.json:
        write_json(found)
    else:
        from advisor.report.rules import rule_list

        show(rule_list(found))
    return EXIT_OK


def _check(arguments: argparse.Namespace) -> int:
    from advisor.report.rules import coverage, policy

    if arguments.directory is None:
        from rules.coverage import measure

        book = _load(arguments)
        found = measure(book)
        if arguments.json:
            write_json(found)
            return EXIT_OK
        show(coverage(found))
        write_text(
            tr(
                "{num_rules} rules and {num_sources} sources load without a problem",
                num_rules=len(book.rules),
                num_sources=len(book.sources),
            )
        )
        return EXIT_OK
    from rules.policy import check_folder

    report = check_folder(arguments.directory)
    write_json(report) if arguments.json else show(policy(report))
    return EXIT_OK if report.passed else EXIT_BAD_INPUT


def _test(arguments: argparse.Namespace) -> int:
    from rules.cases import run_cases
    from rules.policy import own_rules

    book = _load(arguments)
    results = run_cases(book, own_rules(book, arguments.directory) if arguments.directory else None)
    failed = [result for result in results if not result.passed]
    if arguments.json:
        write_json(results)
        return EXIT_BAD_INPUT if failed else EXIT_OK
    for result in failed:
        remark(f"{result.rule_id}: {result.case}: {result.detail}")
    write_text(
        tr(
            "{num_results} cases hold, {num_failed} do not",
            num_results=len(results) - len(failed),
            num_failed=len(failed),
        )
    )
    return EXIT_BAD_INPUT if failed else EXIT_OK


def _new(arguments: argparse.Namespace) -> int:
    from rules.policy import new_rule

    path = new_rule(arguments.directory, arguments.id, arguments.title, arguments.effect)
    write_text(
        tr(
            "wrote {path}; change it, then: sft-advisor rules check {directory}",
            path=path,
            directory=arguments.directory,
        )
    )
    return EXIT_OK


def _scenario(arguments: argparse.Namespace) -> int:
    from advisor.decide.scenarios import run_scenario
    from advisor.report.documents import Agreement
    from rules.scenario import load_scenario

    book = _load(arguments)
    if missing := [path for path in arguments.files if not path.exists()]:
        why = tr("a scenario is a TOML file with answers and the advice that they should get")
        fix = tr("give such files, or folders of them")
        what = [tr("there is nothing at {path}", path=path) for path in missing]
        raise InputError(*(Problem(what=each, why=why, fix=fix) for each in what))
    files = [file for path in arguments.files for file in (sorted(path.glob("*.toml")) if path.is_dir() else [path])]
    if not files:
        remark(tr("error: there is no scenario file in {files}", files=", ".join(map(str, arguments.files))))
        return EXIT_BAD_INPUT
    found = []
    for file in files:
        scenario = load_scenario(file)
        agreement = Agreement(name=scenario.name, title=scenario.title, differences=run_scenario(scenario, book))
        found.append(agreement)
        if not arguments.json:
            _say(agreement)
    failed = sum(bool(each.differences) for each in found)
    if arguments.json:
        write_json(found)
    else:
        write_text(
            tr("{num_files} of {num_files_2} scenarios agree", num_files=len(files) - failed, num_files_2=len(files))
        )
    return EXIT_BAD_INPUT if failed else EXIT_OK


def _say(agreement: Agreement) -> None:
    write_text(f"{'DIFFERS' if agreement.differences else 'agrees':<8} {agreement.name}  {agreement.title}")
    for difference in agreement.differences:
        write_text(f"         {difference}")
