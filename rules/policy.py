"""Tools for an organisation's own rules: check a folder, list a book, write a first rule, run the cases.

Plain data in, plain data out; the command line prints it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from rules.cases import CaseResult, run_cases
from rules.coverage import measure
from rules.engine import RuleBook, load_rule_book
from rules.errors import RuleError, RuleProblem
from rules.load import BOOK, SOURCES_NAME
from rules.rule import EFFECTS, ID_PATTERN, Effect, Rule, Strength, file_name

HOUSE_SOURCE = "house-policy"


class RuleRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `rules list`."""

    schema: Literal["sft-advisor/rules/v1"] = "sft-advisor/rules/v1"
    """Name and version of the document that this is a row of."""
    rule_id: str
    """`sft-advisor explain ID` shows it whole."""
    title: str
    """The situation that it speaks of."""
    group: str
    """The folder of the book that it stands in."""
    effect: Effect
    """gate, veto, prefer, avoid, set or warn."""
    strength: Strength
    """proven, measured, derived, consensus or opinion."""
    weight: int
    """Points that a preference counts; 0 for the others."""
    sets: tuple[str, ...]
    """Fields of the plan that it sets."""
    path: str
    """Its file."""


class PolicyReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was found in a folder of rules that could be loaded."""

    schema: Literal["sft-advisor/policy/v1"] = "sft-advisor/policy/v1"
    """Name and version of this document."""
    rules: tuple[RuleRow, ...]
    """The rules of the folder itself."""
    replaced: tuple[str, ...]
    """Bundled rules whose place they take."""
    failed: tuple[CaseResult, ...]
    """Cases of the folder that do not hold."""
    num_cases: int
    """Cases that were run."""
    conflicts: tuple[str, ...]
    """Two set rules that fire on one field, each as a sentence."""
    notes: tuple[str, ...]
    """Nothing wrong, but worth knowing: a set rule that never wins."""

    @property
    def passed(self) -> bool:
        """Whether every case holds and no two rules set the same field at once."""
        return not self.failed and not self.conflicts


def check_folder(folder: Path, *, samples: int = 200) -> PolicyReport:
    """Load a folder on top of the bundled book, run its cases and search for conflicts.

    Takes about 10 ms a sample. Raises RuleError with every problem of every file when it cannot be loaded.
    """
    book = load_rule_book(folder)
    own = own_rules(book, folder)
    if not own:
        fix = "Write a first one with `sft-advisor rules new`."
        raise RuleError(RuleProblem(what=f"{folder} holds no rules", fix=fix, where=str(folder)))
    results = run_cases(book, own)
    coverage = measure(book, samples=samples)
    ids = {rule.id for rule in own}
    return PolicyReport(
        rules=tuple(row(rule) for rule in own),
        replaced=tuple(rule.replaces for rule in own if rule.replaces),
        failed=tuple(result for result in results if not result.passed),
        num_cases=len(results),
        conflicts=tuple(text for text in coverage.conflicts if any(rule_id in text for rule_id in ids)),
        notes=tuple(
            f"{rule_id} fired, but another rule decided each time: give it overrides = [...]"
            for rule_id in coverage.never_wins
            if rule_id in ids
        ),
    )


def own_rules(book: RuleBook, folder: Path) -> tuple[Rule, ...]:
    """The rules of a book that come from that folder, which may be one of the bundled book."""
    whole = folder.resolve()
    return tuple(
        rule
        for rule in book.rules
        if Path(rule.path).is_relative_to(folder) or (BOOK.parent / rule.path).resolve().is_relative_to(whole)
    )


def rule_rows(book: RuleBook, *, group: str | None = None, effect: str | None = None) -> tuple[RuleRow, ...]:
    """The book as a table, ordered by id."""
    return tuple(row(rule) for rule in book.rules if group in (None, rule.group) and effect in (None, rule.effect))


def row(rule: Rule) -> RuleRow:
    """One rule as a line of a table."""
    return RuleRow(
        rule_id=rule.id,
        title=rule.title,
        group=rule.group,
        effect=rule.effect,
        strength=rule.strength,
        weight=rule.signed_weight,
        sets=tuple(rule.set),
        path=rule.path,
    )


def new_rule(folder: Path, rule_id: str, title: str, effect: Effect = "warn") -> Path:
    """Write a rule with its cases into the folder, ready to be changed; it passes `rules check` as it stands.

    In a folder of the bundled book it does so once it names a source of rules/sources.toml.

    Raises RuleError when the id has the wrong form, is taken, or the file exists; nothing is overwritten.
    """
    problems = list(_new_problems(rule_id, effect))
    path = folder / file_name(rule_id, title)
    if path.exists():
        problems.append(RuleProblem(what=f"{path} exists", fix="Choose another id or title."))
    if problems:
        raise RuleError(*problems)
    folder.mkdir(parents=True, exist_ok=True)
    sources = folder / SOURCES_NAME
    bundled = folder.resolve().is_relative_to(BOOK.resolve())  # one bibliography for the whole book
    if not sources.exists() and not bundled:
        sources.write_text(_SOURCES, encoding="utf-8")
    path.write_text(_template(rule_id, title, effect), encoding="utf-8")
    return path


def _new_problems(rule_id: str, effect: str) -> Iterable[RuleProblem]:
    if not ID_PATTERN.fullmatch(rule_id):
        fix = 'Use capitals, a hyphen and digits, such as "ACME-01".'
        yield RuleProblem(what=f"{rule_id!r} is not a rule id", fix=fix)
    if effect not in EFFECTS:
        yield RuleProblem(what=f"{effect!r} is not an effect", fix=f"It can be {', '.join(EFFECTS)}.")
    if rule_id in {rule.id for rule in load_rule_book().rules}:
        fix = f'Choose another id; to take its place say replaces = "{rule_id}" in the new rule.'
        yield RuleProblem(what=f"the bundled book has a rule {rule_id}", fix=fix)


_SOURCES = f"""# Sources of this folder's rules, beside the bundled ones.

