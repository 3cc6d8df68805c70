"""How sure a figure is. Both models are held against each other on the same rows, so that what makes a row hard
falls out of the difference; each row may weigh differently (tokens, where the figure is a loss per token).

Means of losses: the bootstrap of Student's t over rows (Efron 1979; Hall 1988), whose ends lie where they should with
20 rows too, and with skewed ones. Shares of right answers: two rows more of each outcome, or one where two models are
compared (Agresti and Coull 1998; Bonett and Price 2012), for which 20 right answers of 20 are no certainty.
Fixed seed, no numpy.

What the interval of one seed does not hold: that another seed would have trained another model. Of several, seeds are
drawn first, then rows.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from statistics import NormalDist
from typing import NamedTuple, TypeVar

import msgspec

T = TypeVar("T")
DRAWS = 1_000
STATED = 0.95
LEAST_SPREAD = 0.1
"""Of the rows' own: a draw that repeats one row has none, and would lie infinitely far out."""
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
    whole = _mean([(value * weight, weight) for value, weight in zip(values, weights, strict=True)])
    if len(values) < FEWEST_ROWS:
        return Interval(value=whole, low=None, high=None, rows=len(values))
    rows = [_Row.of(value - whole, weight) for value, weight in zip(values, weights, strict=True)]
    spread = _Sums.over(rows).spread
    if not spread:
        return Interval(value=whole, low=whole, high=whole, rows=len(values))
    source = random.Random(seed)
    drawn = (_Sums.over(source.choices(rows, k=len(rows))) for _ in range(DRAWS))
    low, high = _ends(one.mean / max(one.spread, LEAST_SPREAD * spread) for one in drawn)
    return Interval(value=whole, low=whole - high * spread, high=whole - low * spread, rows=len(values))


def difference(
    before: Sequence[float], after: Sequence[float], weights: Sequence[float] | None = None, seed: int = 0
) -> Interval:
    """Mean of `after - before`, row by row, with its interval. Raises ValueError for no rows, or unequal numbers."""
    return mean_interval([b - a for a, b in zip(before, after, strict=True)], weights, seed)


def share(values: Sequence[float]) -> Interval:
    """Mean of scores from 0 to 1, with its interval. Raises ValueError for no rows."""
    return _bounded(values, [0.0, 0.0, 1.0, 1.0])


def gain(before: Sequence[float], after: Sequence[float]) -> Interval:
    """Mean of `after - before` of scores from 0 to 1. Raises ValueError for no rows, or unequal numbers."""
    return _bounded([b - a for a, b in zip(before, after, strict=True)], [-1.0, 1.0])


def _bounded(values: Sequence[float], added: list[float]) -> Interval:
    """As `mean_interval` within the ends of `added`; with these rows added where answers are right or wrong."""
    if not values:
        raise ValueError("no rows to draw from")
    low: float | None
    high: float | None
    if len(values) >= FEWEST_ROWS and set(values) <= {-1.0, 0.0, 1.0}:
        low, high = _normal_ends([*values, *added])
    else:
        drawn = mean_interval(values)
        low, high = drawn.low, drawn.high
    least, most = added[0], added[-1]
    if low is not None and high is not None and least <= min(values) and max(values) <= most:
        low, high = max(least, low), min(most, high)
    return Interval(value=sum(values) / len(values), low=low, high=high, rows=len(values))


def _normal_ends(values: Sequence[float]) -> tuple[float, float]:
    middle = sum(values) / len(values)
    variance = sum((value - middle) ** 2 for value in values) / len(values)
    reach = NormalDist().inv_cdf((1 + STATED) / 2) * math.sqrt(variance / len(values))
    return middle - reach, middle + reach


def interval_of(rows: Sequence[T], statistic: Callable[[Sequence[T]], float], seed: int = 0) -> Interval:
    """Any figure of the rows together, with the interval that its draws cover. Raises ValueError for no rows."""
    if not rows:
        raise ValueError("no rows to draw from")
    whole = statistic(rows)
    if len(rows) < FEWEST_ROWS:
        return Interval(value=whole, low=None, high=None, rows=len(rows))
    source = random.Random(seed)
    low, high = _ends(statistic(source.choices(rows, k=len(rows))) for _ in range(DRAWS))
    return Interval(value=whole, low=low, high=high, rows=len(rows))


class _Row(NamedTuple):
    """What a row adds to the sums from which a weighted mean and its spread follow."""

    weight: float
    value: float
    weight_squared: float
    cross: float
    value_squared: float

    @classmethod
    def of(cls, value: float, weight: float) -> _Row:
        """A row of this value and weight."""
        return cls(weight, weight * value, weight**2, weight**2 * value, (weight * value) ** 2)


class _Sums(NamedTuple):
    """A weighted mean, and its standard error as that of a ratio of two sums."""

    mean: float
    spread: float

    @classmethod
    def over(cls, rows: Sequence[_Row]) -> _Sums:
        """Of these rows."""
        weight, value, weight_squared, cross, value_squared = map(sum, zip(*rows, strict=True))
        if not weight:
            return cls(0.0, 0.0)
        mean = value / weight
        squares = value_squared - 2 * mean * cross + mean**2 * weight_squared
        return cls(mean, math.sqrt(max(0.0, squares) * len(rows) / (len(rows) - 1)) / weight)


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
