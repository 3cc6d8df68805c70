"""Words of a row that reach the model nowhere, found by looking for them in what was read.

The ledger says of a column what its layout promises. This holds the promise against the rows: every text anywhere
in a row, however deep, has to stand in the example that was read from it, or it is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec

from advisor.base.language import tr
from advisor.data.content.examiner import EXCERPT_CHARACTERS, rows_said
from advisor.data.verdict import Finding
from trainers.examples.example import Example
from trainers.examples.ledger import LINES_KEPT, Entry
from trainers.examples.rows import Row
from trainers.examples.turns import decoded

FEWEST_WORDS = 4
"""Less is a name, a date or a number; it says too little to be looked for."""
WORDS_OF_A_NOTE = 12
"""A column whose name says that it is about the row (a title, a topic) may hold this many words."""
FEWEST_ROWS = 0.01
SHORT_CHARACTERS = 60
ROWS_TO_TELL = 20
ALMOST_ALL = 0.98
CHARACTERS = 24_000_000
"""Read in all; rows behind them are not looked at."""
TEXTS_OF_A_ROW = 2000
SEARCHES_OF_A_ROW = 200
"""Through all that is said, for a piece that no piece of it equals."""
PLACES_KEPT = 200
_FIRST_ROWS_LOG2 = 8
"""So many rows are looked at one by one (256), then half as many of each number that is twice as large."""
_PIECES = re.compile(r"[\n.!?;。！？；]+|\\n")
_WORD = re.compile(r"[^\W\d_]{2,}")
_WIDE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_TOKEN = re.compile(r"\w+")
_EMPTY: tuple[Any, ...] = (None, "", [], {})
_NOT_SAID = re.compile(r"[\W_]+")
_ID = re.compile(r"(?=.*\d)[\w-]+")
_NAMES = re.compile(r"[^.\[\]]+")
_DEEPEST = 24


class Place(msgspec.Struct):
    """A place in the rows (`request.system[].text`) whose words were not found in what was read."""

    rows: int = 0
    words: int = 0
    lines: list[int] = []
    excerpt: str = ""


class Unseen:
    """Looks at some of the rows; `places` tells where words are that were not read, and in how many rows."""

    def __init__(self) -> None:
        self.looked_at = 0
        self.places: dict[str, Place] = {}
        self._rows = self._characters = 0
        self._values: dict[str, _Values] = {}

    def add(self, row: Row, example: Example) -> None:
        """One usable row and the example that was read from it."""
        self._rows += 1
        if self._rows % (1 << max(0, self._rows.bit_length() - _FIRST_ROWS_LOG2)):
            return
        said = _Said(example)
        self._characters += len(said.bare)
        if self._characters > CHARACTERS:
            return
        self.looked_at += 1
        self._add_values(row.value or {}, said)
        met: set[str] = set()
        for place, text in islice(_texts(row.value), TEXTS_OF_A_ROW):
            words, piece = said.missing(text)
            if words < FEWEST_WORDS or (place not in self.places and len(self.places) >= PLACES_KEPT):
                continue
            found = self.places.setdefault(place, Place(excerpt=piece))
            found.words += words
            if place not in met:
                found.rows += 1
                found.lines = [*found.lines, row.line][:LINES_KEPT]
            met.add(place)

    def _add_values(self, row: dict[str, Any], said: _Said) -> None:
        for name, value in row.items():
            if value not in _EMPTY and name not in self._values and len(self._values) < PLACES_KEPT:
                self._values[name] = _Values()
            if value not in _EMPTY and (met := self._values.get(name)):
                met.add(value, said)

    def harmless(self) -> frozenset[str]:
        """Columns that hold one and the same short value in every row, or what the row's own answer says too."""
        return frozenset(name for name, met in self._values.items() if met.is_harmless)


class _Values:
    """What a column holds in the rows looked at."""

    def __init__(self) -> None:
        self.rows = self.said = 0
        self.first: Any = None
        self.is_constant = True

    def add(self, value: Any, said: _Said) -> None:
        is_short = isinstance(value, bool | int | float) or (
            isinstance(value, str) and len(value) <= SHORT_CHARACTERS
        )
        self.first = value if self.first is None else self.first
        self.is_constant = self.is_constant and is_short and value == self.first
        self.said += is_short and said.answers_hold(value)
        self.rows += 1

    @property
    def is_harmless(self) -> bool:
        is_told = self.rows >= ROWS_TO_TELL
        return is_told and ((self.is_constant and self.first is not False) or self.said >= ALMOST_ALL * self.rows)


