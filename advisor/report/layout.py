"""Blocks that every screen is made of."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from advisor.report.screen import is_plain


def section(title: str, body: Iterable[RenderableType]) -> list[RenderableType]:
    """A titled block, or nothing when there is nothing to say."""
    lines = list(body)
    if not lines:
        return []
    return [Text(""), Titled(title), *map(indented, lines)]


class Titled:
    """A title with a line behind it; the title alone where only words are wanted."""

    def __init__(self, title: str) -> None:
        self.title = Text(title, style="bold")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Called by rich."""
        yield self.title if is_plain(console) else Rule(self.title + " ", align="left", style="dim")


class Boxed:
    """Something in a box; alone where only words are wanted."""

    def __init__(self, body: RenderableType, style: str) -> None:
        self.body, self.style = body, style

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Called by rich."""
        yield self.body if is_plain(console) else Panel(self.body, border_style=self.style)


def indented(body: RenderableType) -> RenderableType:
    """One space from the left edge."""
    return Padding(body, (0, 0, 0, 1))


def grid() -> Table:
    """Two columns: a name in bold, and its description."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def rows(*styles: str) -> Table:
    """Columns without lines in the given styles; the one that starts with "fold" takes the remaining width."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    for style in styles:
        folds = style.startswith("fold")
        table.add_column(style=style.removeprefix("fold").strip() or None, no_wrap=not folds, overflow="fold")
    return table
