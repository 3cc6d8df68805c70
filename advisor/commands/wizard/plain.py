"""The two prompts line by line: nothing is drawn over, for screen readers, braille lines and simple terminals.

Chosen by `--plain`, by the variable ACCESSIBLE, and where TERM is dumb. A choice is answered by its number or name.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from advisor.base.errors import nearest
from advisor.base.language import tr
from advisor.commands.wizard.keys import Prompts, Signal
from trainers.foreign.text import terminal, whole_number


def is_asked_for(environment: Mapping[str, str]) -> bool:
    """Whether the terminal, or who uses it, cannot do with what is drawn over."""
    return bool(environment.get("ACCESSIBLE")) or environment.get("TERM") == "dumb"


def ask_text(
    message: str,
    hint: str,
    check: Callable[[str], bool | str],
    suggestions: Sequence[str] = (),
    *,
    is_path: bool = False,
) -> str | Signal:
    """A line of text, empty when only Enter was pressed. Raises KeyboardInterrupt on Ctrl-C and Ctrl-D."""
    while True:
        text = _line(f"{message} {hint}: ")
        if signal := _signal(text):
            return signal
        said = check(text)
        if said is True:
            return text
        _say(str(said))


def ask_choice(message: str, choices: Mapping[str, str], hint: str | None, first: str | None = None) -> str | Signal:
    """One of the names; Enter takes `first`, or else the first of them. Raises KeyboardInterrupt on Ctrl-C."""
    names = list(choices)
    proposed = first if first is not None and first in choices else names[0]
    _say(f"{message} {hint}" if hint else message)
    for number, name in enumerate(names, 1):
        _say(f"{number}. {name}: {choices[name]}" if choices[name] else f"{number}. {name}")
    while True:
        text = _line(tr("number or name, Enter for {proposed}: ", proposed=proposed))
        if signal := _signal(text):
            return signal
        if not text:
            return proposed
        if (place := whole_number(text)) and place <= len(names):
            return names[place - 1]
        if text in choices:
            return text
        close = nearest(text, names)
        _say(
            tr("did you mean {close}?", close=close) if close else tr("a number from 1 to {count}", count=len(names))
        )


def _signal(text: str) -> Signal | None:
    return next((signal for signal in Signal if text == signal.value), None)


def _line(prompt: str) -> str:
    """What was typed up to Enter. Further lines of a paste are left out."""
    try:
        text = input(terminal(prompt)).strip()
    except EOFError as error:
        raise KeyboardInterrupt from error
    with suppress(ImportError, OSError, ValueError):
        import termios

        if sys.stdin.isatty():
            termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
    return "".join(letter for letter in text if letter.isprintable())


def _say(text: str) -> None:
    print(terminal(text), flush=True)


PLAIN = Prompts(ask_text, ask_choice)
