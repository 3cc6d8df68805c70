"""What the gated delta rule keeps for its backward when it runs as torch operations on chunks of a sequence."""

from __future__ import annotations

from typing import NamedTuple

from advisor.model.spec import DeltaRule

CHUNK = 64
"""Tokens of a chunk (transformers' torch_chunk_gated_delta_rule)."""


class Values(NamedTuple):
    """fp32 values for each token."""

    kept: int
    moving: int
    """Gradients alive at the worst moment of the scan's backward."""


def chunked_delta_rule(delta: DeltaRule) -> Values:
    """Counted in the source, transformers 5.23 `torch_chunk_gated_delta_rule`; everything in it is fp32.

    As wide as the keys of all value heads: queries and keys before and after their norm, keys times beta, the keys
    that read the old state, queries and keys with their decay. As wide as the values: values, solved values, values
    of each chunk. For each head and pair of positions in a chunk: products of keys, of queries, decay, the system and
    the scores. And one state of each head for each chunk. In backward every slice of a chunk gets a gradient as large
    as the whole, which is then added to that of the others.
    """
    keys, values = delta.value_heads * delta.key_dim, delta.value_heads * delta.value_dim
    pairs = delta.value_heads * CHUNK
    states = delta.value_heads * delta.key_dim * delta.value_dim // CHUNK
    return Values(
        kept=8 * keys + 3 * values + 5 * pairs + states,
        moving=2 * (3 * keys + values + pairs),
    )
