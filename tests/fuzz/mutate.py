"""Mutations by structure, not only by bytes: a tree keeps its shape but for one or two places."""

from __future__ import annotations

import random
from typing import Any

INTEGERS = (0, -1, 1, 2, 7, 255, 2**31, 2**32, 2**40, 2**63, 2**64, -(2**63), 10**9, 10**12, 10**30, 10**400)
FLOATS = (0.0, -0.0, 1e308, -1e308, 1e-320, float("nan"), float("inf"), float("-inf"), 0.5)
TEXTS = (
    "", " ", "\x1b[31mred", "\x1b]0;title\x07", "\x9b31m", "\u202eabc", "\0", "a" * 5000, "../../x", "/etc/passwd",
    "9" * 5000, "null", "true", "{{ 1/0 }}", "\n#", "'\"`$(id)", "\ud7ff", "é中🇩🇪", "-1", "1e999", "nan", "%s%n",
)  # fmt: skip
DEEP = 3000


def tree(rng: random.Random, value: Any) -> Any:
    """The same tree with one to three places changed."""
    for _ in range(rng.randint(1, 3)):
        value = _changed(rng, value)
    return value


def _changed(rng: random.Random, value: Any) -> Any:
    if isinstance(value, dict) and value and rng.random() < 0.9:
        value = dict(value)
        key = rng.choice(list(value))
        kind = rng.random()
        if kind < 0.1:
            del value[key]
        elif kind < 0.17:
            value[rng.choice(TEXTS) or "x"] = value.pop(key)
        elif kind < 0.24:
            value[rng.choice(list(value))] = value[key]
        else:
            value[key] = _changed(rng, value[key])
        return value
    if isinstance(value, list) and value and rng.random() < 0.85:
        value = list(value)
        place = rng.randrange(len(value))
        kind = rng.random()
        if kind < 0.15:
            del value[place]
        elif kind < 0.3:
            value += [value[place]] * rng.choice((1, 2, 100))
        else:
            value[place] = _changed(rng, value[place])
        return value
    return leaf(rng, value)


def leaf(rng: random.Random, value: Any) -> Any:
    """Another value in the place of this one: often of its type, sometimes of any."""
    kind = rng.random()
    if kind < 0.3 and isinstance(value, str):
        return text(rng, value)
    if kind < 0.5 and isinstance(value, int) and not isinstance(value, bool):
        return value * rng.choice((-1, 2, 1000, 10**6)) + rng.choice((-1, 0, 1))
    choices: tuple[Any, ...] = (
        rng.choice(INTEGERS), rng.choice(FLOATS), rng.choice(TEXTS), None, True, False, [], {}, [value], {"a": value},
        _nested(rng.choice((2, 50, DEEP))), [rng.choice(TEXTS)] * 3,
    )  # fmt: skip
    return rng.choice(choices)


def _nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def text(rng: random.Random, value: str) -> str:
    """A text with pieces put in, taken out, doubled or swapped."""
    for _ in range(rng.randint(1, 3)):
        place = rng.randint(0, len(value))
        length = rng.choice((1, 1, 3, 10))
        kind = rng.randrange(5)
        if kind == 0:
            value = value[:place] + rng.choice(TEXTS) + value[place:]
        elif kind == 1:
            value = value[:place] + value[place + length :]
        elif kind == 2:
            value = value[:place] + value[place : place + length] * rng.choice((2, 50)) + value[place + length :]
        elif kind == 3:
            value = value[:place] + chr(rng.choice((0, 9, 27, 127, 155, 0x202E, 0x2028, 0xFFFD))) + value[place:]
        else:
            value = value[:place] + str(rng.choice(INTEGERS)) + value[place:]
    return value


def raw(rng: random.Random, content: bytes) -> bytes:
    """Bytes flipped, cut, doubled, or replaced by numbers that counts and lengths are made of."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 6)):
        if not data:
            return bytes(data)
        place = rng.randrange(len(data))
        kind = rng.randrange(6)
        if kind == 0:
            data[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[place] = rng.randrange(256)
        elif kind == 2:
            del data[place : place + rng.choice((1, 4, 8, 64))]
        elif kind == 3:
            data[place:place] = data[place : place + rng.choice((1, 8, 64))]
        elif kind == 4:
            number = rng.choice((0, 1, 2**16, 2**31, 2**32 - 1, 2**40, 2**60, 2**63, 2**64 - 1))
            data[place : place + 8] = number.to_bytes(8, "little")
        else:
            del data[place:]
    return bytes(data)
