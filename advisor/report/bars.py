"""Memory bars for the terminal: components stacked, the band above them, free space, and the limit.

In colour the components are blocks; without colour each has a letter, explained in the legend.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from advisor.base.language import tr
from advisor.estimate.result import COMPONENTS
from advisor.report.screen import is_plain
from advisor.report.words import COMPONENT_NAMES
from trainers.amounts import size

COLOURS = {
    "weights": "blue",
    "adapters": "cyan",
    "gradients": "magenta",
    "optimizer_states": "yellow",
    "activations": "green",
    "logits": "red",
    "buffers": "bright_magenta",
    "runtime": "bright_black",
}
LETTERS = {
    "weights": "W",
    "adapters": "A",
    "gradients": "G",
    "optimizer_states": "O",
    "activations": "X",
    "logits": "L",
    "buffers": "B",
    "runtime": "R",
}
BLOCK, BAND, FREE, LIMIT = "█", "▒", "·", "│"


def without_colour(console: Console) -> bool:
    """Whether components must be told apart by letters."""
    return console.no_color or console.color_system is None


class MemoryBar:
    """One bar over the full width: likely bytes by component, then the band up to `high_bytes`, then what is free.

    `scale_bytes` is what the whole width stands for; bytes beyond `limit_bytes` are drawn behind the limit mark.
    """

    def __init__(
        self,
        parts: Mapping[str, int],
        *,
        high_bytes: int | None = None,
        limit_bytes: int | None = None,
        scale_bytes: int | None = None,
    ) -> None:
        self.parts = {name: parts[name] for name in (*COMPONENTS, *parts) if parts.get(name)}
        self.likely_bytes = sum(self.parts.values())
        self.high_bytes = max(high_bytes or 0, self.likely_bytes)
        self.limit_bytes = limit_bytes
        self.scale_bytes = scale_bytes or max(self.high_bytes, limit_bytes or 0) or 1

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Called by rich."""
        if is_plain(console):
            return
        cells = list(self._cells(options.max_width - 1))
        if self.limit_bytes is not None:
            place = min(len(cells), round(self.limit_bytes / self.scale_bytes * (options.max_width - 1)))
            cells.insert(place, ("limit", LIMIT))
        plain = without_colour(console)
        for name, cell in cells:
            letter = LETTERS.get(name, "#") if plain and cell == BLOCK else cell
            yield Segment(letter, Style.parse(_style(name)))
        yield Segment.line()

    def _cells(self, width: int) -> Iterator[tuple[str, str]]:
        """Cell by cell from the left; a component that is there at all gets at least one, where there is room."""
        drawn, reached = 0, 0
        for name, num_bytes in self.parts.items():
            reached += num_bytes
            end = min(width, max(round(reached / self.scale_bytes * width), drawn + 1))
            yield from [(name, BLOCK)] * (end - drawn)
            drawn = max(drawn, end)
        band_end = min(width, max(drawn, round(self.high_bytes / self.scale_bytes * width)))
        yield from [("band", BAND)] * (band_end - drawn)
        yield from [("free", FREE)] * (width - band_end)


def _style(name: str) -> str:
    return {"band": "dim", "free": "dim", "limit": "bold"}.get(name) or COLOURS.get(name, "white")


class Legend:
    """The components of a bar with their sizes, as many to a line as there is room for."""

    def __init__(self, parts: Mapping[str, int]) -> None:
        self.parts = {name: parts[name] for name in (*COMPONENTS, *parts) if parts.get(name)}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Called by rich."""
        if is_plain(console):
            return
        plain = without_colour(console)
        line, used = Text(), 0
        for name, num_bytes in self.parts.items():
            mark = LETTERS.get(name, "#") if plain else BLOCK
            label = f" {tr(COMPONENT_NAMES.get(name, name))} {size(num_bytes)}"
            if used and used + len(label) + 4 > options.max_width:
                yield line
                line, used = Text(), 0
            line.append("   " if used else "")
            line.append(mark, style=_style(name)).append(label)
            used += len(label) + 4
        yield line
