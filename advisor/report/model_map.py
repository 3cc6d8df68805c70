"""The map of models for the terminal: one line a model, coloured by whether it fits, with hours."""

from __future__ import annotations

from collections.abc import Iterator

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.segment import Segment
from rich.text import Text

from advisor.ask.amounts import length_in_short
from advisor.base.language import tr
from advisor.decide.model_map import MapRow, ModelMap
from advisor.decide.outline import TIGHT_SHARE, Reach
from advisor.report.screen import is_plain
from trainers.amounts import count, gib
from trainers.method import METHODS

STYLES = {"fits": "green", "tight": "yellow", "no": "dim red", "beyond": "dim"}
NAMES = {"full": "full"}
CELL_WIDTH, NAME_WIDTH = 5, 12
"""Columns that a cell, and a name, has at least."""
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


class Grid:
    """One line a model in fixed columns: a table of rich's takes a fifth of a second for two hundred lines."""

    def __init__(self, titles: list[tuple[str, str]], rows: list[list[Text]]) -> None:
        self._titles, self._rows = titles, rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        """Two lines of titles, a rule, and a line for each row."""
        widths = self._widths(options.max_width)
        for line in zip(*self._titles, strict=True):
            yield from self._line([Text(title, style="bold") for title in line], widths, console)
        if not is_plain(console):
            yield from (Segment("\u2500" * (sum(widths) + len(widths) - 1)), Segment.line())
        for row in self._rows:
            yield from self._line(row, widths, console)

    def _widths(self, room: int) -> list[int]:
        widths = [max(CELL_WIDTH, *map(cell_len, title)) for title in self._titles]
        for row in self._rows:
            widths = [max(width, cell_len(cell.plain)) for width, cell in zip(widths, row, strict=True)]
        left = room - sum(widths[1:]) - (len(widths) - 1)
        return [max(NAME_WIDTH, min(widths[0], left)), *widths[1:]]

    def _line(self, cells: list[Text], widths: list[int], console: Console) -> Iterator[Segment]:
        for place, (cell, width) in enumerate(zip(cells, widths, strict=True)):
            said, style = cell.plain, console.get_style(cell.style)
            blank = " " * (width - cell_len(said))
            if place == 0:
                is_cut = cell_len(said) > width
                yield Segment(set_cell_size(said, width - 1) + "\u2026" if is_cut else said + blank, style)
            else:
                yield Segment(" " + blank + said, style)
        yield Segment.line()


def table(found: ModelMap) -> Grid:
    """Models by method and length."""
    titles = [("", tr("model")), ("", tr("size"))]
    for method in found.methods:
        for place, length in enumerate(found.lengths):
            titles.append((NAMES.get(method, METHODS[method].title) if place == 0 else "", length_in_short(length)))
    return Grid(titles, [_cells(row) for row in found.rows])


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
