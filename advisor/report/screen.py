"""A terminal that shows text from strangers and obeys none of the control characters in it."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from trainers.foreign.text import terminal


class Screen(Console):
    """A console on which control characters of names, rows and messages are visible. Colours are its own."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What rich would print, with every piece of text taken through the door."""
        for segment in super().render(renderable, options):
            is_plain = segment.control or segment.text.isprintable()
            yield segment if is_plain else Segment(terminal(segment.text), segment.style)
