"""Which kind each block of a mixed decoder is."""

from __future__ import annotations

from advisor.model.config import ConfigReader
from advisor.model.windows import layer_types

ATTENTION = ("full_attention", "attention", "sliding_attention", "*")


def kinds(config: ConfigReader, layers: int, every: int, *keys: str) -> list[str]:
    """The kind of each block: as stated, else attention in every n-th (the interval from `keys`)."""
    stated = layer_types(config, layers)
    if stated:
        return stated
    step = config.size(*keys, default=every) if keys else every
    return ["linear_attention" if (index + 1) % step else "full_attention" for index in range(layers)]


def dense_blocks(config: ConfigReader, layers: int, first: int = 0) -> set[int]:
    """The blocks without experts: those that mlp_layer_types calls dense, else the first ones."""
    stated = config.items("mlp_layer_types")
    if stated:
        return {index for index, kind in enumerate(stated[:layers]) if kind == "dense"}
    return set(range(config.count("first_k_dense_replace", "num_dense_layers", default=first)))
