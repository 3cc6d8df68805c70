"""Losses row by row, as samples.json keeps them, of two runs held against each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from trainers.scores.intervals import Interval, difference, over_seeds
from trainers.scores.intervals import Rows as Drawn


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """`rows` of samples.json: nats per supervised token of each kept-back row, and its number of such tokens."""

    tokens: list[int]
    tuned: list[float]
    base: list[float] | None = None


def rows_of(samples: Mapping[str, Any]) -> Rows | None:
    """The rows of one run's samples.json; None where it holds none that fit together."""
    try:
        rows = msgspec.convert(samples.get("rows"), Rows)
    except msgspec.ValidationError:
        return None
    return rows if rows.tokens and len(rows.tokens) == len(rows.tuned) else None


def change_of_loss(first: Mapping[str, Any], second: Mapping[str, Any]) -> Interval | None:
    """Loss of the second run less that of the first; None unless both were judged on the same rows.

    Rows count as the same where each has as many supervised tokens in both, in the same order.
    """
    ours, theirs = rows_of(first), rows_of(second)
    if ours is None or theirs is None or ours.tokens != theirs.tokens:
        return None
    return difference(ours.tuned, theirs.tuned, ours.tokens)


def change_over_seeds(pairs: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> Interval | None:
    """As `change_of_loss`, over the same two settings trained by several seeds; None where no pair compares."""
    found = []
    for first, second in pairs:
        ours, theirs = rows_of(first), rows_of(second)
        if ours is not None and theirs is not None and ours.tokens == theirs.tokens:
            lower = [after - before for before, after in zip(ours.tuned, theirs.tuned, strict=True)]
            found.append(Drawn(lower, ours.tokens))
    return over_seeds(found) if found else None
