"""What one device holds when several share: replicas, FSDP, ZeRO-2 and ZeRO-3, CPU offload; in bytes.

FSDP: parameters, gradients and optimizer states in equal shards; the outer unit (embedding, head, final norm) stays
gathered through forward and backward, blocks are gathered one ahead of the block at work. The scales of quantised
matrices are not parameters and stay whole on each device. ZeRO-2 shards gradients and optimizer states, ZeRO-3 the
parameters too; DeepSpeed holds an fp32 master of what trains.
"""

from __future__ import annotations

from typing import NamedTuple

from advisor.estimate import constants as const
from advisor.estimate.optimizer import States
from advisor.estimate.weights import Stored


class Placement(NamedTuple):
    """Bytes on one device that do not depend on the batch; `host` is what offloading puts into RAM, per device."""

    weights: int
    adapters: int
    gradients: int
    states: int
    step: int
    outer: int
    """Gathered outer unit: alive from the first forward to the end of backward."""
    block: int
    """Gathered block; one is at work, one may be on its way."""
    block_gradient: int
    """Unreduced gradient of one block, with the buffer it is reduced from."""
    outer_gradient: int
    """The same for the outer unit, whose gradients are the last to be reduced."""
    last_block: int
    """A block that is still gathered when the loss is computed (FSDP2 does not reshard the last one)."""
    bucket: int
    """Communication buckets of gradients."""
    host: int


class Held(NamedTuple):
    """Whole-model figures that are placed on devices."""

    stored: Stored
    adapters: int
    trained_base: bool
    trained: int
    gradients: int
    states: States
    root_compute: int
    """The outer unit in the compute dtype."""
    block_compute: int
    """The largest block as it is gathered."""
    compute: int
    block_params: int
    scales_sharded: bool
    fsdp2: bool
    accumulates_whole: bool
    on_cpu: bool


def place(held: Held, sharding: str, world: int, offload: bool, adapters_sharded: bool) -> Placement:
    """Spread a training state over `world` devices."""
    if sharding == "fsdp":
        return _fsdp(held, world, offload, adapters_sharded)
    if sharding in ("zero2", "zero3"):
        return _zero(held, world, sharding == "zero3", offload)
    gradients = held.gradients
    return Placement(
        weights=held.stored.total,
        adapters=held.adapters,
        gradients=gradients,
        states=held.states.device,
        step=held.states.step,
        outer=0,
        block=0,
        block_gradient=0,
        outer_gradient=0,
        last_block=0,
        bucket=gradients if sharding == "ddp" else 0,
        host=held.states.host,
    )


def _share(amount: int, world: int) -> int:
    return -(-amount // world)


def _fsdp(held: Held, world: int, offload: bool, adapters_sharded: bool) -> Placement:
    stored = held.stored
    whole = 0 if held.scales_sharded else stored.scales
    base = _share(stored.total - whole, world) + whole
    parts = world if held.trained_base or adapters_sharded else 1
    adapters = _share(held.adapters, parts)
    gradients = held.gradients if held.accumulates_whole else _share(held.gradients, parts)
    states = _share(held.states.device, parts)
    copies = 2 if held.fsdp2 else 1
    outer_shard = 0 if offload else _share(held.root_compute // held.compute * 4, world)
    resting = base - whole + adapters + gradients + states
    return Placement(
        weights=whole if offload else base,
        adapters=0 if offload else adapters,
        gradients=0 if offload else gradients,
        states=0 if offload else states,
        step=0 if offload else _share(held.states.step, parts),
        outer=held.root_compute,
        block=held.block_compute,
        block_gradient=copies * held.block_params * held.compute if held.trained_base else 0,
        outer_gradient=max(0, copies * held.root_compute - outer_shard) if held.trained_base else 0,
        last_block=held.block_compute if held.fsdp2 else 0,
        bucket=0,
        host=(resting if offload else 0) + held.states.host,
    )


def _zero(held: Held, world: int, whole: bool, offload: bool) -> Placement:
    stored = held.stored
    base = _share(stored.packed + stored.blocks + stored.root, world) + stored.scales if whole else stored.total
    adapters = _share(held.adapters, world) if whole else held.adapters
    masters = _share(12 * held.trained, world)
    gradients = _share(held.trained * held.compute, world)
    step = 8 * min(_share(held.trained, world), const.ZERO_SUB_GROUP_VALUES)
    # memory that was never written is not resident on a CPU
    values = min(const.ZERO_BUCKET_VALUES, held.trained) if held.on_cpu else const.ZERO_BUCKET_VALUES
    bucket = 2 * values * held.compute
    return Placement(
        weights=0 if offload and whole else base,
        adapters=0 if offload and whole else adapters,
        gradients=0 if offload else gradients,
        states=0 if offload else masters,
        step=0 if offload else step,
        outer=held.root_compute if whole else 0,
        block=held.block_compute if whole else 0,
        block_gradient=held.block_params * held.compute if whole and held.trained_base else 0,
        outer_gradient=held.root_compute if whole and held.trained_base else 0,
        last_block=0,
        bucket=bucket,
        host=(masters + gradients + (base + adapters if whole else 0)) if offload else 0,
    )
