"""From tensor bytes to what the allocator reserves and what nvidia-smi shows; and how sure each figure is."""

from __future__ import annotations

from advisor.estimate import constants as const
from advisor.estimate.result import Band


def workspace_bytes(sm: int | None) -> int:
    """cuBLAS workspaces inside the allocator's count."""
    each = const.CUBLAS_WORKSPACE_HOPPER_BYTES if sm is not None and sm >= 90 else const.CUBLAS_WORKSPACE_BYTES
    return const.CUBLAS_HANDLES * each


def context_bytes(world: int) -> int:
    """What a process holds outside the allocator: CUDA context, loaded kernels, NCCL."""
    return const.CONTEXT_BYTES + (const.NCCL_BYTES if world > 1 else 0)


def cached_bytes(moving: int, *, sharded: bool, lengths_vary: bool) -> int:
    """Reserved by the caching allocator and not in use; `moving`: bytes that come and go in each step.

    Batches that differ in length leave blocks behind that the next batch cannot use.
    """
    rate = const.CACHED_SHARE_SHARDED if sharded else const.CACHED_SHARE
    if lengths_vary:
        rate += const.CACHED_SHARE_VARYING
    return int(moving * rate) + (const.SHARDED_CACHED_BYTES if sharded else 0)


def cached_beside_logits(logits: int, pool: int, block: int, *, sharded: bool, lengths_vary: bool) -> int:
    """The same where all logits are held: their blocks are of sizes that nothing else uses.

    `pool`: one block of every size that the head asks for; `block`: what one block of the model moves.
    """
    if lengths_vary:
        pool = int(pool * const.POOLED_LOGITS_VARYING)
    fixed = const.SHARDED_CACHED_BYTES if sharded else 0
    return max(0, pool - logits) + int(block * const.CACHED_BLOCK_SHARE) + fixed


def band(likely: int, static: int, low: float, high: float) -> Band:
    """`likely` with its uncertainty; the part that does not move (weights and states) is certain."""
    moving = max(0, likely - static)
    return Band(low=likely - int(moving * low), likely=likely, high=likely + int(moving * high))
