"""From tensor bytes to what the allocator reserves and what nvidia-smi shows; and how sure each figure is."""

from __future__ import annotations

from typing import NamedTuple

from advisor.estimate import constants as const
from advisor.estimate.result import Band


class Slack(NamedTuple):
    """Bytes above the tensors at one moment."""

    cached: int
    """Reserved by the caching allocator and not in use."""
    context: int
    """Outside the allocator: CUDA context, loaded kernels, NCCL."""


def workspace_bytes(sm: int | None) -> int:
    """cuBLAS workspaces inside the allocator's count."""
    each = const.CUBLAS_WORKSPACE_HOPPER_BYTES if sm is not None and sm >= 90 else const.CUBLAS_WORKSPACE_BYTES
    return const.CUBLAS_HANDLES * each


def slack(moving: int, full_cells: int, *, sharded: bool, world: int) -> Slack:
    """`moving`: bytes that come and go in each step; `full_cells`: tokens x vocabulary of logits held whole (else 0).

    Blocks of whole logits are of sizes that nothing else uses, so the allocator keeps them apart.
    """
    rate = const.CACHED_SHARE_SHARDED if sharded else const.CACHED_SHARE
    cached = int(moving * rate) + full_cells * const.LOGITS_CACHED_BYTES
    context = const.CONTEXT_BYTES
    if world > 1:
        context += const.NCCL_BYTES
    if sharded:
        cached += const.SHARDED_CACHED_BYTES
    return Slack(cached, context)


def band(likely: int, static: int, low: float, high: float) -> Band:
    """`likely` with its uncertainty; the part that does not move (weights and states) is certain."""
    moving = max(0, likely - static)
    return Band(low=likely - int(moving * low), likely=likely, high=likely + int(moving * high))
