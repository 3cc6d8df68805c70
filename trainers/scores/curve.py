"""What more rows would gain, from trainings on parts of them.

Losses that follow a + b n^-c (Hestness 2017 and later) fall by amounts in a fixed ratio from doubling to doubling.
So the next doubling is predicted to gain what the last one did, times the ratio of the last two, and never more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from trainers.scores.intervals import Interval, interval_of
from trainers.scores.rows import Rows

MORE_ROWS = 2_000
"""What is spoken of, or as many rows as there are where these are fewer: further than a doubling nothing is said."""


class Point(NamedTuple):
    """One training: rows that it learnt from, and its losses on the kept-back rows."""

    trained: int
    rows: Rows


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """Losses by the number of rows trained on, and what more of them are predicted to gain."""

    trained: tuple[int, ...]
    """Rows that each training saw, rising."""
    losses: tuple[float, ...]
    """Nats per supervised token, in the order of `trained`, which rises."""
    more_rows: int
    """Rows more, for which the gain is predicted."""
    gain: Interval
    """By how much the loss would fall with `more_rows` more."""


def learning_curve(points: Sequence[Point]) -> Curve | None:
    """The curve of three trainings or more, each on more rows than the one before; None for fewer, or other rows."""
    ordered = sorted(points, key=lambda point: point.trained)[-3:]
    tokens = ordered[0].rows.tokens if ordered else []
    sizes = [point.trained for point in ordered]
    if len(set(sizes)) < 3 or any(point.rows.tokens != tokens for point in ordered):
        return None
    more = min(MORE_ROWS, sizes[-1])
    share = math.log2((sizes[-1] + more) / sizes[-1])
    rows = list(zip(tokens, *(point.rows.tuned for point in ordered), strict=True))
    return Curve(
        trained=tuple(sizes),
        losses=tuple(_losses(rows)),
        more_rows=more,
        gain=interval_of(rows, lambda drawn: share * _next_gain(_losses(drawn), sizes)),
    )


def _losses(rows: Sequence[tuple[float, ...]]) -> list[float]:
    tokens = sum(row[0] for row in rows)
    return [sum(row[0] * row[place] for row in rows) / tokens for place in range(1, len(rows[0]))]


def _next_gain(losses: Sequence[float], sizes: Sequence[int]) -> float:
    """Of the doubling after the last size."""
    first, last = (
        (losses[place] - losses[place + 1]) / math.log2(sizes[place + 1] / sizes[place]) for place in (0, 1)
    )
    return last * min(1.0, max(0.0, last / first)) if first > 0 and last > 0 else last
