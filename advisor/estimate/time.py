"""How long a run takes: a roofline of compute, launch and optimizer traffic, and the traffic between GPUs.

A step is the sum of its micro-steps and of the optimizer step. A micro-step takes as long as its arithmetic at the
rate that such runs reach, or as long as the launches of its kernels, whichever is more; what GPUs exchange adds to
it as far as it does not hide behind arithmetic.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from advisor.base.language import tr
from advisor.estimate import rates
from advisor.estimate.result import TimeEstimate
from advisor.estimate.stacks import OURS, Stack
from advisor.estimate.weights import DTYPE_BYTES
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
    def link_gbs(self) -> float | None:
        """From the host's memory to the device; None where it was not measured."""

    @property
    def threads(self) -> int | None:
        """Threads of a CPU that computed."""


class MeasuredCard(NamedTuple):
    """A card that no catalogue knows, from its measured rates (a `CardLike`)."""

    memory_bandwidth_gbs: float | None
    bf16_dense_tflops: float | None
    fp16_dense_tflops: float | None
    nvlink_gbs: float | None = None
    link_gbs: float | None = None
    """From the host's memory: what cards without NVLink have between each other too."""


def measured_card(measured: RatesLike) -> MeasuredCard:
    """Its peak is set so that the matrix products of training run at the measured rate."""
    peak = measured.matrix_tflops / rates.MATRIX_EFFICIENCY
    return MeasuredCard(measured.copy_gbs, peak, peak, link_gbs=measured.link_gbs)


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
        micro = _cpu_micro_step_seconds(model, plan, rows, computed, cpu_flops(cpu_cores, cpu_measured))
        optimizer = 0.0
        spread = rates.TIME_SPREAD_CPU
    elif peak is None or card is None:
        return None
    else:
        micro = micro_step_seconds(model, plan, card, peak, tokens=rows * computed, length=computed, stack=stack)
        optimizer = optimizer_seconds(model, plan, card, stack)
        spread = rates.TIME_SPREAD
    step = plan.gradient_accumulation_steps * micro + optimizer
    groups = plan.num_gpus / stack.split.group
    per_step = real * rows * plan.gradient_accumulation_steps * groups
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
    return tflops * _sustained(card, tflops) * 1e12 * (rates.FP32_RATE if plan.compute_dtype == "fp32" else 1.0)


_UNCUT_TFLOPS = 500.0
"""Between an H20 and an H100."""


def _sustained(card: CardLike, tflops: float) -> float:
    """The part of the stated peak that a card's clock holds under load, beside the cards of MATRIX_EFFICIENCY."""
    if getattr(card, "vendor", "nvidia") != "nvidia":
        return rates.AMD_RATE
    capability = str(getattr(card, "compute_capability", None) or "")
    if capability.startswith(("10.", "12.")):
        return rates.NEWEST_RATE
    if capability.startswith("9."):
        return rates.HOPPER_RATE if tflops > _UNCUT_TFLOPS else rates.CUT_RATE
    return 1.0


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
    """Work of one token in forward and backward."""

    matrix_flops: float
    """Of the blocks' matrix products."""
    head_flops: float
    attention_flops: float
    traffic_bytes: float
    operand_bytes: float
    """What the products themselves read and write in one pass."""
    passes: float
    """Times that a block is run through: forward, recomputation, gradients of inputs, gradients of weights."""


def recomputed(plan: TrainingPlan, stack: Stack) -> float:
    """The part of a forward pass that backward runs once more."""
    if not plan.gradient_checkpointing:
        return 0.0
    return rates.SELECTIVE_SHARE if stack.selective_checkpointing else 1.0


def token_work(model: ModelSpec, plan: TrainingPlan, length: float, stack: Stack = OURS) -> Work:
    """Two operations a weight and pass; causal attention reaches half the length on average."""
    again = recomputed(plan, stack)
    passes = 2 + again + (0 if plan.trains_adapter else 1)
    head = model.vocab_size * model.hidden_size
    adapted = {linear for _, linear in targeted(model, plan.lora_targets or ())}
    inside = model.active_params - model.embedding_params - model.head_params
    attention = entering = operands = 0.0
    for group in model.layers:
        if group.attention != "linear":
            reach = min(length, group.sliding_window or length)
            attention += 2.0 * group.count * model.num_attention_heads * model.head_dim * reach
        for linear in group.linears:
            times = max(1, group.experts_per_token) if linear.role == "expert" else 1
            weight = rates.ADAPTED_TRAFFIC if linear in adapted else 1.0
            ends = 2.0 * group.count * times * (linear.in_features + linear.out_features)
            operands += ends
            entering += weight * ends
    # forward counts once, its backward two and a half times, recomputation once more; selective keeps its output
    attention_passes = 3.5 + (again if not stack.selective_checkpointing else 0.0)
    return Work(
        matrix_flops=passes * 2.0 * inside,
        head_flops=(2 if plan.trains_adapter else 3) * 2.0 * head,
        attention_flops=attention_passes * attention,
        traffic_bytes=(2 + again) * _traffic_factor(stack) * entering,
        operand_bytes=operands,
        passes=passes,
    )


