"""What a family states about itself beside its shape: `having(eager_gelu=True)` and `windowed(full_every=4)` over its
builder, or in its row."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import Any

import msgspec

from advisor.model.blocks import Shape
from advisor.model.config import ConfigReader, Windows

Builder = Callable[[ConfigReader], Shape]


@cache
def derived_traits(model_type: str) -> dict[str, Any]:
    """Traits of a family that were read off transformers' modules, by the name of their field.

    `traits.json` is written by `python -m tests.model.family_traits`; `liger_layers` in it is Liger's own table
    (liger_kernel/transformers/monkey_patch.py).
    """
    found: dict[str, Any] = {}
    for trait, families in _table().items():
        if model_type in families:
            found |= {"module_paths": trait} if trait in ("plain", "usual") else {trait: True}
    return found


@cache
def _table() -> dict[str, frozenset[str]]:
    content = Path(__file__).parents[1].joinpath("traits.json").read_bytes()
    return msgspec.json.decode(content, type=dict[str, frozenset[str]])


def having(**traits: Any) -> Callable[[Builder], Builder]:
    """A builder whose shapes have these traits too; names are the fields of `advisor.model.spec.Traits`."""

    def with_traits(builder: Builder) -> Builder:
        @wraps(builder)
        def build(config: ConfigReader) -> Shape:
            shape = builder(config)
            shape.traits = msgspec.structs.replace(shape.traits, **traits)
            return shape

        return build

    return with_traits


def windowed(**pattern: Any) -> Callable[[Builder], Builder]:
    """A builder whose blocks share a window like this (`advisor.model.config.Windows`); a row has the last word."""
    windows = Windows(**pattern)

    def with_windows(builder: Builder) -> Builder:
        @wraps(builder)
        def build(config: ConfigReader) -> Shape:
            config.windows = config.windows or windows
            return builder(config)

        return build

    return with_windows
