"""A random sample and the longest rows of a stream, within a bound on what is held in memory."""

from __future__ import annotations

import heapq
import random

import msgspec

from trainers.examples.example import Example

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

    def add(self, line: int, example: Example) -> None:
        """Offers one row; each has the same chance to be in the sample at the end."""
        self._seen += 1
        if len(self.kept) < self._rows:
            self.kept.append(Sampled(line, example))
        else:
            # Even to one part in 2^53 of the rows; randrange takes six times as long, and each row comes here.
            place = int(self._chooser.random() * self._seen)
            if place >= self._rows:
                return
            self._held -= self.kept[place].example.size
            self.kept[place] = Sampled(line, example)
        self._held += example.size
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
        self._offered = 0

    def add(self, tokens: float, line: int, example: Example) -> None:
        """Offers one row with its estimated tokens."""
        if len(self._heap) >= LONGEST_KEPT and tokens <= self._heap[0][0]:
            return
        self._offered += 1
        heapq.heappush(self._heap, (tokens, self._offered, Sampled(line, example)))
        self._held += example.size
        while len(self._heap) > LONGEST_KEPT or (self._held > self._most and len(self._heap) > 1):
            self._held -= heapq.heappop(self._heap)[2].example.size

    def rows(self) -> list[Sampled]:
        """The longest first."""
        return [row for _, _, row in sorted(self._heap, key=lambda entry: -entry[0])]
