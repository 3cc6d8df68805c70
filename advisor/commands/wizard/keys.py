"""Two prompts, a line of text and a list to choose from, that both understand help, back and keep."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from questionary import Question as Prompt

MARK = "•"


class Prompts(NamedTuple):
    """How a person is asked: drawn on a terminal, or line by line (advisor/commands/wizard/plain.py)."""

    text: Callable[..., str | Signal]
    """As `ask_text`."""
    choice: Callable[..., str | Signal]
    """As `ask_choice`."""


class Signal(Enum):
    """A key that is not an answer."""

    HELP = "?"
    BACK = "<"
    KEEP = ">"


def ask_text(
    message: str,
    hint: str,
    check: Callable[[str], bool | str],
    suggestions: Sequence[str] = (),
    *,
    is_path: bool = False,
) -> str | Signal:
    """A line of text, empty when only Enter was pressed. Raises KeyboardInterrupt on Ctrl-C and Ctrl-D.

    `suggestions` appear while typing; with `is_path` the Tab key completes names of files.
    """
    import questionary
    from prompt_toolkit.completion import FuzzyWordCompleter, PathCompleter
    from prompt_toolkit.filters import Condition

    options: dict[str, Any] = {}
    if suggestions:
        options = {"completer": FuzzyWordCompleter(list(suggestions)), "complete_while_typing": True}
    elif is_path:
        options = {"completer": PathCompleter(expanduser=True), "complete_while_typing": False}
    prompt = questionary.text(
        message,
        qmark=MARK,
        instruction=hint,
        validate=check,
        style=_style(),
        **options,
    )
    return _run(prompt, Condition(lambda: not prompt.application.current_buffer.text), paste=_paste_first_line)


def ask_choice(message: str, choices: Mapping[str, str], hint: str | None, first: str | None = None) -> str | Signal:
    """One of the names, the pointer starting at `first`. Raises KeyboardInterrupt on Ctrl-C."""
    import questionary
    from prompt_toolkit.filters import Always
    from rich.cells import cell_len, set_cell_size

    width = max(map(cell_len, choices))
    rows = [questionary.Choice(f"{set_cell_size(name, width)}  {choices[name]}".rstrip(), name) for name in choices]
    prompt = questionary.select(
        message,
        rows,
        default=first if first in choices else None,
        qmark=MARK,
        instruction=hint or " ",
        use_jk_keys=False,
        style=_style(),
    )
    return _run(prompt, Always(), _take_name(prompt))


def _take_name(prompt: Prompt) -> Callable[[Any], None]:
    """Enter in a list: the answered line then shows the name alone, without its meaning and the padding between."""
    from questionary.prompts.common import InquirerControl

    windows = prompt.application.layout.find_all_windows()
    listed = next(window.content for window in windows if isinstance(window.content, InquirerControl))

    def take(event: Any) -> None:
        chosen = listed.get_pointed_at()
        chosen.title = str(chosen.value)
        listed.is_answered = True
        event.app.exit(result=chosen.value)

    return take


def _paste_first_line(event: Any) -> None:
    """What terminals and web pages put on the clipboard ends with a newline, which one line has no place for."""
    lines = [line.strip() for line in event.data.splitlines() if line.strip()]
    event.current_buffer.insert_text(lines[0] if lines else "")


def _run(
    prompt: Prompt,
    when: Any,
    on_enter: Callable[[Any], None] | None = None,
    paste: Callable[[Any], None] | None = None,
) -> str | Signal:
    from prompt_toolkit.key_binding import KeyBindings, merge_key_bindings
    from prompt_toolkit.keys import Keys

    keys = KeyBindings()
    if paste is not None:
        keys.add(Keys.BracketedPaste, eager=True)(paste)
    if on_enter is not None:
        keys.add("enter", eager=True)(on_enter)
    for signal in Signal:
        keys.add(signal.value, filter=when, eager=True)(_leave(signal))
    application = prompt.application
    application.key_bindings = merge_key_bindings([application.key_bindings or KeyBindings(), keys])
    try:
        answer: str | Signal = prompt.unsafe_ask()
    except EOFError as error:
        raise KeyboardInterrupt from error
    return answer


def _leave(signal: Signal) -> Callable[[Any], None]:
    return lambda event: event.app.exit(result=signal)


def _style() -> Any:
    import questionary

    return questionary.Style(
        [
            ("qmark", "fg:ansicyan bold"),
            ("question", "bold"),
            ("answer", "fg:ansicyan noinherit"),
            ("pointer", "fg:ansicyan bold"),
            ("highlighted", "fg:ansicyan bold"),
            ("selected", "fg:ansicyan"),
            ("instruction", "fg:ansibrightblack"),
            ("text", ""),
        ]
    )


DRAWN = Prompts(ask_text, ask_choice)