def _traffic_factor(stack: Stack) -> float:
    if stack.compiled:
        return rates.TRAFFIC_FACTOR * rates.COMPILED_TRAFFIC
    return rates.TRAFFIC_FACTOR * (rates.FUSED_TRAFFIC if stack.norm_kernel == "fused" else 1.0)


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
    """One forward and backward; `tokens` are those of all GPUs that share the micro-batch."""
    work = token_work(model, plan, length, stack)
    bandwidth = (card.memory_bandwidth_gbs or peak / 150e9) * 1e9
    usual = rates.MATRIX_EFFICIENCY * peak
    matrix = work.matrix_flops / (usual * (rates.FP8_RATE if stack.fp8 else 1.0))
    traffic = work.traffic_bytes
    if stack.fp8:
        traffic += work.passes * rates.FP8_CAST_TRAFFIC * work.operand_bytes
    if model.is_moe:
        matrix /= rates.MOE_RATE
    matrix += work.head_flops / usual
    attention = work.attention_flops / (rates.ATTENTION_EFFICIENCY * peak)
    logits = rates.LOGITS_TRAFFIC * model.vocab_size if plan.loss_kernel == "full" else 0.0
    arithmetic = tokens / stack.split.group * (matrix + attention + (traffic + logits) / bandwidth)
    if plan.quantization != "none":
        arithmetic += work.passes * _unpack_bytes(stack) * model.linear_params / bandwidth
    if plan.num_nodes > 1 and plan.num_gpus < 8 * plan.num_nodes:
        arithmetic /= rates.SMALL_NODES_RATE
    computing = max(arithmetic, _launch_seconds(model, plan, stack))
    return computing + _exchange_seconds(model, plan, card, arithmetic, stack, tokens)


def _cpu_micro_step_seconds(model: ModelSpec, plan: TrainingPlan, rows: int, length: float, flops: float) -> float:
    """A model of a few million weights computes for less time than its operations take to begin."""
    work = token_work(model, plan, length)
    computing = rows * length * (work.matrix_flops + work.head_flops + work.attention_flops) / flops
    each = rates.CPU_LAUNCH_SECONDS_ADAPTED if plan.trains_adapter else rates.CPU_LAUNCH_SECONDS
    return computing + sum(group.count for group in model.layers) * (2 + recomputed(plan, OURS)) * each


def _unpack_bytes(stack: Stack) -> float:
    if stack.gptq_of_2023:
        return rates.UNPACK_GPTQ_BYTES
    return rates.UNPACK_TRITON_BYTES if stack.base_storage is not None else rates.UNPACK_NF4_BYTES


def _launch_seconds(model: ModelSpec, plan: TrainingPlan, stack: Stack) -> float:
    """No micro-step is shorter than the launches of its kernels."""
    blocks = sum(group.count for group in model.layers)
    loops = max(group.num_experts for group in model.layers) if model.is_moe and stack.experts_quantised else 1
    each = rates.LAUNCH_SECONDS_PACKED if plan.quantization != "none" else rates.LAUNCH_SECONDS
    return blocks * loops * each * (1.0 if plan.gradient_checkpointing else rates.LAUNCH_SHARE_KEPT)


def _node_link_rate(card: CardLike) -> float:
    """Bytes a second of one GPU in a collective inside a node."""
    pcie = getattr(card, "link_gbs", None) or rates.PCIE_GBS
    return (card.nvlink_gbs or pcie) * 1e9 * rates.LINK_EFFICIENCY


