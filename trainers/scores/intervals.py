"""How sure a figure is: the paired bootstrap over rows (Efron 1979; paired as in Koehn 2004). Fixed seed, no numpy.

Rows are drawn with replacement, both models on the same ones, so that what makes a row hard falls out of the
difference. Each row may weigh differently (tokens, where the figure is a loss per token). What the interval of one
seed does not hold: that another seed would have trained another model. Of several, seeds are drawn first, then rows.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

import msgspec

T = TypeVar("T")
DRAWS = 1_000
STATED = 0.95
FEWEST_ROWS = 8
"""Below this the draws repeat too few rows to say anything, and no interval is given."""


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """A figure with the ends of its 95 % interval; both ends are None where there are too few rows."""

    value: float
    """The figure."""
    low: float | None
    """Lower end."""
    high: float | None
    """Upper end."""
    rows: int
    """How many rows it rests on."""

    @property
    def is_sure(self) -> bool:
        """True where the whole interval lies on one side of 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def mean_interval(values: Sequence[float], weights: Sequence[float] | None = None, seed: int = 0) -> Interval:
    """The weighted mean of the rows' values with its interval. Raises ValueError for no rows."""
    if not values:
        raise ValueError("no rows to draw from")
    weights = [1.0] * len(values) if weights is None else weights
    rows = [(value * weight, weight) for value, weight in zip(values, weights, strict=True)]
    return interval_of(rows, _mean, seed)


def difference(
    before: Sequence[float], after: Sequence[float], weights: Sequence[float] | None = None, seed: int = 0
) -> Interval:
    """Mean of `after - before`, row by row, with its interval. Raises ValueError for no rows, or unequal numbers."""
    return mean_interval([b - a for a, b in zip(before, after, strict=True)], weights, seed)


def interval_of(rows: Sequence[T], statistic: Callable[[Sequence[T]], float], seed: int = 0) -> Interval:
    """Any figure of the rows together, with its interval. Raises ValueError for no rows."""
    if not rows:
        raise ValueError("no rows to draw from")
    whole = statistic(rows)
    if len(rows) < FEWEST_ROWS:
        return Interval(value=whole, low=None, high=None, rows=len(rows))
    source = random.Random(seed)
    low, high = _ends(statistic(source.choices(rows, k=len(rows))) for _ in range(DRAWS))
    return Interval(value=whole, low=low, high=high, rows=len(rows))


class Rows(NamedTuple):
    """The values of one seed's rows, and what each weighs."""

    values: Sequence[float]
    weights: Sequence[float]


def over_seeds(seeds: Sequence[Rows], seed: int = 0) -> Interval:
    """The weighted mean over the rows of all seeds, with its interval. Raises ValueError for no rows."""
    weighted = [
        [(value * weight, weight) for value, weight in zip(one.values, one.weights, strict=True)] for one in seeds
    ]
    everything = [row for rows in weighted for row in rows]
    if len(weighted) < 2:
        return mean_interval(*seeds[0], seed) if seeds else mean_interval([])
    whole = _mean(everything)
    if len(everything) < FEWEST_ROWS:
        return Interval(value=whole, low=None, high=None, rows=len(everything))
    source = random.Random(seed)

    def draw() -> float:
        chosen = source.choices(weighted, k=len(weighted))
        return _mean([row for rows in chosen for row in source.choices(rows, k=len(rows))])

    low, high = _ends(draw() for _ in range(DRAWS))
    return Interval(value=whole, low=low, high=high, rows=len(everything))


def _ends(drawn: Iterable[float]) -> tuple[float, float]:
    """What leaves out equal shares of the draws at both sides."""
    means = sorted(drawn)
    outside = (1 - STATED) / 2
    return means[round(outside * (len(means) - 1))], means[round((1 - outside) * (len(means) - 1))]


def _mean(rows: Sequence[tuple[float, float]]) -> float:
    weight = sum(row[1] for row in rows)
    return sum(row[0] for row in rows) / weight if weight else 0.0