[{HOUSE_SOURCE}]
title = "Our own policy"
year = 2026
kind = "policy"
checked = "read"
"""

_BODY = {
    "gate": "",
    "veto": "",
    "warn": "",
    "prefer": "weight = 1                            # 1 weak, 2 medium, 3 strong\n",
    "avoid": "weight = 1                            # 1 weak, 2 medium, 3 strong\n",
    "set": 'overrides = ["HYP-82"]                # the bundled rule that gives way\n',
}


def _template(rule_id: str, title: str, effect: Effect) -> str:
    settings = (
        '\n[set]                                 # plan field = CEL expression\nseed = "7"\n'
        if effect == "set"
        else ""
    )
    expected = "sets = { seed = 7 }\n" if effect == "set" else ""
    return f"""id = "{rule_id}"
title = {_quoted(title)}
# A CEL expression over facts; `sft-advisor explain facts` lists them, known.a.b asks whether one is known.
when = 'plan.method == "full" && task.count > 1'
effect = "{effect}"                       # gate | veto | prefer | avoid | set | warn
{_BODY[effect]}message = "{{task.count}} tasks would each be trained in full."
because = "Each task would need a copy of the whole model."
fix = "Train one adapter for each task."
strength = "consensus"                # proven | measured | derived | consensus | opinion; an opinion may not veto
sources = ["{HOUSE_SOURCE}"]              # keys of sources.toml, here or in the bundled book
{settings}
[[cases]]
name = "three tasks in full"
given = {{ "plan.method" = "full", "task.count" = 3 }}
expect = "fires"
{expected}
[[cases]]
name = "one task"
given = {{ "plan.method" = "full", "task.count" = 1 }}
expect = "silent"

[[cases]]
name = "the number of tasks is not known"
given = {{ "plan.method" = "full" }}
expect = "unknown"
"""


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
