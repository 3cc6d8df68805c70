"""How long a run takes: a roofline of compute, launch and optimizer traffic, and the traffic between GPUs.

A step is the sum of its micro-steps and of the optimizer step. A micro-step takes as long as its arithmetic at the
rate that such runs reach, or as long as the launches of its kernels, whichever is more; what GPUs exchange adds to
it as far as it does not hide behind arithmetic.
"""

from __future__ import annotations

import math
from typing import Protocol

from advisor.estimate import constants as const
from advisor.estimate.result import TimeEstimate
from advisor.estimate.stacks import OURS, Stack
from advisor.estimate.weights import DTYPE_BYTES
from advisor.model.params import trainable_params
from advisor.model.spec import ModelSpec
from trainers.plan import TrainingPlan


class CardLike(Protocol):
    """What the estimate needs of a card; any value may be None (not known)."""

    @property
    def memory_bandwidth_gbs(self) -> float | None:
        """Memory bandwidth, GB/s."""

    @property
    def bf16_dense_tflops(self) -> float | None:
        """Dense bf16 rate, TFLOPS."""

    @property
    def fp16_dense_tflops(self) -> float | None:
        """Dense fp16 rate, TFLOPS."""

    @property
    def nvlink_gbs(self) -> float | None:
        """NVLink, GB/s both ways; None without it."""


PACKED_FILL = 0.95
"""Share of a packed row that holds real tokens (best-fit decreasing)."""


def estimate_time(
    model: ModelSpec,
    plan: TrainingPlan,
    card: CardLike | None,
    *,
    examples: int | None = None,
    total_tokens: int | None = None,
    len_mean: float | None = None,
    stack: Stack = OURS,
) -> TimeEstimate | None:
    """Tokens a second, hours and GPU-hours; None when the card's speed is not known.

    `total_tokens` counts the real tokens of one epoch, `len_mean` the real tokens of an example: without packing a
    row holds one example and the padding of its batch is computed too.
    """
    peak = _peak_flops(plan, card)
    if peak is None or card is None:
        return None
    real, computed = _tokens_per_row(plan, len_mean)
    rows = plan.micro_batch_size
    micro = micro_step_seconds(model, plan, card, peak, tokens=rows * computed, length=computed, stack=stack)
    optimizer = optimizer_seconds(model, plan, card)
    step = plan.gradient_accumulation_steps * micro + optimizer
    per_step = real * rows * plan.gradient_accumulation_steps * plan.num_gpus
    steps = _num_steps(plan, examples, total_tokens, len_mean)
    total = steps * step if steps is not None else None
    spread = const.TIME_SPREAD_KNOWN
    return TimeEstimate(
        tokens_per_second=per_step / step,
        step_seconds=step,
        num_steps=steps,
        total_seconds=total,
        low_seconds=total / spread if total is not None else None,
        high_seconds=total * spread if total is not None else None,
        gpu_hours=total * plan.num_gpus / 3600 if total is not None else None,
        basis=_basis(plan, spread),
    )


def _basis(plan: TrainingPlan, spread: float) -> str:
    return (
        f"Roofline of the card with the rates that published {plan.method} runs reach; divide and multiply by "
        f"{spread:g}. Twenty measured steps beat it."
    )


def _peak_flops(plan: TrainingPlan, card: CardLike | None) -> float | None:
    if card is None or plan.accelerator == "cpu":
        return None
    tflops = card.fp16_dense_tflops if plan.compute_dtype == "fp16" else card.bf16_dense_tflops
    if tflops is None:
        tflops = card.fp16_dense_tflops
    if tflops is None:
        return None
    return tflops * 1e12 * (const.FP32_RATE if plan.compute_dtype == "fp32" else 1.0)


def _tokens_per_row(plan: TrainingPlan, len_mean: float | None) -> tuple[float, float]:
    """(real tokens, computed tokens) of one row."""
    cap = plan.max_seq_len
    if plan.packing:
        return cap * PACKED_FILL, float(cap)
    if not len_mean:
        return float(cap), float(cap)
    real = min(float(len_mean), cap)
    padded = real if plan.length_grouping or plan.micro_batch_size == 1 else real * const.PADDING_FACTOR
    return real, min(padded, float(cap))