def _link_rate(plan: TrainingPlan, card: CardLike) -> float:
    """Bytes a second of one GPU in a collective: of its link, or of its share of the rings between nodes.

    A ring over several nodes crosses each border once, and as many rings run as a node has adapters, so that all of
    them together carry what one GPU's link carries.
    """
    link = _node_link_rate(card)
    if plan.num_nodes == 1:
        return link
    network = rates.NETWORK_GBS if (card.nvlink_gbs or 0) < 700 else rates.FAST_NETWORK_GBS
    each = (network if card.nvlink_gbs else rates.SLOW_NETWORK_GBS) * 1e9 * rates.NETWORK_EFFICIENCY
    return min(link, each * plan.num_gpus / plan.num_nodes)


def _exchange_seconds(
    model: ModelSpec, plan: TrainingPlan, card: CardLike, arithmetic: float, stack: Stack, tokens: float
) -> float:
    """Traffic between GPUs of one micro-step that arithmetic does not hide."""
    if plan.num_gpus == 1:
        return 0.0
    world, split = plan.num_gpus, stack.split
    link = _link_rate(plan, card)
    width = DTYPE_BYTES[plan.compute_dtype]
    share = (world - 1) / world
    base = model.num_params * (0.53 if plan.quantization != "none" else width) / split.tensor
    trained = trainable_params(model, plan) * width / split.tensor
    gathers = 3 if plan.gradient_checkpointing else 2
    gathered = plan.sharding in ("fsdp", "zero3")
    moved = share * (gathers * base + trained) if gathered else 2 * share * trained
    seconds = moved / link
    waits = _tensor_exchange_bytes(model, plan, tokens, stack) / _node_link_rate(card)
    if plan.cpu_offload:
        seconds += (gathers * base + trained) / plan.num_nodes / _host_copy_rate(world // plan.num_nodes)
    if plan.sharding in ("zero2", "zero3"):
        return waits + seconds + _module_gathers(model, plan, stack) * rates.GATHER_SECONDS
    return waits + max(seconds - rates.OVERLAP * arithmetic, seconds * rates.EXPOSED_SHARE)


def _tensor_exchange_bytes(model: ModelSpec, plan: TrainingPlan, tokens: float, stack: Stack) -> float:
    """Hidden states that GPUs of one tensor-parallel group exchange before and after attention and feed-forward part:
    four times a pass, in forward, recomputation and backward (Korthikanti et al. 2022, section 4.2.2). It stays
    inside a node, and what comes next waits for it."""
    degree = stack.split.tensor
    if degree == 1:
        return 0.0
    passes = 2 + recomputed(plan, stack)
    blocks = sum(group.count for group in model.layers)
    width = DTYPE_BYTES[plan.compute_dtype]
    local = tokens / stack.split.context
    return 4 * passes * blocks * local * model.hidden_size * width * (degree - 1) / degree


def _module_gathers(model: ModelSpec, plan: TrainingPlan, stack: Stack) -> float:
    """Gathers of experts that are modules of their own: ZeRO-3 fetches each by itself, in every pass over them."""
    if plan.sharding != "zero3" or not stack.experts_quantised:
        return 0.0
    experts = sum(
        group.count * linear.copies for group in model.layers for linear in group.linears if linear.role == "expert"
    )
    return experts * (3 if plan.gradient_checkpointing else 2)


def _host_copy_rate(devices: int) -> float:
    """Bytes a second between the host memory of one node and its devices, each of which copies its own shard."""
    return min(devices * rates.PCIE_GBS * rates.LINK_EFFICIENCY, rates.HOST_COPY_GBS) * 1e9


def optimizer_seconds(model: ModelSpec, plan: TrainingPlan, card: CardLike, stack: Stack = OURS) -> float:
    """One optimizer step: the traffic of states and weights at the card's bandwidth (the host's when offloaded)."""
    trained = trainable_params(model, plan)
    # DeepSpeed steps an fp32 master, whatever the model's dtype
    width = 4 if plan.sharding in ("zero2", "zero3") else DTYPE_BYTES[plan.weights_dtype]
    touched = float(trained * (3 * width + 4 * width)) / stack.split.tensor
    if plan.sharding in ("fsdp", "zero2", "zero3"):
        touched /= plan.num_gpus / stack.split.tensor
    if stack.slow_step:
        return rates.SLOW_STEP_SECONDS * trained / (plan.num_gpus if plan.sharding != "none" else 1)
    bandwidth = rates.HOST_GBS if plan.cpu_offload else card.memory_bandwidth_gbs or rates.HOST_GBS
    return touched / (bandwidth * 1e9 * 0.7)
