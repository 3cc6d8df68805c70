"""The head and the loss: bytes alive at the worst moment between the last block and the first gradient."""

from __future__ import annotations

from typing import NamedTuple

from advisor.estimate import constants as const


class HeadSizes(NamedTuple):
    """What the head's memory depends on."""

    tokens: int
    vocab: int
    hidden: int
    compute: int
    trained: bool
    head_bytes: int
    """Bytes of the head's weight in the dtype of its gradient."""
    sequences: int = 1


def head_bytes(kind: str, size: HeadSizes) -> int:
    """Bytes of logits, their copies and gradients at the peak.

    upcast_shift      transformers before 4.46: compute-dtype logits, fp32 copy, shifted copy, log-softmax
    upcast_shift_lean the same where the compute-dtype logits are dropped before the loss
    in_place_shift    a Triton loss that writes the gradient over the shifted copy
    upcast            transformers since 4.46 and 5: fp32 copy, log-softmax, gradient
    compute_shift     no upcast: four tensors in the compute dtype
    chunked           the loss in eight parts along the tokens, gradients kept until the last
    trl_fused         tiles of 4096 tokens by 32768 entries; hidden states in fp32
    liger             chunks of tokens as wide as vocab / hidden says
    """
    cells = size.tokens * size.vocab
    b = size.compute
    if kind == "upcast_shift":
        return cells * (b + 12)
    if kind in ("upcast_shift_lean", "upcast"):
        return cells * 12
    if kind == "in_place_shift":
        return cells * (b + 8)
    if kind == "in_place_shift_lean":
        return cells * 8
    if kind == "compute_shift":
        return cells * 4 * b
    if kind == "chunked":
        return cells * b + -(-cells // 8) * 12
    if kind == "trl_fused":
        return _tiled(size)
    if kind == "liger":
        return _liger(size)
    return 0


def _tiled(size: HeadSizes) -> int:
    tile = min(size.tokens, const.TRL_TILE_TOKENS) * min(size.vocab, const.TRL_TILE_VOCAB) * size.compute
    hidden = size.tokens * size.hidden * 4
    weight = size.vocab * size.hidden * 4 if size.trained else 0
    return tile + hidden + weight


def _liger(size: HeadSizes) -> int:
    parts = -(-size.vocab // size.hidden)
    rows = 1 << max(0, (-(-size.tokens // parts) - 1).bit_length())
    chunk = min(rows, size.tokens) * size.vocab * (size.compute + 4)
    weight = size.vocab * size.hidden * 4 if size.trained else 0
    return chunk + size.tokens * size.hidden * size.compute + weight
