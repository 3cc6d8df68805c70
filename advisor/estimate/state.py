"""What of a run does not depend on the batch: stored weights, trained values, states, and what each device holds."""

from __future__ import annotations

from typing import NamedTuple

from advisor.estimate.activations import Switches
from advisor.estimate.logits import UNCAST_FAMILIES, HeadSizes
from advisor.estimate.optimizer import States, eight_bit_excess, optimizer_states
from advisor.estimate.sharding import Held, Placement, place
from advisor.estimate.stacks import Stack
from advisor.estimate.weights import DTYPE_BYTES, Stored, stored_weights
from advisor.model.params import EMBEDDING_NAMES, HEAD_NAMES, saved_module_params, targeted, trainable_params
from advisor.model.spec import ModelSpec
from trainers.plan import TrainingPlan

FLOAT_NORM_FAMILIES = ("gemma", "olmo2", "olmo3")
EAGER_LAYERNORM_FAMILIES = ("cohere",)
PARTLY_ROTATED_FAMILIES = frozenset(
    ("phi3", "glm", "glm4", "gpt_neox", "phi", "stablelm", "nemotron", "persimmon", "gptj", "codegen")
)
EAGER_GELU_FAMILIES = frozenset(("phi", "gpt2", "gptj", "codegen", "gpt_neo"))
"""model_types whose published configs use gelu_new."""


class State(NamedTuple):
    """Fixed figures of one plan on one device; bytes unless named otherwise."""

    compute: int
    """Bytes of the dtype of matrix products."""
    wide: int
    """Bytes of the dtype in which unquantised base weights rest."""
    storage: str
    trains_base: bool
    trained: int
    trained_dtype: int
    largest: int
    """Values of the largest trained tensor."""
    stored: Stored
    placed: Placement
    switches: Switches
    head: HeadSizes
    late_gradients: int
    """Gradients of one block and of the embedding: the last to appear in a full fine-tuning."""
    sharded: bool
    on_cpu: bool


def training_state(model: ModelSpec, plan: TrainingPlan, stack: Stack) -> State:
    """Everything that is fixed once model, plan and stack are."""
    compute = DTYPE_BYTES[plan.compute_dtype]
    trains_base = plan.method == "full"
    sharded = plan.sharding in ("fsdp", "zero3")
    storage = "none" if plan.quantization == "none" else (stack.base_storage or "nf4")
    upcast = storage != "none" and stack.kbit_upcast and plan.sharding != "fsdp"
    wide = DTYPE_BYTES[plan.weights_dtype]
    if trains_base and plan.sharding == "fsdp" and stack.fsdp_fp32_master:
        wide = 4
    unquantised = wide if storage == "none" else 4 if upcast else compute
    stored = stored_weights(
        model,
        storage=storage,
        unquantised=unquantised,
        block_dtype=wide,
        experts_quantised=stack.experts_quantised,
        compute=compute,
    )
    trained = trainable_params(model, plan)
    trained_dtype = wide if trains_base else _adapter_bytes(plan, stack, compute)
    on_cpu = plan.accelerator == "cpu"
    largest = max(model.embedding_params, model.head_params) if trains_base else _largest_trained(model, plan)
    copied = 0 if trains_base else saved_module_params(model, plan.modules_to_save)
    excess = _small_excess(model, plan)
    parts = [
        optimizer_states(
            plan.optimizer,
            values,
            width,
            tensors=_tensor_count(model, plan),
            largest=largest,
            rows_and_columns=_rows_and_columns(model, plan),
            excess=excess if values == trained - copied else 0,
            foreach=stack.foreach,
            in_backward=plan.optimizer_in_backward,
        )
        for values, width in ((trained - copied, trained_dtype), (copied, unquantised))
        if values
    ]
    states = States(*(sum(figures) for figures in zip(*parts, strict=True))) if parts else States(0, 0, 0)
    if on_cpu:
        states = States(states.device + states.host, 0, states.step)
    own_bytes = (trained - copied) * trained_dtype + copied * unquantised
    values_of_block = stored.largest_block // wide if storage == "none" else 0
    held = Held(
        stored=stored,
        adapters=0 if trains_base else own_bytes,
        trained_base=trains_base,
        trained=trained,
        gradients=own_bytes,
        states=states,
        root_compute=stored.root // unquantised * compute // (2 if stack.fsdp_outer_split else 1),
        block_compute=values_of_block * compute if storage == "none" else stored.gathered_block,
        compute=compute,
        block_params=values_of_block,
        scales_sharded=stack.fsdp_scales_sharded,
        fsdp2=stack.fsdp == "fsdp2",
        accumulates_whole=stack.fsdp_accumulates_whole,
        on_cpu=on_cpu,
    )
    placed = place(held, plan.sharding, plan.num_gpus, plan.cpu_offload, stack.adapters_sharded)
    autocast = stack.autocast and not sharded and compute != 4
    stream = 4 if autocast and (upcast or wide == 4) else compute
    switches = _switches(model, plan, stack, compute, stream, autocast, trained_dtype)
    leaves = {name.rpartition(".")[2] for name in plan.modules_to_save}
    head = HeadSizes(
        vocab=model.vocab_size,
        hidden=model.hidden_size,
        compute=compute,
        trained=trains_base or bool(leaves & set(HEAD_NAMES)),
        autocast=stack.autocast and compute != 4,
        kind=_head_kind(model, plan, stack),
        on_cpu=on_cpu,
        drops_compute=stack.head_drops_compute or plan.sharding == "fsdp",
        outputs_kept=stack.outputs_kept,
        returns_fp32=stack.fsdp == "fsdp1" and plan.sharding == "fsdp",
    )
    late = 0
    if trains_base and plan.sharding in ("none", "ddp"):
        late = (values_of_block + (model.embedding_params if model.head_params else 0)) * trained_dtype
    return State(
        compute=compute,
        wide=wide,
        storage=storage,
        trains_base=trains_base,
        trained=trained,
        trained_dtype=trained_dtype,
        largest=largest,
        stored=stored,
        placed=placed,
        switches=switches,
        head=head,
        late_gradients=late,
        sharded=sharded,
        on_cpu=on_cpu,
    )


