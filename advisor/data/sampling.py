"""A random sample and the longest rows of a stream, within a bound on what is held in memory."""

from __future__ import annotations

import heapq
import random

import msgspec

from advisor.data.formats import Example

LONGEST_KEPT = 64
FEWEST_KEPT = 8
TOO_LONG_CHARACTERS = 8_000_000
"""A single example this long is not tokenised; its length is estimated."""


class Sampled(msgspec.Struct, frozen=True):
    """A row that was kept to be looked at closely."""

    line: int
    example: Example


class Reservoir:
    """A uniform random sample of at most `rows` examples and about `characters` characters."""

    def __init__(self, rows: int, characters: int, seed: int = 0) -> None:
        self.kept: list[Sampled] = []
        self._rows = rows
        self._most = characters
        self._held = 0
        self._seen = 0
        self._chooser = random.Random(seed)

    def add(self, row: Sampled) -> None:
        """Offers one row; each has the same chance to be in the sample at the end."""
        self._seen += 1
        if len(self.kept) < self._rows:
            self.kept.append(row)
        else:
            place = self._chooser.randrange(self._seen)
            if place >= self._rows:
                return
            self._held -= self.kept[place].example.size
            self.kept[place] = row
        self._held += row.example.size
        # Halving at random keeps the sample uniform: long rows make it smaller, not short ones rarer.
        while self._held > self._most and len(self.kept) > FEWEST_KEPT:
            self.kept = self._chooser.sample(self.kept, len(self.kept) // 2)
            self._rows = len(self.kept)
            self._held = sum(one.example.size for one in self.kept)


class Longest:
    """The rows with the most estimated tokens, at most LONGEST_KEPT of them and about `characters` characters."""

    def __init__(self, characters: int) -> None:
        self._heap: list[tuple[float, int, Sampled]] = []
        self._most = characters
        self._held = 0

    def add(self, tokens: float, row: Sampled) -> None:
        """Offers one row with its estimated tokens."""
        if len(self._heap) >= LONGEST_KEPT and tokens <= self._heap[0][0]:
            return
        heapq.heappush(self._heap, (tokens, row.line, row))
        self._held += row.example.size
        while len(self._heap) > LONGEST_KEPT or (self._held > self._most and len(self._heap) > 1):
            self._held -= heapq.heappop(self._heap)[2].example.size

    def rows(self) -> list[Sampled]:
        """The longest first."""
        return [row for _, _, row in sorted(self._heap, key=lambda entry: -entry[0])]
