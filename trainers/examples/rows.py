"""A row as a file gives it: its line, and its value or what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from trainers.errors import ExamplesError
from trainers.examples.conversation import is_conversation
from trainers.foreign.text import shell
from trainers.language import later, tr

ROW_BYTES = 64 << 20
"""A longer line is a broken row: no example is that long, and a hostile line must not fill the memory."""
LINE_BYTES = 256 << 20
"""Where a line goes on for longer, the rest of the file is not read: a small one unpacks to as much as it likes."""
WHOLE_BYTES = 256 << 20
"""A .json file that is one object is read whole: its rows take about five times as much as its text."""


class Note(msgspec.Struct, frozen=True):
    """Something to be said about how a file was read."""

    text: str
    is_doubtful: bool = False
    """Whether a person should look: a guess, or something that was left out."""


class Row(msgspec.Struct, frozen=True):
    """One row: its 1-based line and value, or what is wrong with it."""

    line: int
    value: dict[str, Any] | None
    problem: str = ""
    note: Note | None = None
    """Said once, with the first row of a file."""
    is_copy: bool = False
    """Whether the row came before: a dataset that is mixed in more than once."""
    split: str = ""
    """The split that the file puts it under, where it holds several."""
    part: int = 0
    """Which dataset of a mixture it is from, counted from 0."""


def as_row(value: Any, number: int) -> Row:
    """A decoded value as a row; a bare list of turns is a conversation."""
    if isinstance(value, dict):
        return Row(number, value)
    if is_conversation(value):
        return Row(number, {"messages": value})
    return Row(number, None, tr("a {kind} where an object was expected", kind=tr(json_name(value))))


def json_name(value: Any) -> str:
    """What JSON calls a value of this type."""
    names = {
        bool: later("true or false"),
        int: later("number"),
        float: later("number"),
        str: later("text"),
        list: later("list"),
        type(None): "null",
    }
    return names.get(type(value), later("object") if isinstance(value, dict) else type(value).__name__)


def unreadable(path: Path, how: str, fix: str) -> ExamplesError:
    """The error for a file that cannot be read."""
    return ExamplesError(f"{path} {how}", why=tr("the examples are read from it"), fix=fix)


WITH_COMMENTS = (".jsonc", ".json5")
"""Endings of JSON with comments."""


def without_comments(path: str) -> str:
    """How to take out comments, and commas behind the last item of lists and objects: JSON knows neither."""
    comment = r"//[^\n]*|/\*.*?\*/"
    change = (
        rf"import re, sys; print(re.sub(r'(\"(?:\\.|[^\"\\])*\")|{comment}|,(?=(?:\s|{comment})*[]}}])', "
        r"lambda m: m[1] or '', sys.stdin.read(), flags=re.S), end='')"
    )
    suffix = Path(path).suffix.lower()
    ending = ".json" if suffix in WITH_COMMENTS else suffix
    return tr(
        "take out comments, and commas before closing brackets: {command}",
        command=f"python3 -c {shell(change)} < {shell(path)} > clean{ending}",
    )
