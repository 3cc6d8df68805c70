"""What every door shares: how an input is changed, written down and fed."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import tomli_w

from tests.fuzz import mutate

MODEL = "Llama-3.1-8B"
"""A name of the catalogue: an answer about it goes all the way."""
ANSWER = ("--non-interactive", "--hardware", "RTX 4090")
ADVISE = (*ANSWER, "--model")
FIXTURES = Path(__file__).parents[2] / "fixtures"

Commands = list[list[str]]
Feed = Callable[[Path, bytes], Commands]


class Door(msgspec.Struct, frozen=True):
    """One kind of input: a sound one, how a changed one is made, and which commands read it."""

    sound: Callable[[], bytes]
    """An input that all commands take: a door that leads nowhere would let everything pass."""
    make: Callable[[random.Random], bytes]
    feed: Feed
    every: int = 1
    """Its turn comes once in so many rounds: more where a case takes a second instead of a tenth of one."""


def as_json(value: Any) -> bytes:
    """JSON as Python writes it, NaN and lone surrogates too, and however deep."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    try:
        return json.dumps(value).encode()
    finally:
        sys.setrecursionlimit(before)


def as_toml(value: Any) -> bytes:
    """TOML of a changed table; what TOML cannot say is left out."""
    try:
        return tomli_w.dumps(value).encode("utf-8", "surrogateescape")
    except (TypeError, AttributeError, ValueError, RecursionError):
        return as_json(value)


def tree_or_bytes(rng: random.Random, value: Any, write: Callable[[Any], bytes] = as_json) -> bytes:
    changed = write(mutate.tree(rng, value) if rng.random() < 0.85 else value)
    return mutate.raw(rng, changed) if rng.random() < 0.2 else changed


def of_tree(value: Any, feed: Feed, write: Callable[[Any], bytes] = as_json) -> Door:
    """The door of a document: its tree is changed, and sometimes its bytes."""
    return Door(lambda: write(value), lambda rng: tree_or_bytes(rng, value, write), feed)


def of_text(choices: tuple[str, ...], feed: Feed) -> Door:
    """The door of a text of which several are sound."""
    return Door(
        choices[0].encode,
        lambda rng: mutate.text(rng, rng.choice(choices)).encode("utf-8", "replace"),
        feed,
    )


def as_argument(content: bytes) -> str:
    """Text as a shell can hand it over: without zero bytes, and no longer than the system takes."""
    return content.decode("utf-8", "replace").replace("\0", "")[:100_000]
