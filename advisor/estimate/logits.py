"""The head and the loss: bytes alive at the worst moment between the last block and the first gradient."""

from __future__ import annotations

from typing import Literal, NamedTuple

from advisor.estimate import constants as const

HeadKind = Literal[
    "upcast_shift",
    "in_place",
    "upcast",
    "compute",
    "compute_in_place",
    "chunked",
    "chunk_list",
    "compiled",
    "tiled",
    "liger",
    "cut",
]


class HeadSizes(NamedTuple):
    """What the head's memory depends on, besides the number of tokens."""

    vocab: int
    hidden: int
    compute: int
    trained: bool
    autocast: bool
    kind: HeadKind
    weight: int = 2
    """Bytes of a value of the head's weight."""
    stream: int = 2
    """Bytes of a value of the hidden states that reach the head."""
    on_cpu: bool = False
    drops_compute: bool = False
    outputs_kept: bool = False
    returns_fp32: bool = False
    """The model's output is converted to fp32 and kept through backward (accelerate)."""


def cell_bytes(size: HeadSizes) -> int:
    """Bytes for each token and vocabulary entry of a head that holds all logits; 0 for heads that never do.

    upcast_shift  transformers before 4.46: compute-dtype logits, fp32 copy, shifted copy, log-softmax
    in_place      a Triton loss writes the gradient over the shifted copy
    upcast        transformers since 4.46: fp32 copy, log-softmax, gradient
    compute       families that do not upcast: logits, shifted copy, log-softmax and gradient in the compute dtype;
                  under autocast the loss is fp32
    chunk_list    logits in a list of chunks, each with its log-softmax, both in the compute dtype
    compiled      a compiled loss: logits and their gradient in the compute dtype, one fp32 tensor
    compute_in_place  the same with the gradient written over the log-softmax
    """
    b = size.compute
    kept = 0 if size.drops_compute else b
    returned = 4 if size.returns_fp32 else 0
    table: dict[HeadKind, int] = {
        "upcast_shift": 16 if size.outputs_kept else kept + 12,
        "in_place": kept + 8,
        "upcast": 12,
        "compiled": 2 * b + 4,
        "chunk_list": 2 * b,
        "compute": b + 12 + returned if size.autocast else 4 * b,
        "compute_in_place": b + 8 + returned if size.autocast else 3 * b,
    }
    return table.get(size.kind, 0)


def pooled_cell_bytes(size: HeadSizes) -> int:
    """Bytes for each cell that the allocator ends up holding: one block of every size that the head asks for, since
    nothing else can use them, whether or not they were alive together."""
    alive = cell_bytes(size)
    upcasts = size.kind in ("upcast_shift", "in_place", "upcast") or size.autocast
    return max(alive, const.POOLED_LOGITS_BYTES) if alive and upcasts else alive


def head_bytes(size: HeadSizes, tokens: int) -> int:
    """Bytes of logits, their copies and gradients at the peak; of a trained head also its fp32 gradient buffer.

    TRL's head in tiles holds the hidden states of the scored tokens once more, their fp32 gradient, and that gradient
    in the dtype of the stream (trl/kernels/chunked_logprob.py, trl/trainer/utils.py).
    """
    if size.kind == "tiled":
        tile = min(tokens, const.TRL_TILE_TOKENS) * min(size.vocab, const.TRL_TILE_VOCAB)
        tile = int(tile * 4 * const.TRL_TILE_CPU_COPIES) if size.on_cpu else tile * size.compute
        copies = size.stream + 4 + (size.stream if size.stream != 4 else 0)
        return tile + tokens * size.hidden * copies + _tiled_weight(size)
    if size.kind == "liger":
        return _liger(size, tokens)
    if size.kind == "cut":
        # cut cross-entropy (Wijmans et al. 2024): no logits, two sums for each token, the hidden states' gradient
        return tokens * (2 * 4 + size.hidden * size.compute) + _weight_gradient(size)
    if size.kind == "chunked":
        chunk = -(-tokens // const.CHUNKS) * size.vocab * (size.compute + 12)
        return chunk + tokens * size.hidden * size.compute
    return tokens * size.vocab * cell_bytes(size)


def _tiled_weight(size: HeadSizes) -> int:
    """TRL's head: a tile of a wider weight in the compute dtype; the gradient of a trained one, in fp32 and as the
    copy of the weight's dtype that is handed on."""
    cast = min(size.vocab, const.TRL_TILE_VOCAB) * size.hidden * size.compute if size.weight > size.compute else 0
    if not size.trained:
        return cast
    copy = size.weight if size.weight != 4 else 0
    return cast + size.vocab * size.hidden * (4 + copy)


def _weight_gradient(size: HeadSizes) -> int:
    return size.vocab * size.hidden * 4 if size.trained else 0


def _liger(size: HeadSizes, tokens: int) -> int:
    """Chunks of tokens as Liger's fused linear cross-entropy cuts them: as many as vocab / hidden, rounded up."""
    parts = -(-size.vocab // size.hidden)
    rows = 1 << max(0, (-(-tokens // parts) - 1).bit_length())
    chunk = min(rows, tokens) * size.vocab * (size.compute + 4)
    return chunk + tokens * size.hidden * size.compute + _weight_gradient(size)
