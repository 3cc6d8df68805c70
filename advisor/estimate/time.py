"""How long a run takes: a roofline of compute, launch and optimizer traffic, and the traffic between GPUs.

A step is the sum of its micro-steps and of the optimizer step. A micro-step takes as long as its arithmetic at the
rate that such runs reach, or as long as the launches of its kernels, whichever is more; what GPUs exchange adds to
it as far as it does not hide behind arithmetic.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from advisor.estimate import rates
from advisor.estimate.result import TimeEstimate
from advisor.estimate.stacks import OURS, Stack
from advisor.estimate.weights import DTYPE_BYTES
from advisor.language import tr
from advisor.model.params import targeted, trainable_params
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


class RatesLike(Protocol):
    """Rates that were measured of one device."""

    @property
    def matrix_tflops(self) -> float:
        """Large matrix products."""

    @property
    def copy_gbs(self) -> float:
        """Memory read and written by a copy."""

    @property
    def threads(self) -> int | None:
        """Threads of a CPU that computed."""


class MeasuredCard(NamedTuple):
    """A card that no catalogue knows, from its measured rates (a `CardLike`)."""

    memory_bandwidth_gbs: float | None
    bf16_dense_tflops: float | None
    fp16_dense_tflops: float | None
    nvlink_gbs: float | None = None


def measured_card(measured: RatesLike) -> MeasuredCard:
    """Its peak is set so that the matrix products of training run at the measured rate."""
    peak = measured.matrix_tflops / rates.MATRIX_EFFICIENCY
    return MeasuredCard(measured.copy_gbs, peak, peak)


def cpu_flops(cores: int, measured: RatesLike | None) -> float:
    """Operations a second in training: products of all cores, as measured here or as one core reached elsewhere.

    Training reaches the rate of large products (75e9 a core in both, on the cores of CPU_CORE_FLOPS).
    """
    if measured is None:
        return cores * rates.CPU_CORE_FLOPS
    return measured.matrix_tflops * 1e12 * cores / (measured.threads or cores)


def estimate_time(
    model: ModelSpec,
    plan: TrainingPlan,
    card: CardLike | None,
    *,
    num_steps: int | None = None,
    len_mean: float | None = None,
    stack: Stack = OURS,
    cpu_cores: int | None = None,
    cpu_measured: RatesLike | None = None,
) -> TimeEstimate | None:
    """Tokens a second, hours and GPU-hours; None when the speed of card (or CPU: `cpu_cores`) is not known.

    `cpu_measured`: rates of this very processor, instead of what one core reached elsewhere.

    `num_steps` None: the amount of data is not known, and only rates come back. `len_mean` counts the real tokens of
    an example: without packing a row holds one example and the padding of its batch is computed too.
    """
    real, computed = _tokens_per_row(plan, len_mean)
    rows = plan.micro_batch_size
    peak = _peak_flops(plan, card)
    if plan.accelerator == "cpu" and cpu_cores:
        work = token_work(model, plan, computed)
        flops = rows * computed * (work.matrix_flops + work.attention_flops)
        micro, optimizer = flops / cpu_flops(cpu_cores, cpu_measured), 0.0
        spread = rates.TIME_SPREAD_CPU
    elif peak is None or card is None:
        return None
    else:
        micro = micro_step_seconds(model, plan, card, peak, tokens=rows * computed, length=computed, stack=stack)
        optimizer = optimizer_seconds(model, plan, card, stack)
        spread = rates.TIME_SPREAD
    step = plan.gradient_accumulation_steps * micro + optimizer
    per_step = real * rows * plan.gradient_accumulation_steps * plan.num_gpus
    total = num_steps * step if num_steps is not None else None
    return TimeEstimate(
        tokens_per_second=per_step / step,
        step_seconds=step,
        num_steps=num_steps,
        total_seconds=total,
        low_seconds=total / spread if total is not None else None,
        high_seconds=total * spread if total is not None else None,
        gpu_hours=total * plan.num_gpus / 3600 if total is not None else None,
        basis=_basis(plan, spread, measured=cpu_measured is not None or isinstance(card, MeasuredCard)),
    )


def _basis(plan: TrainingPlan, spread: float, *, measured: bool) -> str:
    if measured:
        return tr(
            "Rates of matrix product and copy that `sft-advisor probe bench` measured on this "
            "device; divide and multiply by {spread:g}. Twenty measured steps are more accurate.",
            spread=spread,
        )
    if plan.accelerator == "cpu":
        return tr(
            "The number of cores times what one core reached in small runs; divide and multiply by {spread:g}.",
            spread=spread,
        )
    return tr(
        "Roofline of the card with the rates that published {method} runs reach; divide and "
        "multiply by {spread:g}. Twenty measured steps are more accurate.",
        method=plan.method,
        spread=spread,
    )


def _peak_flops(plan: TrainingPlan, card: CardLike | None) -> float | None:
    if card is None or plan.accelerator == "cpu":
        return None
    tflops = card.fp16_dense_tflops if plan.compute_dtype == "fp16" else card.bf16_dense_tflops
    if tflops is None:
        tflops = card.fp16_dense_tflops
    if tflops is None:
        return None
    capability = str(getattr(card, "compute_capability", None) or "")
    newest = getattr(card, "vendor", "nvidia") != "nvidia" or capability.startswith(("10.", "12."))
    tflops *= rates.NEWEST_RATE if newest else 1.0
    return tflops * 1e12 * (rates.FP32_RATE if plan.compute_dtype == "fp32" else 1.0)


def _tokens_per_row(plan: TrainingPlan, len_mean: float | None) -> tuple[float, float]:
    """(real tokens, computed tokens) of one row."""
    cap = plan.max_seq_len
    if plan.packing:
        return cap * rates.PACKED_FILL, float(cap)
    if not len_mean:
        return float(cap), float(cap)
    real = min(float(len_mean), cap)
    # one row has no padding, but its small matrices reach a lower rate, which is not modelled: counted as padded it
    # is never predicted to beat the larger forwards that a larger memory allows
    padded = real if plan.length_grouping else real * rates.PADDING_FACTOR
    return real, min(padded, float(cap))


class Work(NamedTuple):
    """Work of one token in forward and backward on one GPU."""

    matrix_flops: float
    attention_flops: float
    traffic_bytes: float
    passes: int
    """Times that a block is run through: forward, recomputation, gradients of inputs, gradients of weights."""


def token_work(model: ModelSpec, plan: TrainingPlan, length: float, fused: bool = False) -> Work:
    """Two operations a weight and pass; causal attention reaches half the length on average."""
    passes = 2 + (1 if plan.gradient_checkpointing else 0) + (0 if plan.trains_adapter else 1)
    head = model.vocab_size * model.hidden_size
    adapted = {linear for _, linear in targeted(model, plan.lora_targets or ())}
    inside = model.active_params - model.embedding_params - model.head_params
    attention = entering = 0.0
    for group in model.layers:
        if group.attention != "linear":
            reach = min(length, group.sliding_window or length)
            attention += 2.0 * group.count * model.num_attention_heads * model.head_dim * reach
        for linear in group.linears:
            times = max(1, group.experts_per_token) if linear.role == "expert" else 1
            weight = rates.ADAPTED_TRAFFIC if linear in adapted else 1.0
            entering += 2.0 * weight * group.count * times * (linear.in_features + linear.out_features)
    factor = rates.TRAFFIC_FACTOR * (rates.FUSED_TRAFFIC if fused else 1.0)
    # forward counts once, its backward two and a half times, recomputation once more
    attention_passes = 3.5 + (1.0 if plan.gradient_checkpointing else 0.0)
    return Work(
        matrix_flops=passes * 2.0 * inside + (2 if plan.trains_adapter else passes) * 2.0 * head,
        attention_flops=attention_passes * attention,
        traffic_bytes=(3 if plan.gradient_checkpointing else 2) * factor * entering,
        passes=passes,
    )


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
    work = token_work(model, plan, length, fused=stack.compiled or stack.norm_kernel == "fused")
    bandwidth = (card.memory_bandwidth_gbs or peak / 150e9) * 1e9
    matrix = work.matrix_flops / (rates.MATRIX_EFFICIENCY * peak)
    loops = 1
    if model.is_moe:
        experts = max(group.num_experts for group in model.layers)
        if stack.experts_quantised:
            loops = experts
        matrix /= rates.MOE_RATE
    attention = work.attention_flops / (rates.ATTENTION_EFFICIENCY * peak)
    logits = rates.LOGITS_TRAFFIC * model.vocab_size if plan.loss_kernel == "full" else 0.0
    arithmetic = tokens * (matrix + attention + (work.traffic_bytes + logits) / bandwidth)
    blocks = sum(group.count for group in model.layers)
    packed = plan.quantization != "none"
    if packed:
        slow = stack.base_storage is not None
        unpack = rates.UNPACK_GPTQ_BYTES if slow else rates.UNPACK_NF4_BYTES
        arithmetic += work.passes * unpack * model.linear_params / bandwidth
    launches = blocks * (rates.LAUNCH_SECONDS_PACKED if packed else rates.LAUNCH_SECONDS)
    launches *= loops
    if not plan.gradient_checkpointing:
        launches *= rates.LAUNCH_SHARE_KEPT
    if plan.num_nodes > 1 and plan.num_gpus < 8 * plan.num_nodes:
        arithmetic /= rates.SMALL_NODES_RATE
    return max(arithmetic, launches) + _exchange_seconds(model, plan, card, arithmetic)


def _exchange_seconds(model: ModelSpec, plan: TrainingPlan, card: CardLike, arithmetic: float) -> float:
    """Traffic between GPUs of one micro-step that arithmetic does not hide."""
    if plan.num_gpus == 1:
        return 0.0
    world = plan.num_gpus
    link = (card.nvlink_gbs or rates.PCIE_GBS) * 1e9 * rates.LINK_EFFICIENCY
    if plan.num_nodes > 1:
        network = rates.NETWORK_GBS if (card.nvlink_gbs or 0) < 700 else rates.FAST_NETWORK_GBS
        link = min(link, (network if card.nvlink_gbs else rates.SLOW_NETWORK_GBS) * 1e9 * rates.NETWORK_EFFICIENCY)
    width = DTYPE_BYTES[plan.compute_dtype]
    share = (world - 1) / world
    base = model.num_params * (0.53 if plan.quantization != "none" else width)
    trained = trainable_params(model, plan) * width
    gathers = 3 if plan.gradient_checkpointing else 2
    gathered = plan.sharding in ("fsdp", "zero3")
    moved = share * (gathers * base + trained) if gathered else 2 * share * trained
    seconds = moved / link
    if plan.cpu_offload:
        seconds += (gathers * base + trained) / plan.num_nodes / _host_copy_rate(world // plan.num_nodes)
    if plan.sharding in ("zero2", "zero3"):
        return seconds
    return max(seconds - rates.OVERLAP * arithmetic, seconds * rates.EXPOSED_SHARE)


def _host_copy_rate(devices: int) -> float:
    """Bytes a second between the host memory of one node and its devices, each of which copies its own shard."""
    return min(devices * rates.PCIE_GBS * rates.LINK_EFFICIENCY, rates.HOST_COPY_GBS) * 1e9


def optimizer_seconds(model: ModelSpec, plan: TrainingPlan, card: CardLike, stack: Stack = OURS) -> float:
    """One optimizer step: the traffic of states and weights at the card's bandwidth (the host's when offloaded)."""
    trained = trainable_params(model, plan)
    width = DTYPE_BYTES[plan.weights_dtype]
    touched = float(trained * (3 * width + 4 * width))
    if plan.sharding in ("fsdp", "zero2", "zero3"):
        touched /= plan.num_gpus
    if stack.slow_step:
        return rates.SLOW_STEP_SECONDS * trained / (plan.num_gpus if plan.sharding != "none" else 1)
    bandwidth = rates.HOST_GBS if plan.cpu_offload else card.memory_bandwidth_gbs or rates.HOST_GBS
    return touched / (bandwidth * 1e9 * 0.7)