def _num_steps(
    plan: TrainingPlan, examples: int | None, total_tokens: int | None, len_mean: float | None
) -> int | None:
    if plan.max_steps is not None:
        return plan.max_steps
    if examples is None:
        return None
    rows: float = examples
    if plan.packing and (total_tokens or len_mean):
        tokens = total_tokens if total_tokens is not None else examples * (len_mean or 0)
        rows = tokens / (plan.max_seq_len * PACKED_FILL)
    return max(1, math.ceil(rows * plan.num_epochs / plan.global_batch_size))


def flops_per_token(model: ModelSpec, plan: TrainingPlan, length: float) -> float:
    """Forward and backward of one token, recomputation under checkpointing not counted.

    Full: 6 a parameter; frozen base: 4 (no weight gradients), adapters 6. Causal attention adds 6 x width x length
    a block (half of the square), for forward and backward.
    """
    inside = model.active_params - model.embedding_params + (0 if model.head_params else model.embedding_params)
    trained = trainable_params(model, plan)
    base = 6 * inside if plan.method == "full" else 4 * inside + 6 * trained
    attention = 0.0
    for group in model.layers:
        if group.attention in ("full", "sliding", "mla"):
            reach = min(length, group.sliding_window or length)
            attention += 6.0 * group.count * model.num_attention_heads * model.head_dim * reach
    return base + attention


def micro_step_seconds(
    model: ModelSpec,
    plan: TrainingPlan,
    card: CardLike,
    peak: float,
    *,
    tokens: float,
    length: float,
    stack: Stack = OURS,
) -> float:
    """One forward and backward on one GPU."""
    rate = {"full": const.MFU_FULL, "lora": const.MFU_LORA, "qlora": const.MFU_QLORA}.get(plan.method, const.MFU_LORA)
    if not plan.gradient_checkpointing:
        rate *= const.NO_RECOMPUTE_GAIN
    if model.is_moe:
        rate *= const.MOE_RATE
    arithmetic = tokens * flops_per_token(model, plan, length) / (rate * peak)
    blocks = sum(group.count for group in model.layers)
    launches = blocks * (const.LAUNCH_SECONDS_QLORA if plan.method == "qlora" else const.LAUNCH_SECONDS)
    unpack = 0.0
    if plan.quantization != "none" and card.memory_bandwidth_gbs:
        passes = 3 if plan.gradient_checkpointing else 2
        unpack = passes * 2.5 * model.linear_params / (card.memory_bandwidth_gbs * 1e9)
    return max(arithmetic + unpack, launches) + _exchange_seconds(model, plan, card, arithmetic)


def _exchange_seconds(model: ModelSpec, plan: TrainingPlan, card: CardLike, arithmetic: float) -> float:
    """Traffic between GPUs of one micro-step that arithmetic does not hide."""
    if plan.num_gpus == 1:
        return 0.0
    world = plan.num_gpus
    link = (card.nvlink_gbs or const.PCIE_GBS) * 1e9 * const.LINK_EFFICIENCY
    if plan.num_nodes > 1:
        link = min(link, const.NETWORK_GBS * 1e9)
    width = DTYPE_BYTES[plan.compute_dtype]
    share = (world - 1) / world
    base = model.num_params * (0.53 if plan.quantization != "none" else width)
    trained = trainable_params(model, plan) * width
    if plan.sharding in ("fsdp", "zero3"):
        gathers = 3 if plan.gradient_checkpointing else 2
        moved = share * (gathers * base + trained)
    else:
        moved = 2 * share * trained
    seconds = moved / link
    return max(seconds - const.OVERLAP * arithmetic, seconds * const.EXPOSED_SHARE)


def optimizer_seconds(model: ModelSpec, plan: TrainingPlan, card: CardLike) -> float:
    """One optimizer step: the traffic of states and weights at the card's bandwidth (the host's when offloaded)."""
    trained = trainable_params(model, plan)
    width = DTYPE_BYTES[plan.weights_dtype]
    touched = float(trained * (3 * width + 4 * width))
    if plan.sharding in ("fsdp", "zero2", "zero3"):
        touched /= plan.num_gpus
    bandwidth = const.HOST_GBS if plan.cpu_offload else card.memory_bandwidth_gbs or const.HOST_GBS
    return touched / (bandwidth * 1e9 * 0.7)
