"""The ways to run each method on the devices at hand, from the fastest to the leanest.

A variant fixes the structural axes of a plan (sharding, checkpointing, optimizer, offload); every other field is the
business of the rule book.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from advisor.base.language import tr
from advisor.decide.facts import Devices, Facts
from trainers.accelerators import Accelerator
from trainers.method import METHODS, Method
from trainers.plan import Dtype, Optimizer, Quantization, Sharding
from trainers.seen_to_run import was_seen_to_step

COMFORTABLE_SHARE = 0.7
"""Without checkpointing a plan may take this share of the free memory (rules HYP-72 and HYP-73 say what it buys)."""


class Axes(msgspec.Struct, frozen=True, kw_only=True):
    """Plan fields that a variant fixes, named as in the plan. None: left to the rules."""

    method: Method
    quantization: Quantization
    accelerator: Accelerator
    num_gpus: int
    num_nodes: int
    sharding: Sharding
    cpu_offload: bool
    gradient_checkpointing: bool
    optimizer: Optimizer | None = None
    optimizer_in_backward: bool | None = None
    weights_dtype: Dtype | None = None

    def fixed(self) -> dict[str, Any]:
        """Field -> value of each that is fixed."""
        return {name: value for name, value in msgspec.structs.asdict(self).items() if value is not None}


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """One way to run a method."""

    name: str
    axes: Axes
    form: str
    """What is learnt: forms are taken in their order, variants of one form by their time."""
    share: float
    """How much of the available memory it may take."""


def methods_to_judge(facts: Facts) -> tuple[Method, ...]:
    """Full, LoRA and QLoRA always; prefix tuning and bottleneck adapters only when asked for."""
    wished = facts.get("wish.method")
    return tuple(name for name, method in METHODS.items() if name == wished or not method.on_request)


def variants(method: Method, devices: Devices) -> Iterator[Variant]:
    """Ways to run `method` on these devices, the fastest first, the leanest last."""
    for sharding, offload in _shardings(method, devices):
        place = (tr("one device") if sharding == "none" else sharding) + (tr(" with CPU offload") if offload else "")
        checkpointed = Axes(
            method=method,
            quantization=METHODS[method].quantization,
            accelerator=devices.accelerator,
            num_gpus=devices.count,
            num_nodes=devices.num_nodes if devices.gpus else 1,
            sharding=sharding,
            cpu_offload=offload,
            gradient_checkpointing=True,
        )
        steps = _full_steps(checkpointed) if method == "full" else _adapter_steps(checkpointed)
        for name, axes, share in steps:
            yield Variant(name=f"{place}, {name}", axes=axes, form=_form(axes), share=share)


def _form(axes: Axes) -> str:
    """What differs in what is learnt: rounding to bf16, and steps that cannot accumulate; 8-bit states do not."""
    return " ".join((axes.weights_dtype or "", "in-backward" if axes.optimizer_in_backward else "")).strip()


def _shardings(method: Method, devices: Devices) -> tuple[tuple[Sharding, bool], ...]:
    """(sharding, CPU offload) from fastest to leanest."""
    if devices.count == 1:
        return (("none", False),)
    if METHODS[method].on_request:
        return (("ddp", False),)
    sharded: tuple[tuple[Sharding, bool], ...] = (("fsdp", False), ("fsdp", True))
    return sharded if method == "full" else (("ddp", False), *sharded)


def _adapter_steps(checkpointed: Axes) -> Iterator[tuple[str, Axes, float]]:
    """(name, axes, share of memory it may take) from fastest to leanest."""
    kept = msgspec.structs.replace(checkpointed, gradient_checkpointing=False)
    if not checkpointed.cpu_offload:
        yield tr("activations kept"), kept, COMFORTABLE_SHARE
    if not METHODS[checkpointed.method].recomputes:
        yield tr("activations kept, tight"), kept, 1.0
    else:
        yield tr("gradient checkpointing"), checkpointed, 1.0


def _full_steps(checkpointed: Axes) -> Iterator[tuple[str, Axes, float]]:
    """(name, axes, share of memory it may take) from fastest to leanest."""
    replace = msgspec.structs.replace
    fp32 = replace(checkpointed, weights_dtype="fp32", optimizer="adamw_torch_fused", optimizer_in_backward=False)
    if not checkpointed.cpu_offload:
        yield tr("fp32 master weights"), replace(fp32, gradient_checkpointing=False), COMFORTABLE_SHARE
    yield tr("fp32 master weights, checkpointing"), fp32, 1.0
    if checkpointed.accelerator == "cpu" or checkpointed.cpu_offload:
        return
    bf16 = replace(fp32, weights_dtype="bf16")
    yield tr("bf16 weights, checkpointing"), bf16, 1.0
    if was_seen_to_step("adamw_8bit", checkpointed.sharding):
        yield tr("bf16 weights, 8-bit Adam, checkpointing"), replace(bf16, optimizer="adamw_8bit"), 1.0
    if checkpointed.sharding == "none":
        leanest = replace(bf16, optimizer="paged_adamw_8bit", optimizer_in_backward=True)
        yield tr("bf16 weights, paged 8-bit Adam stepped in backward, checkpointing"), leanest, 1.0
