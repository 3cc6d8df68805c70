"""JSON values one behind the other in a text, each decoded when all of it was read: memory holds one at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import IO, Any

from trainers.examples import rows as limits
from trainers.language import tr

_CHUNK = 1 << 20
_BETWEEN = re.compile(r"[\s,]*")
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_TAIL = 12
"""Characters at the end of what was read in which a literal or an escape may be cut."""


class BrokenTextError(ValueError):
    """The text is not JSON from some place on; the message says why."""

    def __init__(self, what: str, *, is_cut: bool = False) -> None:
        super().__init__(what)
        self.is_cut = is_cut


class Value:
    """One decoded value, or what is wrong with its text."""

    __slots__ = ("problem", "value")

    def __init__(self, value: Any, problem: str = "") -> None:
        self.value, self.problem = value, problem


class ValueReader:
    """Reads values from a text file that is open, with what is read ahead."""

    def __init__(self, file: IO[str]) -> None:
        self._file, self._text, self._at, self._is_all = file, "", 0, False
        self._decoder = json.JSONDecoder(parse_constant=lambda _: None)

    def first(self) -> str:
        """The next character that is no blank; "" at the end."""
        while True:
            self._at = _BETWEEN.match(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def documents(self) -> Iterator[Value]:
        """Every value up to the end of the text, blanks and commas between them. Raises BrokenTextError."""
        while self.first():
            yield self._value()

    def items(self) -> Iterator[Value]:
        """The items of the list that begins here. Raises BrokenTextError where it does not end."""
        if self.first() != "[":
            raise BrokenTextError(tr("no list begins here"))
        self._at += 1
        while (mark := self.first()) != "]":
            if not mark:
                raise BrokenTextError(tr("the list does not end: the file is cut short"), is_cut=True)
            yield self._value()
        self._at += 1

    def _more(self) -> bool:
        """Whether there was more to read. What was decoded is let go; each call reads as much as is held."""
        held = self._text[self._at :]
        read = "" if self._is_all else self._file.read(max(_CHUNK, len(held)))
        self._is_all = not read
        self._text, self._at = held + read, 0
        return bool(read)

    def _value(self) -> Value:
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                is_cut = error.msg.startswith("Unterminated") or error.pos >= len(self._text) - _TAIL
                if not is_cut:
                    raise BrokenTextError(
                        tr("{msg} at {text!r}", msg=error.msg, text=self._text[error.pos : error.pos + 20])
                    ) from error
                if len(self._text) - self._at > limits.ROW_BYTES:
                    raise BrokenTextError(
                        tr("one value is longer than {row_bytes} MiB", row_bytes=limits.ROW_BYTES >> 20)
                    ) from error
                if not self._more():
                    raise BrokenTextError(tr("it is cut short"), is_cut=True) from error
                continue
            except RecursionError:
                raise BrokenTextError(tr("it is nested too deeply")) from None
            except ValueError:  # Python's own bound on the digits of an integer
                raise BrokenTextError(tr("it holds a number of thousands of digits")) from None
            # A number may go on in what was not read yet: 1. and 1e+ end before their last characters.
            if end >= len(self._text) - 2 and isinstance(value, int | float) and self._more():
                continue
            raw, self._at = self._text[self._at : end], end
            problem = _problem(raw)
            return Value(None, problem) if problem else Value(value)


def _problem(raw: str) -> str:
    if not raw.isascii():
        try:
            raw.encode()
        except UnicodeEncodeError:
            return tr("not UTF-8 text")
    if _HALF.search(raw):
        try:
            json.dumps(json.loads(raw), ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return tr("holds half a character (a lone surrogate), which no tokenizer takes")
    return ""