class _Said:
    """Everything that is said, thought, called and declared in an example, to look for texts in."""

    def __init__(self, example: Example) -> None:
        texts = [example.text, *(text for _, text in _texts([*example.messages, example.tools]))]
        self.pieces = {_bare(piece) for text in texts for piece in _PIECES.split(text)}
        self.bare = _bare("\n".join(texts))
        self.words = frozenset(_TOKEN.findall("\n".join(example.answers).casefold()))
        self._searches = 0

    def missing(self, text: str) -> tuple[int, str]:
        """(how many words of a text are not said, the first piece of it that is not)."""
        words, first = 0, ""
        for piece in _PIECES.split(text):
            if piece and not self.holds(_bare(piece)) and (found := _count(piece)):
                words += found
                first = first or piece.strip()
        return words, first

    def holds(self, bare: str) -> bool:
        """Whether a piece of a text is said; what is asked too often of one row is taken for said."""
        if bare in self.pieces or self._searches > SEARCHES_OF_A_ROW:
            return True
        self._searches += 1
        return bare in self.bare

    def answers_hold(self, value: Any) -> bool:
        """Whether a short value is a word of an answer, or several words that are said."""
        words = _TOKEN.findall(str(value).casefold())
        return all(word in self.words for word in words) if len(words) == 1 else self.holds(_bare(str(value)))


def _texts(value: Any, place: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """(place, text) of everything in a value; JSON inside a text is opened."""
    if depth > _DEEPEST:
        return
    if isinstance(value, str):
        opened = decoded(value) if value.lstrip()[:1] in ("{", "[") else value
        if isinstance(opened, str):
            yield place, value
            return
        value = opened
    if isinstance(value, dict):
        for key, held in value.items():
            name = "*" if _ID.fullmatch(str(key)) else str(key)
            yield from _texts(held, f"{place}.{name}" if place else str(key), depth + 1)
    elif isinstance(value, list | tuple):
        for held in value:
            yield from _texts(held, f"{place}[]", depth + 1)


def _count(piece: str) -> int:
    """Words of a piece; two characters of Chinese, Japanese or Korean are about one."""
    wide = len(_WIDE.findall(piece))
    return wide // 2 if wide else len(_WORD.findall(piece))


def _bare(text: str) -> str:
    return _NOT_SAID.sub("", text).casefold()


def judge_unseen(
    unseen: Unseen, ledger: Sequence[Entry], told: frozenset[str], chosen_from: tuple[str, ...] = ()
) -> Iterator[Finding]:
    """Findings about words that were not found in what was read, though no finding names their column.

    `told`: columns and keys that are spoken of already; `chosen_from`: places of which only some is read on purpose.
    """
    columns = {entry.name: entry for entry in ledger if entry.what == "column"}
    for place, found in unseen.places.items():
        column, *inner = _NAMES.findall(place)
        entry = columns.get(column)
        is_read = entry is not None and bool(entry.learnt or entry.shown)
        is_left_out = entry is not None and bool(entry.excluded) and not is_read
        few = FEWEST_WORDS if is_read else WORDS_OF_A_NOTE
        if is_left_out or place.startswith(chosen_from) or not told.isdisjoint((column, place, *inner)):
            continue
        if found.words < few * found.rows or found.rows < FEWEST_ROWS * unseen.looked_at:
            continue
        yield Finding(
            code="unseen-words",
            level="warn",
            what=tr(
                "words under {place!r} reach the model nowhere, in {rows} of {looked_at:,} looked at: {excerpt!r}",
                place=place,
                rows=rows_said(found.rows),
                looked_at=unseen.looked_at,
                excerpt=found.excerpt[:EXCERPT_CHARACTERS],
            ),
            why=tr("They are looked for in all that is shown and learnt of their rows, and are not there."),
            fix=tr(
                "Write them into a turn or a column that is read; where they do not matter, write what is read "
                "as a clean file, and train on that:"
            ),
            lines=tuple(found.lines),
        )
