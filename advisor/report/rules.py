"""The rule book for the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.text import Text

from advisor.base.language import tr
from advisor.report.layout import rows, section
from rules.coverage import Coverage
from rules.policy import PolicyReport, RuleRow

EFFECT_STYLE = {
    "gate": "bold red",
    "veto": "red",
    "prefer": "green",
    "avoid": "yellow",
    "set": "cyan",
    "warn": "magenta",
}


def rule_list(found: Iterable[RuleRow]) -> RenderableType:
    """Every rule in one line, by group."""
    groups: dict[str, list[RuleRow]] = {}
    for row in found:
        groups.setdefault(row.group, []).append(row)
    parts: list[RenderableType] = []
    for group, members in groups.items():
        table = rows("bold", "", "dim", "fold")
        for row in members:
            points = f" {row.weight:+d}" if row.weight else ""
            effect = Text(f"{row.effect}{points}", style=EFFECT_STYLE[row.effect])
            table.add_row(row.rule_id, effect, row.strength, row.title)
        parts += section(group, [table])
    return Group(*parts)


def policy(found: PolicyReport) -> RenderableType:
    """What was found in a folder of rules."""
    parts: list[RenderableType] = [rule_list(found.rules)]
    failed = [Text(f"{result.rule_id}: {result.case}: {result.detail}") for result in found.failed]
    parts += section(tr("Cases that do not hold"), failed)
    parts += section(tr("Conflicts"), [Text(line) for line in found.conflicts])
    parts += section(tr("Worth knowing"), [Text(line) for line in found.notes])
    replaced = tr(", {replaced} replaced", replaced=", ".join(found.replaced)) if found.replaced else ""
    holding = tr(
        "{num_cases} of {num_cases_2} cases hold",
        num_cases=found.num_cases - len(found.failed),
        num_cases_2=found.num_cases,
    )
    return Group(
        *parts,
        Text(""),
        Text(
            tr(
                "{num_rules} rules, {holding}{replaced}",
                num_rules=len(found.rules),
                holding=holding,
                replaced=replaced,
            ),
            style="bold",
        ),
    )


def coverage(found: Coverage) -> RenderableType:
    """What the search for gaps found."""
    parts: list[RenderableType] = [Text(tr("{tried} fact sets tried", tried=found.tried))]
    for title, lines in (
        (tr("Never fires"), found.never_fires),
        (tr("Never wins"), found.never_wins),
        (tr("Facts that no rule reads"), found.unread_facts),
        ("Conflicts", found.conflicts),
        (tr("Blind spots"), tuple(str(spot) for spot in found.blind_spots)),
    ):
        parts += section(title, [Text(line) for line in lines])
    return Group(*parts)
