"""The ways to run each method on the devices at hand, from the fastest to the leanest.

A variant fixes the structural axes of a plan (sharding, checkpointing, optimizer, offload); every other field is the
business of the rule book.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from advisor.facts import Devices, Facts
from trainers.plan import Method

COMFORTABLE_SHARE = 0.7
"""Without checkpointing a plan may take this share of the free memory (rule R56 of the book says why)."""


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """One way to run a method; `fields` are plan fields that the set rules may not change."""

    name: str
    fields: dict[str, Any]
    share: float = 1.0
    """How much of the available memory it may take."""


def methods_to_judge(facts: Facts) -> tuple[Method, ...]:
    """Full, LoRA and QLoRA always; prefix tuning and bottleneck adapters only when asked for."""
    wished = facts.get("wish.method")
    extra: tuple[Method, ...] = (wished,) if wished in ("prefix", "adapter") else ()
    return ("lora", "qlora", "full", *extra)


def variants(method: Method, devices: Devices) -> Iterator[Variant]:
    """Ways to run `method` on these devices, the fastest first, the leanest last."""
    base: dict[str, Any] = {
        "method": method,
        "quantization": "nf4" if method == "qlora" else "none",
        "accelerator": devices.accelerator,
        "num_gpus": devices.count,
        "num_nodes": devices.num_nodes if devices.gpus else 1,
    }
    for sharding, offload in _shardings(method, devices):
        shared = base | {"sharding": sharding, "cpu_offload": offload}
        place = sharding if sharding != "none" else "one device"
        place += " with CPU offload" if offload else ""
        for name, fields, share in _memory_steps(method, devices, sharding, offload):
            yield Variant(name=f"{place}, {name}", fields=shared | fields, share=share)


def _shardings(method: Method, devices: Devices) -> tuple[tuple[str, bool], ...]:
    if devices.count == 1:
        return (("none", False),)
    if method in ("prefix", "adapter"):
        return (("ddp", False),)
    sharded = (("fsdp", False), ("fsdp", True))
    return sharded if method == "full" else (("ddp", False), *sharded)


def _memory_steps(
    method: Method, devices: Devices, sharding: str, offload: bool
) -> Iterator[tuple[str, dict[str, Any], float]]:
    """(name, plan fields, share of memory it may take) from fastest to leanest."""
    plain: dict[str, Any] = {"gradient_checkpointing": False}
    saving: dict[str, Any] = {"gradient_checkpointing": True}
    if method == "full":
        yield from _full_steps(devices, sharding, offload)
        return
    if not offload:
        yield "activations kept", plain, COMFORTABLE_SHARE
    if method != "prefix":
        yield "gradient checkpointing", saving, 1.0
    else:
        yield "activations kept, tight", plain, 1.0


def _full_steps(devices: Devices, sharding: str, offload: bool) -> Iterator[tuple[str, dict[str, Any], float]]:
    saving: dict[str, Any] = {"gradient_checkpointing": True, "optimizer_in_backward": False}
    fused = {"optimizer": "adamw_torch_fused"}
    if not offload:
        plain = {"gradient_checkpointing": False, "optimizer_in_backward": False}
        yield "fp32 master weights", plain | fused | {"weights_dtype": "fp32"}, COMFORTABLE_SHARE
    yield "fp32 master weights, checkpointing", saving | fused | {"weights_dtype": "fp32"}, 1.0
    if devices.accelerator == "cpu" or offload:
        return
    yield "bf16 weights, checkpointing", saving | fused | {"weights_dtype": "bf16"}, 1.0
    eight_bit = {"weights_dtype": "bf16", "optimizer": "adamw_8bit"}
    yield "bf16 weights, 8-bit Adam, checkpointing", saving | eight_bit, 1.0
    if sharding == "none":
        leanest = eight_bit | {"optimizer": "paged_adamw_8bit"}
        yield (
            "bf16 weights, paged 8-bit Adam stepped in backward, checkpointing",
            saving | leanest | {"optimizer_in_backward": True},
            1.0,
        )
