"""Proof that the right words are learnt: the same conversation with every text replaced by a word of its own.

Where an answer's words also stand in its question, no look at the text can tell them apart. So the shape of a
conversation (roles, turns with calls, with reasoning, with nothing) is rendered once with unique words in place of
everything that the data says, and `spans` marks it by the very code that marks the row. Then each word must be where
the policy says: an answer's inside its own label, with its calls and its reasoning; a question's, a system's, a
tool's outside every label.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from trainers.examples.example import RowError
from trainers.examples.slots import SLOT

Message = dict[str, Any]

_EDGES = re.compile(r"(\s*)(.*?)(\s*)", re.DOTALL)


class Unproven(RowError):  # noqa: N818  it says what a row is
    """A conversation whose labels cannot be proven under this template; `kind` says what is in the way."""

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(what)
        self.kind = kind


class Word(NamedTuple):
    """A unique word and what it stands for."""

    text: str
    place: int
    """Of the message that it belongs to."""
    kind: str
    """The key of that message: content, reasoning_content, tool_calls."""
    value: str


def replaced(messages: Sequence[Message]) -> tuple[list[Message], list[Word]]:
    """The messages with a unique word in place of each text, and these words in their order.

    Whitespace at the edges, empty texts, names, numbers and the keys of arguments stay: templates look at them.
    """
    words: list[Word] = []

    def fresh(place: int, kind: str, value: str) -> str:
        words.append(Word(f"Xq{len(words):05d}qX", place, kind, value))
        return words[-1].text

    def framed(value: str, place: int, kind: str) -> str:
        edges = _EDGES.fullmatch(value)
        assert edges is not None
        return f"{edges[1]}{fresh(place, kind, edges[2])}{edges[3]}" if edges[2] else value

    def within(value: Any, place: int, kind: str) -> Any:
        if isinstance(value, str):
            # what stands around a picture is words of their own
            return SLOT.join(framed(piece, place, kind) for piece in value.split(SLOT))
        if isinstance(value, dict):
            return {key: within(one, place, kind) for key, one in value.items()}
        if isinstance(value, list):
            return [within(one, place, kind) for one in value]
        return value

    made = []
    for place, message in enumerate(messages):
        copy = dict(message)
        for name in ("reasoning_content", "content"):
            if isinstance(copy.get(name), str):
                copy[name] = within(copy[name], place, name)
        if copy.get("tool_calls"):
            copy["tool_calls"] = [_call(call, place, within) for call in copy["tool_calls"]]
        made.append(copy)
    return made, words


def _call(call: Message, place: int, within: Any) -> Message:
    function = call["function"]
    arguments = function["arguments"]
    if isinstance(arguments, dict):
        arguments = {key: within(value, place, "tool_calls") for key, value in arguments.items()}
    return {**call, "function": {**function, "arguments": arguments}}


def places(text: str, word: str) -> Iterator[int]:
    """Where a word begins in a text, each time."""
    start = text.find(word)
    while start >= 0:
        yield start
        start = text.find(word, start + len(word))


def is_inside(start: int, end: int, spans: Sequence[tuple[int, int]]) -> bool:
    """Whether [start, end) lies in one of the spans."""
    return any(first <= start and end <= last for first, last in spans)


def touches(start: int, end: int, spans: Sequence[tuple[int, int]]) -> bool:
    """Whether [start, end) shares a character with one of the spans."""
    return any(first < end and start < last for first, last in spans)
