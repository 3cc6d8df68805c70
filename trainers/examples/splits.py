"""Splits that stand in the data itself: a column of each row, or the keys of a JSON document."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainers.examples.rows import Row

COLUMNS = ("split", "partition", "Split", "SPLIT")
"""Columns in which a row says which split it belongs to."""
TRAIN = ("train", "training")
VALIDATION = ("validation", "valid", "val", "dev", "eval", "evaluation")
TEST = ("test", "testing", "heldout", "holdout")
_ALIKE = {name: names[0] for names in (TRAIN, VALIDATION, TEST) for name in names}
NAMES = frozenset(_ALIKE)


def same_split(name: str, other: str) -> bool:
    """Whether two names mean one split: `val` and `validation`."""
    one, two = name.strip().lower(), other.strip().lower()
    return _ALIKE.get(one, one) == _ALIKE.get(two, two)


def split_of(row: Row) -> str:
    """The split that a row belongs to, where its file or a column says so and it is a known one; else ""."""
    if row.split or row.value is None:
        return row.split
    return next(
        (
            row.value[name].strip()
            for name in COLUMNS
            if isinstance(row.value.get(name), str) and row.value[name].strip().lower() in NAMES
        ),
        "",
    )


def held_split(rows: Iterable[Row], looked_at: int) -> str:
    """The split among the rows that evaluates best, a validation set before a test set; "" when there is none.

    All rows are read only where one of the first `looked_at` names a split.
    """
    waiting = iter(rows)
    first = [split_of(row) for row in islice(waiting, looked_at)]
    if not any(first):
        return ""
    found = ""
    for name in chain(first, map(split_of, waiting)):
        if name and same_split(name, VALIDATION[0]):
            return name
        found = found or (name if name and same_split(name, TEST[0]) else "")
    return found
