"""Near duplicates: rows that differ in a few words, found by MinHash (rensa).

All rows are compared while they are few; else those of a random sample, which the finding says. Long rows are
compared by their beginning and their end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count, pairwise
from typing import TYPE_CHECKING

from advisor.base.errors import InputError, Problem
from advisor.base.language import tr
from advisor.data.content.examiner import SHOWN_LINES, percent
from advisor.data.marked import PLAIN, SAID, TURN
from advisor.data.verdict import Finding

if TYPE_CHECKING:
    import polars

ROWS_COMPARED = 20_000
"""At most; at least half as many are when the rows are more."""
SIMILARITY = 0.85
"""Share of the runs of three words that two rows have in common."""
NOTED, WARNS = 0.01, 0.20
_COMPARED_CHARACTERS = 2000
_SHINGLE_CHARACTERS = 6
_PERMUTATIONS = 128


class NearDuplicates:
    """Keeps the rows with the smallest hashes: a random sample in which a word-for-word duplicate stands once."""

    def __init__(self) -> None:
        self.is_missing = False
        self._kept: dict[int, tuple[int, str]] = {}
        self._limit = (1 << 64) - 1

    def look(self, lines: Sequence[int], marked: Sequence[str], texts: polars.Series) -> None:
        """One batch of marked texts with their lines, and the texts as polars holds them."""
        hashes = texts.hash()
        is_small = hashes <= self._limit
        for index, value in zip(is_small.arg_true().to_list(), hashes.filter(is_small).to_list(), strict=True):
            if value not in self._kept:
                self._kept[value] = (lines[index], _ends(marked[index]))
        while len(self._kept) > ROWS_COMPARED:
            self._limit //= 2
            self._kept = {key: value for key, value in self._kept.items() if key <= self._limit}

    def findings(self) -> Iterator[Finding]:
        """One finding, or none."""
        try:
            from rensa import RMinHashDeduplicator
        except ImportError:
            self.is_missing = True
            return
        rows = sorted(self._kept.values())
        seen = RMinHashDeduplicator(SIMILARITY, _PERMUTATIONS, True)
        is_new = seen.add_pairs((str(line), shingles(text)) for line, text in rows)
        near = [line for (line, _), new in zip(rows, is_new, strict=True) if not new]
        share = len(near) / len(rows) if rows else 0.0
        if share <= NOTED:
            return
        compared = (
            ""
            if self._limit == (1 << 64) - 1
            else tr(" among {num_rows:,} rows chosen at random, at least", num_rows=len(rows))
        )
        said = (
            tr("1 row ({share}{compared}) is nearly the same as another")
            if len(near) == 1
            else tr("{num_near:,} rows ({share}{compared}) are nearly the same as another")
        )
        yield Finding(
            code="near-duplicates",
            level="warn" if share > WARNS else "note",
            what=said.format(num_near=len(near), share=percent(share), compared=compared),
            why=tr("They teach little that the other does not, and may sit on both sides of a split."),
            fix=tr("Keep the first of each group, or count on fewer examples than there are rows."),
            lines=tuple(near[:SHOWN_LINES]),
        )


def near_duplicate() -> Callable[[str], bool]:
    """Tells of each marked text whether it is nearly the same as one before it. Raises InputError without rensa."""
    try:
        from rensa import RMinHashDeduplicator
    except ImportError as error:
        what = tr("near duplicates cannot be told: the package rensa is missing")
        raise InputError(Problem(what=what, why="", fix="pip install rensa", where="--drop")) from error
    seen = RMinHashDeduplicator(SIMILARITY, _PERMUTATIONS, True)
    numbers = count()

    def is_near(marked: str) -> bool:
        return not seen.add_pairs([(str(next(numbers)), shingles(_ends(marked)))])[0]

    return is_near


def shingles(text: str) -> list[str]:
    """Runs of three words, of a few characters where a script writes no spaces."""
    words = text.lower().split()
    if len(words) * 12 < len(text):
        flat = "".join(words)
        return [flat[at : at + _SHINGLE_CHARACTERS] for at in range(max(1, len(flat) - _SHINGLE_CHARACTERS + 1))]
    pairs = [f"{one} {other}" for one, other in pairwise(words)]
    return [f"{pair} {word}" for pair, word in zip(pairs, words[2:], strict=False)] or words


def _ends(marked: str) -> str:
    """What is asked and answered, without the system's words and the tools that many rows share."""
    start = max(0, marked.find(f"{TURN}u{SAID}"), marked.find(f"{TURN}{PLAIN}{SAID}"))
    text = marked[start:]
    if len(text) <= _COMPARED_CHARACTERS:
        return text
    return f"{text[: _COMPARED_CHARACTERS // 2]} {text[-_COMPARED_CHARACTERS // 2 :]}"
