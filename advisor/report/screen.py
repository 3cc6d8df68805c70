"""A terminal that shows text from strangers and obeys none of the control characters in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from trainers.foreign.text import terminal


class Screen(Console):
    """A console on which control characters of names, rows and messages are visible. Colours are its own.

    A `plain` one is for who hears or feels what it says: without colours, boxes, rules and bars.
    """

    def __init__(self, *, plain: bool = False, **options: Any) -> None:
        super().__init__(**options | ({"no_color": True, "force_terminal": False} if plain else {}))
        self.plain = plain

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What rich would print, with every piece of text taken through the door."""
        for segment in super().render(renderable, options):
            is_harmless = segment.control or segment.text.isprintable()
            yield segment if is_harmless else Segment(terminal(segment.text), segment.style)


def is_plain(console: Console) -> bool:
    """Whether only words are wanted."""
    return isinstance(console, Screen) and console.plain
