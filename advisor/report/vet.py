"""What `vet` found, for the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from advisor.base.language import later, tr
from advisor.report.layout import rows, section
from advisor.trust.look import Vetted

NAMED = {
    "run": later("run folder"),
    "answers": later("file of answers"),
    "rules": later("set of rules"),
    "profile": later("hardware profile"),
}
"""Kinds whose name is not the word for one of them."""


def findings(found: Vetted) -> RenderableType:
    """The verdict, then each finding with its reason and what to do."""
    kind = tr(NAMED.get(found.kind, found.kind))
    if not found.findings:
        return Text(tr("nothing was found in this {kind} that should keep you from using it", kind=kind))
    many = (
        tr("1 thing to know of before this {kind} is used")
        if len(found.findings) == 1
        else tr("{count} things to know of before this {kind} is used")
    )
    head = Text(many.format(count=len(found.findings), kind=kind), style="bold")
    table = rows("bold", "fold")
    for one in found.findings:
        said = Text(one.what)
        said.append(f"\n{one.why}", style="dim")
        said.append(f"\n{one.fix}" if one.fix else "", style="cyan")
        table.add_row(one.rule, said)
    return Group(head, *section(tr("Findings"), [table]))
