"""The numbers that flags take, each with its bounds: one out of them is named with every other problem at once."""

from __future__ import annotations

import math
from argparse import ArgumentTypeError
from collections.abc import Callable

from advisor.ask import amounts
from advisor.base.language import later, tr


class UnusableError(ArgumentTypeError):
    """Says why a text cannot be the value of a flag, and holds a value that can be."""

    def __init__(self, why: str, example: str) -> None:
        super().__init__(why)
        self.example = example


class Bounded:
    """A type for argparse: a finite number of at least `low`, or above it where `low` itself is none."""

    def __init__(self, read: Callable[[str], float], low: float, wanted: str, example: str, *, above: bool = False):
        self.read, self.low, self.above = read, low, above
        self.wanted = wanted
        self.example = example
        """A value that is taken."""

    def __call__(self, text: str) -> float:
        """The number. Raises UnusableError where the text is none, or one out of bounds."""
        try:
            value = self.read(text)
        except ValueError as error:
            raise UnusableError(self.expected, self.example) from error
        if not math.isfinite(value) or value < self.low or (self.above and value == self.low):
            raise UnusableError(self.expected, self.example)
        return value

    @property
    def expected(self) -> str:
        """What should have stood there, as a sentence."""
        return tr(self.wanted, low=format(self.low, "g"))


COUNT = Bounded(amounts.count, 1, later("a whole number is expected, {low} or more"), "1")
"""How many: 1 or more."""
LENGTH = Bounded(
    amounts.length, 8, later("a whole number of tokens is expected, {low} or more: 4096, or 4k for the same"), "4096"
)
"""Tokens of one row: 8 or more."""
AMOUNT = Bounded(float, 0.0, later("a number above {low} is expected"), "1", above=True)
"""Minutes or money: above 0."""
