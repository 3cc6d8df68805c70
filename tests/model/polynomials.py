"""How a tensor's shape follows from the sizes of a config, told from what each size does when it is doubled.

A dimension of a tensor is a constant plus a product of powers of sizes; the product of a tensor's dimensions, summed
over the tensors of a part, is a polynomial in the sizes.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

OFFSETS = (0, 1, 2, 3, 4, 5, 6, -1, -2, -3)
Field = str
Monomial = tuple[tuple[Field, int], ...]
Polynomial = dict[Monomial, float]
Factor = Polynomial


class NotDerivedError(Exception):
    """Why a family's towers have no polynomial."""


def fields_of(parts: dict[str, dict[str, Polynomial]]) -> set[Field]:
    """The fields that the polynomials ask for."""
    return {field for kinds in parts.values() for poly in kinds.values() for mono in poly for field, _ in mono}


def difference(new: dict[str, dict[str, Polynomial]], old: dict[str, dict[str, Polynomial]]) -> Any:
    """What `new` holds beyond `old`, part by part."""
    result: dict[str, dict[str, Polynomial]] = {}
    for part in {*new, *old}:
        for kind in ("linear", "other"):
            a, b = new.get(part, {}).get(kind, {}), old.get(part, {}).get(kind, {})
            poly = {mono: a.get(mono, 0) - b.get(mono, 0) for mono in {*a, *b}}
            poly = {mono: value for mono, value in poly.items() if value}
            if poly:
                result.setdefault(part, {})[kind] = poly
    return result


def value_at(polynomial: Polynomial, sizes: dict[Field, float]) -> float:
    """What it comes to for these sizes."""
    total = 0.0
    for mono, coefficient in polynomial.items():
        for field, power in mono:
            coefficient *= sizes[field] ** power
        total += coefficient
    return total


def measure(value: Any) -> float | None:
    """What a value counts for: itself, the side of a square given as a pair, else the length of a list."""
    if isinstance(value, list | tuple):
        if not value or not all(isinstance(one, int) for one in value):
            return None
        return value[0] if _is_square(value) else len(value)
    return value if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else None


def twice(value: Any) -> Any:
    """The value that counts for twice as much."""
    if isinstance(value, list | tuple):
        return [2 * one for one in value] if _is_square(value) else [*value, *value]
    return 2 * value


def _is_square(value: Any) -> bool:
    return len(value) == 2 and value[0] == value[1]


def tensor_polynomial(name: str, copies: Any, others: dict[Field, Any], at: dict[Field, float]) -> Polynomial:
    """The parameters of all copies of a tensor."""
    if len(set(copies)) > 1 or any(len(set(found)) > 1 for found in others.values()):
        totals = {field: sum(map(math.prod, found)) for field, found in others.items()}
        return factor(sum(map(math.prod, copies)), totals, at, name)
    result = factor(len(copies), {field: len(found) for field, found in others.items()}, at, name)
    for axis, size in enumerate(copies[0]):
        if any(len(found[0]) != len(copies[0]) for found in others.values()):
            raise NotDerivedError(f"{name} changes its number of axes")
        result = times(result, factor(size, {field: found[0][axis] for field, found in others.items()}, at, name))
    return result


def factor(size: int, changed: dict[Field, int], at: dict[Field, float], name: str) -> Factor:
    """One dimension as a sum: a constant plus a product of powers, times other sizes. Raises NotDerivedError."""
    moved = {field: other for field, other in changed.items() if other != size}
    if not moved:
        return {(): size}
    even = {field: power for field in moved if (power := _power(size, moved[field]))}
    outer: float = size
    for field, power in even.items():
        outer /= at[field] ** power
    uneven = {field: other / size for field, other in moved.items() if field not in even}
    around = tuple(sorted(even.items()))
    if not uneven:
        return {around: round(outer, 9)}
    for offset in OFFSETS:
        powers = {field: _power(outer - offset, ratio * outer - offset) for field, ratio in uneven.items()}
        inner: float = outer - offset
        for field, power in powers.items():
            inner /= at[field] ** (power or 0)
        if None not in powers.values():
            found = times({tuple(sorted(powers.items())): round(inner, 9)}, {around: 1})  # type: ignore[arg-type]
            return found | ({around: offset} if offset else {})
    return _sum_of_sizes(size, moved, at, name)


def _sum_of_sizes(size: int, moved: dict[Field, int], at: dict[Field, float], name: str) -> Factor:
    """A dimension that is linear in each of the sizes by itself. Raises NotDerivedError."""
    total: Factor = {}
    rest: float = size
    for field, other in moved.items():
        slope = (other - size) / at[field]
        total[((field, 1),)] = slope
        rest -= slope * at[field]
    if all(value == int(value) for value in (*total.values(), rest)):
        return total | ({(): rest} if rest else {})
    raise NotDerivedError(f"{name}: {size} becomes {moved}")


def _power(size: float, other: float) -> int | None:
    """The power p where twice the value makes 2^p as much; None where it is none."""
    if size <= 0:
        return None
    return {4: 2, 2: 1, 0.5: -1, 0.25: -2}.get(other / size)


def times(first: Polynomial, second: Polynomial) -> Polynomial:
    """The product of two polynomials."""
    result: Polynomial = {}
    for mono, value in first.items():
        for other, factor_value in second.items():
            powers: dict[Field, int] = defaultdict(int)
            for field, power in (*mono, *other):
                powers[field] += power
            key = tuple(sorted((field, power) for field, power in powers.items() if power))
            result[key] = result.get(key, 0) + value * factor_value
    return result
