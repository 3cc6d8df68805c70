"""A list as long as it likes on a terminal: arrows move, typing filters, Enter takes a line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from advisor.base.language import tr

if TYPE_CHECKING:
    from prompt_toolkit.application import Application
    from rich.console import RenderableType

ROWS_AROUND = 6
"""Lines of the screen that are no lines of the list: title, head, blank, filter, keys."""


class Line(NamedTuple):
    """One line: as it is drawn (with colours), and the words that find it."""

    text: str
    words: str


def drawn(table: RenderableType, num_rows: int, most_width: int) -> tuple[list[str], list[str]]:
    """A table as (lines of its head, one line a row), with the colours of a terminal."""
    import io
    import shutil

    from advisor.report.screen import Screen

    width = min(shutil.get_terminal_size().columns, most_width)
    screen = Screen(file=io.StringIO(), force_terminal=True, width=width, highlight=False)
    with screen.capture() as captured:
        screen.print(table)
    lines = captured.get().rstrip("\n").split("\n")
    return lines[: len(lines) - num_rows], lines[len(lines) - num_rows :]


class Browser:
    """What is shown of the list: the lines that the filter leaves, the one that is pointed at."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self._lines = lines
        self.filter = ""
        self.at = 0
        self.top = 0

    @property
    def left(self) -> list[int]:
        """Places of the lines that hold every word of the filter."""
        words = self.filter.lower().split()
        return [place for place, line in enumerate(self._lines) if all(word in line.words.lower() for word in words)]

    @property
    def chosen(self) -> int | None:
        """Place of the line that is pointed at; None where the filter leaves none."""
        left = self.left
        return left[min(self.at, len(left) - 1)] if left else None

    def move(self, by: int) -> None:
        """Point `by` lines further down."""
        self.at = max(0, min(self.at + by, len(self.left) - 1))

    def type(self, text: str) -> None:
        """Add to the filter; "\\b" takes its last letter away."""
        self.filter = self.filter[:-1] if text == "\b" else self.filter + text
        self.at = self.top = 0

    def window(self, height: int) -> list[tuple[bool, str]]:
        """(whether it is pointed at, the line) for as many lines as there is room for."""
        left = self.left
        self.top = max(self.at - height + 1, min(self.top, self.at))
        shown = list(enumerate(left))[self.top : self.top + height]
        return [(number == self.at, self._lines[place].text) for number, place in shown]


def browse(title: str, head: Sequence[str], lines: Sequence[Line], legend: Sequence[str]) -> int | None:
    """The place of the line that Enter took; None when the list was left with Esc or Ctrl-C."""
    browser = Browser(lines)
    application = _application(browser, title, head, legend)
    place: int | None = application.run()
    return place


def _application(browser: Browser, title: str, head: Sequence[str], legend: Sequence[str]) -> Application[int | None]:
    from prompt_toolkit.application import Application
    from prompt_toolkit.formatted_text import ANSI, merge_formatted_text
    from prompt_toolkit.layout import Layout, Window
    from prompt_toolkit.layout.controls import FormattedTextControl

    def text() -> Any:
        room = application.output.get_size().rows - ROWS_AROUND - len(head) - len(legend)
        window = [("> " if here else "  ") + line for here, line in browser.window(max(3, room))]
        found = tr(
            "{left} of {all} · filter: {words}", left=len(browser.left), all=len(browser._lines), words=browser.filter
        )
        keys = tr("type to filter · arrows, PgUp, PgDn move · Enter takes one · Esc leaves")
        parts = [title, "", *("  " + line for line in head), *window, "", *legend, found, keys]
        return merge_formatted_text([ANSI(part + "\n") for part in parts])

    control = FormattedTextControl(text, focusable=True, show_cursor=False)
    application: Application[int | None] = Application(
        layout=Layout(Window(control)), key_bindings=_keys(browser), full_screen=True
    )
    return application


def _keys(browser: Browser) -> Any:
    from prompt_toolkit.key_binding import KeyBindings
    from prompt_toolkit.keys import Keys

    keys = KeyBindings()
    steps = {"up": -1, "down": 1, "pageup": -15, "pagedown": 15, "home": -1_000_000, "end": 1_000_000}
    for key, by in steps.items():
        keys.add(key)(lambda event, by=by: browser.move(by))
    keys.add("backspace")(lambda event: browser.type("\b"))
    keys.add("enter")(lambda event: event.app.exit(result=browser.chosen))
    for key in ("escape", "c-c", "c-d"):
        keys.add(key, eager=True)(lambda event: event.app.exit(result=None))
    keys.add(Keys.Any)(lambda event: browser.type(event.data) if event.data.isprintable() else None)
    return keys
