"""From tensor bytes to what the allocator reserves and what nvidia-smi shows; and how sure each figure is."""

from __future__ import annotations

from typing import NamedTuple

from advisor.estimate import constants as const
from advisor.estimate.result import Band


def workspace_bytes(sm: int | None) -> int:
    """cuBLAS workspaces inside the allocator's count."""
    each = const.CUBLAS_WORKSPACE_HOPPER_BYTES if sm is not None and sm >= 90 else const.CUBLAS_WORKSPACE_BYTES
    return const.CUBLAS_HANDLES * each


def context_bytes(world: int, kernels_at_start: bool) -> int:
    """What a process holds outside the allocator: CUDA context, loaded kernels, NCCL."""
    context = const.CONTEXT_EAGER_BYTES if kernels_at_start else const.CONTEXT_BYTES
    return context + (const.NCCL_BYTES if world > 1 else 0)


def cached_bytes(moving: int, *, sharding: str | None, lengths_vary: bool) -> int:
    """Reserved by the caching allocator and not in use; `moving`: bytes that come and go in each step.

    Batches that differ in length leave blocks behind that the next batch cannot use.
    """
    rate = const.CACHED_SHARE_SHARDED if sharding else const.CACHED_SHARE
    if lengths_vary:
        rate += const.CACHED_SHARE_VARYING
    return int(moving * rate) + _gathered(sharding)


def _gathered(sharding: str | None) -> int:
    """Cached blocks of gathered units: `sharding` is fsdp1, fsdp2, zero3 or None."""
    if sharding is None:
        return 0
    return const.FSDP2_CACHED_BYTES if sharding == "fsdp2" else const.SHARDED_CACHED_BYTES


def cached_beside_logits(logits: int, pool: int, block: int, *, sharding: str | None, lengths_vary: bool) -> int:
    """The same where all logits are held: their blocks are of sizes that nothing else uses.

    `pool`: one block of every size that the head asks for; `block`: what one block of the model moves.
    """
    if lengths_vary:
        pool = int(pool * const.POOLED_LOGITS_VARYING)
    return max(0, pool - logits) + int(block * const.CACHED_BLOCK_SHARE) + _gathered(sharding)


class Calibration(NamedTuple):
    """The correction from earlier runs on the same device and stack: scale the bytes that move by `factor`."""

    factor: float
    spread: float
    """Largest deviation of a run's own factor from `factor`, relative."""
    runs: int
    basis: str


class Peaks(NamedTuple):
    """The likely figures of one device, bytes."""

    allocated: int
    reserved: int
    device: int
    static: int
    """Weights, adapters and states: their size is certain."""
    context: int


def not_below_prediction(corrected: tuple[Band, Band, Band], static: int, factor: float) -> tuple[Band, Band, Band]:
    """Runs that needed less may have seen shorter data: the upper end never falls below the plain prediction."""

    def lifted(band: Band) -> Band:
        plain = static + int((band.likely - static) / factor)
        return Band(low=band.low, likely=band.likely, high=max(band.high, plain))

    allocated, reserved, device = corrected
    return lifted(allocated), lifted(reserved), lifted(device)


def bands(
    peaks: Peaks, *, sharded: bool, lengths_vary: bool, family_known: bool, on_cpu: bool = False
) -> tuple[Band, Band, Band]:
    """(allocated, reserved, device) with the spread that published runs of that kind showed.

    The upper ends add a share of what moves and, above the tensors, a fixed margin. The lower ends of reserved and
    device are those of the tensors alone: an allocator short of memory returns its cached blocks first.
    """
    moving = max(0, peaks.allocated - peaks.static)
    up = const.BAND_SHARDED if sharded else const.BAND_ALONE
    down = const.SHORT_BATCHES if lengths_vary else const.BAND_BELOW
    if on_cpu:
        up = const.BAND_CPU
        down = max(down, const.BAND_CPU)
    if not family_known:
        up = down = const.BAND_UNKNOWN_FAMILY
    low = peaks.allocated - int(moving * down)
    spread = int(moving * up)
    above = spread + int(const.BAND_RESERVED_SHARE * peaks.reserved)
    return (
        Band(low=low, likely=peaks.allocated, high=peaks.allocated + spread),
        Band(low=low, likely=peaks.reserved, high=peaks.reserved + above),
        Band(
            low=low + peaks.context,
            likely=peaks.device,
            high=peaks.device + above + int(peaks.context * const.BAND_CONTEXT),
        ),
    )
