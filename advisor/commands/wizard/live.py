"""The sheet on a terminal: answers on the left, the advice on the right, the question that is pointed at below.

A change is judged in a thread of its own, so that keys are never waited for; an answer that is overtaken is dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from advisor.ask.answers import Answers
from advisor.base.errors import AdvisorError
from advisor.base.language import tr
from advisor.commands.wizard.sheet import Effects, Judge, Sheet, shown_first
from advisor.report import words
from trainers.foreign.text import terminal

if TYPE_CHECKING:
    from prompt_toolkit.application import Application
    from rich.console import RenderableType

DETAIL_ROWS = 6
ROWS_AROUND = DETAIL_ROWS + 4
"""Title, two lines between, the keys."""
LEAST_COLUMNS, LEAST_ROWS = 60, 18
"""Of a terminal on which the sheet can be read."""
WIDEST_LEFT, LEFT_SHARE = 64, 0.48
VALUE_SHARE = 0.4
"""Of the left side, for the answer."""


def open_sheet(sheet: Sheet, judge: Judge, effects: Effects) -> None:
    """Let answers be changed until a person leaves with Esc; `sheet` then holds them.

    Raises KeyboardInterrupt on Ctrl-C, with everything that was said in `sheet.given`.
    """
    with ThreadPoolExecutor(max_workers=1) as worker:
        screen = _Screen(sheet, judge, effects)
        application = screen.application()

        def later(act: Callable[..., None], *values: Any) -> None:
            worker.submit(act, *values).add_done_callback(done)

        def done(work: Future[None]) -> None:
            application.invalidate()
            if (error := work.exception()) is not None and (loop := application.loop) is not None:
                loop.call_soon_threadsafe(lambda: application.exit(exception=error))

        screen.later = later
        if application.run(pre_run=screen.try_answers):
            raise KeyboardInterrupt


def has_room() -> bool:
    """Whether the terminal is large enough for the sheet to be read."""
    from prompt_toolkit.application import get_app_session

    size = get_app_session().output.get_size()
    return bool(size.columns >= LEAST_COLUMNS and size.rows >= LEAST_ROWS)


class _Screen:
    """What is drawn, and what keys do."""

    def __init__(self, sheet: Sheet, judge: Judge, effects: Effects) -> None:
        self.sheet, self._judge, self._effects = sheet, judge, effects
        self.later: Callable[..., None] = lambda act, *values: act(*values)
        """Does something in the background."""
        self.top = 0
        self.is_judging = False
        self._changes = 0
        """Counts changes and moves, so that what is overtaken is seen as such."""

    def application(self) -> Application[bool]:
        """The screen with its keys; it ends with whether Ctrl-C was pressed."""
        from prompt_toolkit.application import Application
        from prompt_toolkit.layout import HSplit, Layout, VSplit, Window
        from prompt_toolkit.layout.controls import FormattedTextControl

        def pane(draw: Callable[[int, int], Any], width: Callable[[], int], height: Callable[[], int]) -> Window:
            control = FormattedTextControl(lambda: draw(width(), height()), focusable=True, show_cursor=False)
            return Window(control, width=lambda: _exactly(width()), height=lambda: _exactly(height()))

        def columns() -> int:
            return int(application.output.get_size().columns)

        def left() -> int:
            return min(WIDEST_LEFT, round(columns() * LEFT_SHARE))

        def body() -> int:
            return max(1, int(application.output.get_size().rows) - ROWS_AROUND)

        right = pane(self.draw_answer, lambda: max(1, columns() - left() - 2), body)
        middle = VSplit([pane(self.draw_questions, left, body), Window(width=2, char=" "), right])
        rows = [
            pane(self.draw_title, columns, lambda: 1),
            Window(height=1, char="─"),
            middle,
            Window(height=1, char="─"),
            pane(self.draw_question, columns, lambda: DETAIL_ROWS),
            pane(self.draw_keys, columns, lambda: 1),
        ]
        application: Application[bool] = Application(
            layout=Layout(HSplit(rows)), key_bindings=_keys(self), full_screen=True
        )
        return application

    def draw_title(self, width: int, height: int) -> Any:
        """What the answers are about."""
        state = tr("judging ...") if self.is_judging else ""
        result = self.sheet.judged.result
        return _drawn(_line(f"{result.model.name} · {words.situation(result)}  {state}", "bold"), width, height)

    def draw_questions(self, width: int, height: int) -> list[tuple[str, str]]:
        """One line a question: mark, question, answer."""
        sheet, shown = self.sheet, self.sheet.questions
        self.top = shown_first(len(shown), sheet.at, height, self.top)
        lines: list[tuple[str, str]] = []
        for question in shown[self.top : self.top + height]:
            is_here = question.key == sheet.question.key
            value = f"{sheet.typed}_" if is_here and sheet.typed is not None else sheet.value(question)
            room = max(8, round(width * VALUE_SHARE))
            mark = ">" if is_here else "?" if sheet.would_count(question) else " "
            style = "reverse" if is_here else "bold" if question.key in sheet.given.values else ""
            asked = _cut(tr(question.prompt), width - room - 3)
            lines.append((style, f"{mark} {asked} {_cut(value, room)}\n"))
        return lines

    def draw_answer(self, width: int, height: int) -> Any:
        """The advice, with what the last answer changed."""
        from advisor.report.live import live

        return _drawn(live(self.sheet.judged.result, self.sheet.before), width, height)

    def draw_question(self, width: int, height: int) -> Any:
        """The question in full: what can be answered and what it would change, its help, or what is wrong."""
        from rich.console import Group
        from rich.text import Text

        sheet, question = self.sheet, self.sheet.question
        parts = [Text(tr(question.prompt), style="bold")]
        if sheet.problems:
            parts += [Text(line, style="red") for each in sheet.problems for line in (each.what, each.fix) if line]
        elif sheet.shows_help:
            parts += [Text(tr(question.help)), Text(tr(question.why), style="dim")]
        elif sheet.choices(question):
            parts += [Text(self._choice(value)) for value in sheet.choices(question)]
        else:
            parts += [Text(tr(question.why), style="dim")]
            parts += [Text(tr("For example: {example}", example=question.example))] if question.example else []
        return _drawn(Group(*parts), width, height)

    def draw_keys(self, width: int, height: int) -> Any:
        """Which keys do what."""
        return _drawn(
            _line(tr("↑↓ ←→ · Enter writes · Del leaves open · Tab to what counts · ? help · Esc done"), "dim"),
            width,
            height,
        )

    def _choice(self, value: Any) -> str:
        question = self.sheet.question
        name = tr("open") if value is None else words.answer(question.key, value)
        mark = "(o)" if self.sheet.given.values.get(question.key) == value else "( )"
        said = self.sheet.effect_of(value) if value is not None else ""
        meaning = tr(question.choices[value]) if value in question.choices and not said else said
        return f"{mark} {name}  {meaning}".rstrip()

    def judge(self, wanted: Answers | None) -> None:
        """Judge answers in the background; None: nothing was changed."""
        if wanted is None:
            return
        self._changes += 1
        self.is_judging = True
        self.later(self._judged, wanted, self._changes)

    def _judged(self, wanted: Answers, change: int) -> None:
        if change != self._changes:
            return
        try:
            found = self._judge(wanted)
        except AdvisorError as error:
            if change == self._changes:
                self.sheet.refuse(error.problems)
        else:
            if change == self._changes:
                self.sheet.take(found)
        if change == self._changes:
            self.is_judging = False
            self.try_answers()

    def try_answers(self) -> None:
        """Find out in the background what each answer to this question would change."""
        if self.sheet.question.key not in self.sheet.effects:
            self.later(self._tried, self.sheet.question.key, self._changes)

    def _tried(self, key: str, change: int) -> None:
        sheet = self.sheet
        if change == self._changes and key == sheet.question.key and key not in sheet.effects:
            found = self._effects(sheet.judged, sheet.question)
            if change == self._changes:
                sheet.effects[key] = found


def _keys(screen: _Screen) -> Any:
    from prompt_toolkit.key_binding import KeyBindings
    from prompt_toolkit.keys import Keys

    keys, sheet = KeyBindings(), screen.sheet

    def moving(act: Callable[[], None]) -> Callable[[Any], None]:
        def do(event: Any) -> None:
            act()
            screen.try_answers()

        return do

    def leave(event: Any) -> None:
        if sheet.typed is not None or sheet.shows_help:
            sheet.move(0)
        else:
            event.app.exit(result=False)

    def letter(event: Any) -> None:
        if event.data == "?" and sheet.typed is None:
            sheet.shows_help = not sheet.shows_help
        elif event.data.isprintable():
            sheet.write(event.data)

    for name, by in {"up": -1, "down": 1, "pageup": -10, "pagedown": 10, "home": -1000, "end": 1000}.items():
        keys.add(name)(moving(partial(sheet.move, by)))
    keys.add("tab")(moving(sheet.move_to_one_that_counts))
    keys.add("left")(lambda event: screen.judge(sheet.turn(-1)))
    keys.add("right")(lambda event: screen.judge(sheet.turn(+1)))
    keys.add("enter")(lambda event: screen.judge(sheet.enter()))
    keys.add("delete")(lambda event: screen.judge(sheet.leave_open()))
    keys.add("backspace")(lambda event: sheet.write("\b"))
    keys.add("escape", eager=True)(leave)
    keys.add(Keys.BracketedPaste)(lambda event: sheet.paste(event.data))
    keys.add(Keys.Any)(letter)
    for name in ("c-c", "c-d"):
        keys.add(name, eager=True)(lambda event: event.app.exit(result=True))
    return keys


def _exactly(num_cells: int) -> Any:
    from prompt_toolkit.layout.dimension import Dimension

    return Dimension.exact(num_cells)


def _cut(text: str, width: int) -> str:
    """Exactly so many cells of a text, harmless on a terminal; … where some is missing."""
    from rich.cells import cell_len, set_cell_size

    shown = terminal(text).replace("\n", " ")
    return set_cell_size(shown, width) if cell_len(shown) <= width else set_cell_size(shown, max(0, width - 1)) + "…"


def _line(text: str, style: str) -> RenderableType:
    from rich.text import Text

    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def _drawn(body: RenderableType, width: int, height: int) -> Any:
    """What rich draws of it, at most so wide and so high; the last line says where there is more."""
    import io

    from prompt_toolkit.formatted_text import ANSI

    from advisor.report.screen import Screen

    screen = Screen(file=io.StringIO(), force_terminal=True, width=width, highlight=False, markup=False, emoji=False)
    with screen.capture() as captured:
        screen.print(body)
    lines = captured.get().rstrip("\n").split("\n")
    return ANSI("\n".join(lines[:height]))
