"""ContentCheck: shows every row to every examiner, batch by batch, in constant memory.

One batch is looked at in a thread while the next is read: most of the work is polars', which holds no lock on Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec

from advisor.data.content.cuts import Cuts
from advisor.data.content.examiner import Examiner, Hint
from advisor.data.content.near import NearDuplicates
from advisor.data.content.registry import EXAMINERS
from advisor.data.content.repeats import Repeats
from advisor.data.leaks.finder import LeakFinder
from advisor.data.marked import as_series
from advisor.data.verdict import Finding
from trainers.examples.example import Example

if TYPE_CHECKING:
    import polars

BATCH_ROWS = 8192
BATCH_CHARACTERS = 16_000_000
_LOOKS = tuple({one.hint: None for one in EXAMINERS if callable(one.hint)})


class Batch(msgspec.Struct):
    """Rows that are looked at together."""

    lines: list[int] = []
    examples: list[Example] = []
    marked: list[str] = []
    characters: int = 0
    suspected: dict[Hint, list[int]] = msgspec.field(default_factory=lambda: {look: [] for look in _LOOKS})
    """Rows that a hint picks which is no pattern: it is asked while the example is still in the processor's cache."""

    def add(self, line: int, example: Example, text: str) -> None:
        """One row."""
        for look in _LOOKS:
            if look(example):
                self.suspected[look].append(len(self.lines))
        self.lines.append(line)
        self.examples.append(example)
        self.marked.append(text)
        self.characters += len(text)

    @property
    def is_full(self) -> bool:
        """Whether it is time to look."""
        return len(self.lines) >= BATCH_ROWS or self.characters > BATCH_CHARACTERS


class ContentCheck:
    """Collects rows; `findings` tells what their words show. `leaks` None looks for no secrets or personal data."""

    def __init__(self, leaks: LeakFinder | None = None) -> None:
        self.leaks = leaks
        self._repeats, self._near, self._cuts = Repeats(), NearDuplicates(), Cuts()
        self._found: dict[str, list[int]] = {}
        self._excerpts: dict[str, str] = {}
        self._rows = 0
        self._batch = Batch()
        self._looking: Future[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1)

    def add(self, line: int, example: Example, text: str) -> None:
        """One row with its line and its marked text."""
        self._cuts.add(line, example)
        self._batch.add(line, example, text)
        if self._batch.is_full:
            self._hand_over()

    def findings(self) -> list[Finding]:
        """Everything found, leaks not among it: those are in `leaks`. To be called once, behind the last row."""
        self._hand_over()
        self._wait()
        self._thread.shutdown()
        found = [
            examiner.finding(self._found[examiner.code], self._rows, self._excerpts[examiner.code])
            for examiner in EXAMINERS
            if examiner.code in self._found
        ]
        together = (*self._repeats.findings(self._rows), *self._near.findings(), *self._cuts.findings(self._rows))
        return [*found, *together]

    @property
    def missing(self) -> list[str]:
        """Packages that are not installed, so that something was not looked for."""
        return ["rensa"] if self._near.is_missing else []

    def _hand_over(self) -> None:
        """Gives the batch to the thread, once that is done with the one before: two are held at most."""
        self._wait()
        if self._batch.lines:
            self._looking = self._thread.submit(self._look, self._batch)
            self._batch = Batch()

    def _wait(self) -> None:
        if self._looking:
            self._looking.result()

    def _look(self, batch: Batch) -> None:
        self._rows += len(batch.lines)
        texts = as_series(batch.marked)
        for examiner, suspected in _suspected(texts, batch).items():
            for index in suspected:
                if shown := examiner.look(batch.examples[index]):
                    self._found.setdefault(examiner.code, []).append(batch.lines[index])
                    self._excerpts.setdefault(examiner.code, shown)
        self._repeats.look(batch.lines, texts)
        self._near.look(batch.lines, batch.marked, texts)
        if self.leaks:
            self.leaks.look(batch.lines, batch.marked, texts)


def _suspected(texts: polars.Series, batch: Batch) -> dict[Examiner, list[int]]:
    """The rows that each examiner's hint picks."""
    plain: list[int] = []
    beyond: list[int] = []
    for index, text in enumerate(batch.marked):
        (plain if text.isascii() else beyond).append(index)
    found = dict(batch.suspected)
    hints = {one.hint: one.is_beyond_ascii for one in EXAMINERS if isinstance(one.hint, str)}
    in_plain = _matching_any([hint for hint, is_beyond in hints.items() if not is_beyond], texts, plain)
    in_beyond = _matching(list(hints), texts, beyond)
    for hint in hints:
        found[hint] = sorted(in_plain.get(hint, []) + in_beyond.get(hint, []))
    return {one: found[one.hint] for one in EXAMINERS}


def _matching_any(patterns: Sequence[str], texts: polars.Series, rows: list[int]) -> dict[str, list[int]]:
    """As `_matching`, for rows of ASCII alone: one pass finds the few that have any of the patterns.

    Other letters would take that pass out of the fast half of Rust's regex, at the first border of a word.
    """
    some = texts.gather(rows).str.contains("|".join(f"(?:{pattern})" for pattern in patterns)).arg_true()
    return _matching(patterns, texts, [rows[index] for index in some.to_list()])


def _matching(patterns: Sequence[str], texts: polars.Series, rows: list[int]) -> dict[str, list[int]]:
    """Those of these rows that each pattern is found in."""
    import polars

    if not rows:
        return {}
    matches = polars.DataFrame({"text": texts.gather(rows)}).select(
        polars.col("text").str.contains(pattern).alias(pattern) for pattern in patterns
    )
    return {pattern: [rows[index] for index in matches[pattern].arg_true().to_list()] for pattern in patterns}
