"""What `vet` found, for the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from advisor.report.layout import rows, section
from advisor.trust.look import Vetted

NAMED = {"run": "run folder", "answers": "file of answers", "rules": "set of rules", "profile": "hardware profile"}
"""Kinds whose name is not the word for one of them."""


def findings(found: Vetted) -> RenderableType:
    """The verdict, then each finding with its reason and what to do."""
    kind = NAMED.get(found.kind, found.kind)
    if not found.findings:
        return Text(f"nothing was found in this {kind} that should keep you from using it")
    many = "1 thing" if len(found.findings) == 1 else f"{len(found.findings)} things"
    head = Text(f"{many} to know of before this {kind} is used", style="bold")
    table = rows("bold", "fold")
    for one in found.findings:
        said = Text(one.what)
        said.append(f"\n{one.why}", style="dim")
        said.append(f"\n{one.fix}" if one.fix else "", style="cyan")
        table.add_row(one.rule, said)
    return Group(head, *section("Findings", [table]))
