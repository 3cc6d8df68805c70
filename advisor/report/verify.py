"""An acceptance run for the terminal: each plan with what was predicted, measured and claimed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from advisor.base.language import later, tr
from advisor.report.layout import section
from trainers import amounts

if TYPE_CHECKING:
    from trainers.acceptance.outcomes import Outcome

STATES = {
    "ok": (later("ok"), "green"),
    "differs": (later("differs"), "bold red"),
    "failed": (later("failed"), "bold red"),
}


def acceptance(outcomes: Sequence[Outcome], device: str) -> RenderableType:
    """A verdict, a line for each plan, and why those failed that did."""
    tried = [one for one in outcomes if one.state != "no time"]
    good = [one for one in tried if one.state == "ok"]
    head = tr(
        "{good} of {tried} plans hold on {device}; {left} had no time",
        good=len(good),
        tried=len(tried),
        device=device,
        left=len(outcomes) - len(tried),
    )
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for title in (tr("plan"), "", tr("peak"), tr("of prediction"), tr("tokens/s"), tr("predicted"), tr("loss")):
        table.add_column(title, justify="left" if title in ("", tr("plan")) else "right", no_wrap=True)
    for one in tried:
        word, style = STATES[one.state]
        table.add_row(
            one.name,
            Text(tr(word), style=style),
            amounts.size(one.peak_bytes) if one.peak_bytes else "",
            f"{one.of_prediction:.2f}" if one.of_prediction else "",
            _figure(one.tokens_per_second),
            _figure(one.predicted.tokens_per_second),
            f"{one.last_loss:.3f}" if one.last_loss is not None else "",
        )
    claims = [Text(f"{one.name}: {_claim(one)}") for one in tried if one.like]
    why = [Text(f"{one.name}: {one.said}") for one in outcomes if one.said]
    left_out = "; ".join(one.name for one in outcomes if one.state == "no time")
    return Group(
        Text(head, style="bold green" if len(good) == len(tried) else "bold red"),
        *section(tr("Plans"), [table]),
        *section(tr("What is claimed to be equal"), claims),
        *section(tr("What does not hold"), why),
        *section(tr("No time was left for"), [Text(left_out)] if left_out else []),
    )


def _figure(value: float | None) -> str:
    return f"{value:,.0f}" if value else ""


def _claim(one: Outcome) -> str:
    if one.difference is None:
        return tr("as {like}", like=one.like)
    if one.within == 0:
        return tr("bit for bit as {like}: {difference:.1e}", like=one.like, difference=one.difference)
    return tr(
        "as {like} within {within:g}: {difference:.1e}", like=one.like, within=one.within, difference=one.difference
    )
