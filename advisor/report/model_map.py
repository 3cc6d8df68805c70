"""The map of models for the terminal: one line a model, coloured by whether it fits, with hours."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from advisor.decide.model_map import MapRow, ModelMap
from advisor.decide.outline import TIGHT_SHARE, Reach
from advisor.language import tr
from trainers.amounts import count, gib
from trainers.method import METHODS

STYLES = {"fits": "green", "tight": "yellow", "no": "dim red", "beyond": "dim"}
NAMES = {"full": "full"}
CELL_WIDTH = 5
TIGHT_MARK, NO, BEYOND = "!", "-", "."


def model_map(found: ModelMap) -> RenderableType:
    """The whole map: what it is for, the table, what its signs mean."""
    return Group(Text(headline(found), style="bold"), Text(""), table(found), Text(""), *map(Text, legend(found)))


def headline(found: ModelMap) -> str:
    """Which machine, and how many models it trains."""
    fitting = sum(row.fits for row in found.rows)
    room = (
        tr("{size} free a device", size=gib(found.available_bytes)) if found.available_bytes else tr("memory unknown")
    )
    return tr(
        "{fitting} of {models} models can be trained on {machine} ({room})",
        fitting=fitting,
        models=found.num_models,
        machine=found.machine,
        room=room,
    )


def table(found: ModelMap) -> Table:
    """Models by method and length."""
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    shown.add_column(tr("model"), no_wrap=True, overflow="ellipsis", min_width=12)
    shown.add_column(tr("size"), justify="right", no_wrap=True, min_width=5)
    for method in found.methods:
        for place, length in enumerate(found.lengths):
            title = NAMES.get(method, METHODS[method].title) if place == 0 else ""
            shown.add_column(f"{title}\n{tokens(length)}", justify="right", no_wrap=True, min_width=CELL_WIDTH)
    for row in found.rows:
        shown.add_row(*_cells(row))
    return shown


def _cells(row: MapRow) -> list[Text]:
    name = row.model.name.rpartition("/")[2]
    return [Text(name), Text(count(row.model.params)), *map(cell, row.cells)]


def cell(reach: Reach) -> Text:
    """ "1.5h", "12h!" where it is tight, "-" where it does not fit, "." beyond the model's context."""
    style = STYLES[reach.verdict]
    if reach.verdict in ("no", "beyond"):
        return Text(NO if reach.verdict == "no" else BEYOND, style=style)
    said = short_duration(reach.total_seconds) if reach.total_seconds is not None else tr("yes")
    return Text(said + (TIGHT_MARK if reach.verdict == "tight" else ""), style=style)


def legend(found: ModelMap) -> list[str]:
    """What the signs mean, what the hours are for, what was left out."""
    lines = [
        tr(
            "{tight} tight: more than {share} of the free memory, or weights kept in host memory   "
            "{no} does not fit   {beyond} longer than the model's context",
            tight=TIGHT_MARK,
            share=f"{TIGHT_SHARE:.0%}",
            no=NO,
            beyond=BEYOND,
        )
    ]
    if found.knows_time:
        lines.append(
            tr(
                "Hours: {examples} examples, {tokens} tokens in all, passes as the rules set them; divide and "
                "multiply by 1.5. Say yours: `--data-examples N --data-total-tokens N`",
                examples=f"{found.examples:,}",
                tokens=count(found.tokens),
            )
        )
    elif any(row.fits for row in found.rows):
        lines.append(
            tr("The speed of this device is not known, and no hours: `sft-advisor probe bench` measures it.")
        )
    if found.num_older:
        lines.append(
            tr("{number} older models are left out: name one, or `sft-advisor map --all`", number=found.num_older)
        )
    lines.append(
        tr("In outline, with usual settings. Exactly, with reasons: `sft-advisor estimate --model M --compare`")
    )
    return [*lines, *found.notes]


def tokens(length: int) -> str:
    """ "2k", "32k", "500"."""
    return f"{length // 1024}k" if length >= 1024 and length % 1024 == 0 else str(length)


def short_duration(seconds: float) -> str:
    """ "40s", "25m", "1.5h", "30h", "12d": what fits into a cell."""
    if seconds < 90:
        return f"{seconds:.0f}s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f}m"
    hours = seconds / 3600
    if hours < 100:
        return f"{hours:.1f}h" if hours < 10 else f"{hours:.0f}h"
    return f"{hours / 24:,.0f}d"