def _head_kind(model: ModelSpec, plan: TrainingPlan, stack: Stack) -> str:
    if plan.loss_kernel == "full":
        if model.model_type in UNCAST_FAMILIES and stack.full_head in ("upcast_shift", "in_place"):
            return "compute" if stack.full_head == "upcast_shift" else "compute_in_place"
        if stack.full_head == "chunk_list" and plan.method == "full":
            return "compute"  # litgpt cuts the head into chunks for adapters only
        return stack.full_head
    return stack.chunked_head if plan.loss_kernel == "chunked" else "liger"


def _adapter_bytes(plan: TrainingPlan, stack: Stack, compute: int) -> int:
    kind = stack.qlora_dtype if plan.quantization != "none" else stack.lora_dtype
    if plan.sharding == "fsdp" and stack.sharded_adapter_dtype is not None:
        kind = stack.sharded_adapter_dtype
    return 4 if kind == "fp32" else compute


def _switches(
    model: ModelSpec, plan: TrainingPlan, stack: Stack, compute: int, stream: int, autocast: bool, adapter: int
) -> Switches:
    lora = plan.method in ("lora", "qlora")
    names = frozenset(name.rpartition(".")[2] for name in plan.lora_targets or ())
    return Switches(
        compute=compute,
        stream=stream,
        autocast=autocast,
        base_trains=plan.method == "full",
        lora_targets=names if lora else None,
        all_linear="all-linear" in names,
        expert_targets=frozenset(name.rpartition(".")[2] for name in plan.lora_expert_targets),
        rank=plan.lora_rank or 0,
        adapter=adapter,
        dropout=bool(plan.lora_dropout),
        dora=plan.use_dora,
        attention=plan.attention,
        expand_kv=stack.expand_kv,
        norm_kernel="fused" if stack.compiled else stack.norm_kernel,
        mlp_kernel="fused" if stack.compiled else stack.mlp_kernel,
        lora_kernel="fused" if stack.compiled else stack.lora_kernel,
        recompute_output=stack.recompute_output and plan.gradient_checkpointing,
        float_norm=stack.float_norm or model.model_type.startswith(FLOAT_NORM_FAMILIES),
        fused_qkv=stack.fused_qkv,
        lora_keeps_output=stack.lora_keeps_output,
        copies_attention=stack.copies_attention
        or (model.model_type in PARTLY_ROTATED_FAMILIES and plan.attention == "sdpa"),
        expert_loop=stack.experts_quantised,
        eager_layernorm=model.model_type.startswith(EAGER_LAYERNORM_FAMILIES) and not stack.own_modules,
        eager_gelu=model.model_type in EAGER_GELU_FAMILIES and not stack.own_modules,
        bottleneck=plan.adapter_bottleneck or 0,
        prefix=plan.method == "prefix",
    )


# --- what trains -------------------------------------------------------------------------------------------------


def _adapted(model: ModelSpec, plan: TrainingPlan) -> list[tuple[int, int, int]]:
    """(count, inputs, outputs) of each linear with an adapter."""
    if plan.method not in ("lora", "qlora"):
        return []
    pairs = targeted(model, plan.lora_targets or ("all-linear",), plan.lora_expert_targets)
    return [(count * linear.copies, linear.in_features, linear.out_features) for count, linear in pairs]


def _largest_trained(model: ModelSpec, plan: TrainingPlan) -> int:
    leaves = {name.rpartition(".")[2] for name in plan.modules_to_save}
    if leaves & (set(EMBEDDING_NAMES) | set(HEAD_NAMES)):
        return model.vocab_size * model.hidden_size
    rank = plan.lora_rank or 0
    return max((rank * max(inputs, outputs) for _, inputs, outputs in _adapted(model, plan)), default=0)


def _tensor_count(model: ModelSpec, plan: TrainingPlan) -> int:
    if plan.method == "full":
        return sum(group.count * (len(group.linears) + 2) for group in model.layers) + 3
    return 2 * sum(count for count, _, _ in _adapted(model, plan)) or 1


def _rows_and_columns(model: ModelSpec, plan: TrainingPlan) -> int:
    if plan.method == "full":
        inside = 0
        for group in model.layers:
            edges = sum(linear.copies * (linear.in_features + linear.out_features) for linear in group.linears)
            inside += group.count * (edges + group.norm_params)
        return inside + 2 * (model.vocab_size + model.hidden_size)
    rank = plan.lora_rank or 0
    return sum(count * (inputs + outputs + 2 * rank) for count, inputs, outputs in _adapted(model, plan))


def _small_excess(model: ModelSpec, plan: TrainingPlan) -> int:
    """Bytes that small tensors cost more in one 8-bit state: norms in a full run, small adapters."""
    if plan.method == "full":
        norms = sum(group.count * max(1, group.norm_params // model.hidden_size) for group in model.layers) + 1
        return norms * eight_bit_excess(model.hidden_size)
    rank = plan.lora_rank or 0
    return sum(
        count * (eight_bit_excess(rank * inputs) + eight_bit_excess(rank * outputs))
        for count, inputs, outputs in _adapted(model, plan)
    )
