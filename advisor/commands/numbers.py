"""The numbers that flags take, each with its bounds: one out of them is named with every other problem at once."""

from __future__ import annotations

import math
from argparse import ArgumentTypeError

from advisor.base.language import tr


class Bounded:
    """A type for argparse: a finite number of at least `low`, or above it where `low` itself is none."""

    def __init__(self, kind: type[int] | type[float], low: float, *, above: bool = False) -> None:
        self.kind, self.low, self.above = kind, low, above

    def __call__(self, text: str) -> float:
        """The number. Raises ArgumentTypeError where the text is none, or one out of bounds."""
        try:
            value = self.kind(text)
        except ValueError as error:
            raise ArgumentTypeError(self.expected) from error
        if not math.isfinite(value) or value < self.low or (self.above and value == self.low):
            raise ArgumentTypeError(self.expected)
        return value

    @property
    def expected(self) -> str:
        """What should have stood there, as a sentence."""
        if self.kind is int:
            return tr("a whole number is expected, {low} or more", low=self.low)
        return tr("a number above {low} is expected", low=format(self.low, "g"))

    @property
    def example(self) -> str:
        """A value that is taken."""
        return format(self.low + 1 if self.above else self.low, "g")


COUNT = Bounded(int, 1)
"""How many, or how long: 1 or more."""
AMOUNT = Bounded(float, 0.0, above=True)
"""Minutes or money: above 0."""
