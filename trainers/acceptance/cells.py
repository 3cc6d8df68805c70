"""What an acceptance run trains: one plan changed in one thing at a time, and what must stay as it is. No torch."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from trainers.accelerators import by_cuda_api
from trainers.plan import TrainingPlan, plan_problems

BASE = "lora"
"""The name of the cell that others are held against."""
STEPS, HALF = 8, 4
EXACT = 0.0
ROUNDED, ROUNDED_16 = 1e-3, 3e-2
"""Largest difference of a training loss, in nats per token, where sums are made in another order: of fp32 products,
and of 16-bit ones."""


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One plan to train."""

    name: str
    plan: TrainingPlan
    like: str | None = None
    """The cell whose losses this one must have; None: it only has to learn."""
    within: float = EXACT
    """Nats by which each may differ."""
    stops_at: int | None = None
    """A step at which it is stopped, to be resumed from there."""


def cells(base: TrainingPlan, installed: Collection[str] = (), devices: int = 1) -> list[Cell]:
    """The matrix for a device, those first that tell most. `base` says model, data, device and precision.

    `installed`: which of flash_attn, liger_kernel and bitsandbytes are there. `devices`: how many cards.
    """
    plan = _small(base)
    near = ROUNDED if plan.compute_dtype == "fp32" else ROUNDED_16
    found = [
        Cell(name=BASE, plan=plan),
        Cell(name="the same again", plan=plan, like=BASE),
        Cell(name="stopped and resumed", plan=plan, like=BASE, stops_at=HALF),
    ]

    def alike(name: str, within: float = near, **fields: Any) -> None:
        found.append(Cell(name=name, plan=msgspec.structs.replace(plan, **fields), like=BASE, within=within))

    def other(name: str, **fields: Any) -> None:
        found.append(Cell(name=name, plan=msgspec.structs.replace(plan, **fields)))

    half = plan.micro_batch_size // 2
    alike("accumulated", micro_batch_size=half, gradient_accumulation_steps=2, eval_micro_batch_size=half)
    alike("activations recomputed", gradient_checkpointing=not plan.gradient_checkpointing)
    alike("loss over all logits", loss_kernel="full")
    alike("plain attention", attention="eager")
    if "bitsandbytes" in installed:
        other("qlora", method="qlora", quantization="nf4")
    other("full", **_whole(plan))
    other("packed", packing=True)
    if by_cuda_api(plan.accelerator):
        alike("activations in RAM", gradient_checkpointing=True, activation_offload=True)
        other("full in fp32", **_whole(plan), compute_dtype="fp32", weights_dtype="fp32")
    else:
        other("lora in bf16", compute_dtype="bf16", weights_dtype="bf16")
    if "flash_attn" in installed and by_cuda_api(plan.accelerator):
        alike("FlashAttention 2", attention="flash2")
    if "liger_kernel" in installed and by_cuda_api(plan.accelerator):
        alike("Liger kernels", loss_kernel="liger")
    if devices > 1:
        two: dict[str, Any] = {"num_gpus": 2, "device_uuids": plan.device_uuids[:2], "micro_batch_size": half}
        alike("two cards", sharding="ddp", **two)
        other("full in shards", **_whole(plan), sharding="fsdp", **two)
    if "bitsandbytes" in installed:
        other("full, 8-bit states", **_whole(plan), optimizer="adamw_8bit")
        other("qlora, paged states", method="qlora", quantization="nf4", optimizer="paged_adamw_32bit")
    other("full, step in backward", **_whole(plan), optimizer="adafactor", optimizer_in_backward=True)
    other("dora", use_dora=True)
    other("prefix", method="prefix", num_virtual_tokens=16, gradient_checkpointing=False, learning_rate=1e-2, **_BARE)
    other("bottleneck adapters", method="adapter", adapter_bottleneck=16, learning_rate=1e-3, **_BARE)
    wrong = {cell.name: problems for cell in found if (problems := plan_problems(cell.plan))}
    if wrong:
        raise AssertionError(f"cells that are no plans: {wrong}")
    return found


_BARE: dict[str, Any] = {"lora_rank": None, "lora_alpha": None, "lora_targets": None, "lora_dropout": None}


def _whole(plan: TrainingPlan) -> dict[str, Any]:
    return {"method": "full", "learning_rate": plan.learning_rate / 10, **_BARE}


def _small(base: TrainingPlan) -> TrainingPlan:
    """A few steps of plain LoRA on one device, whose curve anything else can be held against."""
    return msgspec.structs.replace(
        base,
        method="lora",
        quantization="none",
        lora_rank=8,
        lora_alpha=16,
        lora_dropout=0.0,
        lora_targets=("all-linear",),
        start_adapter=None,
        optimizer="adamw_torch",
        optimizer_in_backward=False,
        learning_rate=5e-4,
        lr_scheduler="constant",
        warmup_steps=0,
        micro_batch_size=4,
        gradient_accumulation_steps=1,
        eval_micro_batch_size=4,
        packing=False,
        gradient_checkpointing=False,
        attention="sdpa",
        loss_kernel="chunked",
        num_gpus=1,
        num_nodes=1,
        device_uuids=base.device_uuids[:1],
        sharding="none",
        max_steps=STEPS,
        save_steps=HALF,
        eval_steps=STEPS,
        load_best_model_at_end=False,
        early_stopping_patience=None,
        predicted_peak_bytes=None,
        made_for=None,
    )
