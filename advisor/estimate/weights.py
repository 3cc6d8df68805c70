"""Bytes of stored weights: 16- and 32-bit, NF4 with double quantisation, GPTQ, int8; what k-bit preparation adds."""

from __future__ import annotations

from typing import Literal, NamedTuple

from advisor.estimate import constants as const
from advisor.model.spec import Linear, ModelSpec

DTYPE_BYTES = {"bf16": 2, "fp16": 2, "fp32": 4}
QuantisedStorage = Literal["nf4", "nf4_plain", "int8", "gptq_int4", "gptq_int8", "awq_int4"]
Storage = Literal["none"] | QuantisedStorage


class Stored(NamedTuple):
    """Where the bytes of a base model lie. Blocks and root are kept apart because sharding gathers them apart."""

    packed: int
    """Quantised matrices: only the packed values."""
    scales: int
    """Scales, zero points and code tables of the quantised matrices; FSDP does not shard them."""
    blocks: int
    """Unquantised parameters inside the blocks (all of them when nothing is quantised)."""
    root: int
    """Embedding, head, final norm and other parameters outside the blocks."""
    largest_block: int
    """Unquantised parameters of the largest block, in bytes."""
    dequantised: int
    """The largest 4-bit matrix in the compute dtype, which each product with it allocates, or all experts of a block
    where they are unpacked together."""
    gathered_block: int
    """The largest block as an all-gather delivers it, in bytes of its storage."""

    @property
    def total(self) -> int:
        """All bytes on one device without sharding."""
        return self.packed + self.scales + self.blocks + self.root


def nf4_bytes(values: int) -> int:
    """One NF4 matrix of `values` weights with double quantisation, exactly: packed values, absmax codes, tables."""
    packed, scales = _nf4(values)
    return packed + scales


def _nf4(values: int) -> tuple[int, int]:
    blocks = -(-values // const.NF4_BLOCK)
    return -(-values // 2), blocks + 4 * -(-blocks // const.NF4_ABSMAX_BLOCK) + const.NF4_MODULE_BYTES


def _quantised(linear: Linear, storage: Storage) -> tuple[int, int]:
    """(packed, scales) of one copy of a linear's matrix."""
    values = linear.in_features * linear.out_features
    if storage == "nf4":
        return _nf4(values)
    if storage == "nf4_plain":  # without double quantisation: an fp32 absmax for each block
        return -(-values // 2), 4 * -(-values // const.NF4_BLOCK) + 64
    if storage == "int8":
        return values, 4 * linear.out_features
    groups = -(-linear.in_features // const.GPTQ_GROUP) * linear.out_features
    bits = 8 if storage == "gptq_int8" else 4
    order = 0 if storage == "awq_int4" else 4 * linear.in_features
    return values * bits // 8, groups * 2 + groups * bits // 8 + order


def stored_weights(
    spec: ModelSpec,
    *,
    storage: Storage = "none",
    unquantised: int = 2,
    block_dtype: int = 2,
    experts_quantised: bool = False,
    packs_experts: bool = False,
    with_towers: bool = False,
    compute: int = 2,
) -> Stored:
    """Bytes of the base model. `unquantised`: bytes of a parameter outside the quantised matrices.

    bitsandbytes quantises nn.Linear modules only: experts held as 3-D parameters stay wide unless
    `experts_quantised`, or `packs_experts`: then with plain scales, and all experts of a block are unpacked together
    (trainers/methods/packed_experts.py). Embedding and head are never quantised. Parts for images and sound are left
    out of memory while an adapter trains on text; `with_towers` counts them.
    """
    packed = scales = blocks = 0
    largest = gathered = dequantised = 0
    for group in spec.layers:
        block = group.norm_params + group.other_params
        block_packed = block_scales = unpacked = 0
        for linear in group.linears:
            values = linear.in_features * linear.out_features
            packs = packs_experts and linear.fused and linear.role == "expert" and storage == "nf4"
            wide = storage == "none" or (linear.fused and not (experts_quantised or packs)) or linear.unpacked
            if wide or linear.role == "router":
                block += linear.num_params
                continue
            unpacked += linear.copies * values * compute if packs else 0
            one_packed, one_scales = _quantised(linear, "nf4_plain" if packs else storage)
            block_packed += linear.copies * one_packed
            block_scales += linear.copies * one_scales
            dequantised = max(dequantised, values * compute)
            if linear.bias:
                block += linear.copies * linear.out_features
        dequantised = max(dequantised, unpacked)
        each = block * (unquantised if storage != "none" else block_dtype)
        packed += group.count * block_packed
        scales += group.count * block_scales
        blocks += group.count * each
        largest = max(largest, each)
        gathered = max(gathered, each + block_packed)
    outside = spec.embedding_params + spec.head_params + spec.final_norm_params + spec.other_params
    outside += spec.tower_params if with_towers else 0
    left = spec.other_params
    for linear in spec.outer_linears if storage != "none" else ():
        values = linear.in_features * linear.out_features
        if values > left:  # modules that share one weight appear once for each use
            break
        one_packed, one_scales = _quantised(linear, storage)
        packed, scales = packed + one_packed, scales + one_scales
        outside, left = outside - values, left - values
    root = outside * (unquantised if storage != "none" else block_dtype)
    return Stored(packed, scales, blocks, root, largest, dequantised, gathered)
