"""What does not depend on the batch in a run: stored weights, trained values, states, and what each device holds."""

from __future__ import annotations

from typing import NamedTuple

from advisor.estimate.activations import Switches
from advisor.estimate.logits import HeadKind, HeadSizes
from advisor.estimate.optimizer import States, eight_bit_excess, optimizer_states
from advisor.estimate.sharding import Held, Placement, place
from advisor.estimate.stacks import Stack
from advisor.estimate.weights import DTYPE_BYTES, Storage, Stored, stored_weights
from advisor.model.params import EMBEDDING_NAMES, HEAD_NAMES, saved_module_params, targeted, trainable_params
from advisor.model.spec import ModelSpec
from trainers.method import METHODS
from trainers.plan import TrainingPlan


class State(NamedTuple):
    """Fixed figures of one plan on one device; bytes unless named otherwise."""

    compute: int
    """Bytes of the dtype of matrix products."""
    wide: int
    """Bytes of the dtype in which unquantised base weights rest."""
    storage: Storage
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


class _Widths(NamedTuple):
    """Bytes of one value of each kind, and how the base is stored."""

    compute: int
    wide: int
    """Base weights that rest unquantised."""
    unquantised: int
    """What stays outside the quantised matrices; all base weights when nothing is quantised."""
    trained: int
    storage: Storage
    upcast: bool
    """Preparation for k-bit training makes everything fp32 that is not quantised."""


def training_state(model: ModelSpec, plan: TrainingPlan, stack: Stack) -> State:
    """Everything that is fixed once model, plan and stack are."""
    widths = _widths(plan, stack)
    trains_base = not plan.trains_adapter
    sharded = plan.sharding in ("fsdp", "zero3")
    stored = stored_weights(
        model,
        storage=widths.storage,
        unquantised=widths.unquantised,
        block_dtype=widths.wide,
        experts_quantised=stack.experts_quantised,
        packs_experts=stack.packs_experts,
        with_towers=trains_base,
        compute=widths.compute,
    )
    held = _held(model, plan, stack, widths, stored)
    late = 0
    if trains_base and plan.sharding in ("none", "ddp"):
        late = (held.block_params + (model.embedding_params if model.head_params else 0)) * widths.trained
    return State(
        compute=widths.compute,
        wide=widths.wide,
        storage=widths.storage,
        trains_base=trains_base,
        trained=held.trained,
        trained_dtype=widths.trained,
        largest=_largest_trained(model, plan),
        stored=stored,
        placed=place(held, plan.sharding, plan.num_gpus, plan.cpu_offload, stack.adapters_sharded),
        switches=_switches(model, plan, stack, widths, autocast=stack.autocast and not sharded),
        head=_head(model, plan, stack, widths),
        late_gradients=late,
        sharded=sharded,
        on_cpu=plan.accelerator == "cpu",
    )


def _widths(plan: TrainingPlan, stack: Stack) -> _Widths:
    compute, wide = DTYPE_BYTES[plan.compute_dtype], DTYPE_BYTES[plan.weights_dtype]
    storage: Storage = "none" if plan.quantization == "none" else (stack.base_storage or "nf4")
    upcast = storage != "none" and stack.kbit_upcast and plan.sharding != "fsdp"
    if not plan.trains_adapter and plan.sharding == "fsdp" and stack.fsdp_fp32_master:
        wide = 4
    return _Widths(
        compute=compute,
        wide=wide,
        unquantised=wide if storage == "none" else 4 if upcast else compute,
        trained=wide if not plan.trains_adapter else _adapter_bytes(plan, stack, compute),
        storage=storage,
        upcast=upcast,
    )


def _held(model: ModelSpec, plan: TrainingPlan, stack: Stack, widths: _Widths, stored: Stored) -> Held:
    """What all devices hold together, before it is placed on each."""
    trains_base, quantised = not plan.trains_adapter, widths.storage != "none"
    trained, copied = trainable_params(model, plan), _copied_values(model, plan)
    own_bytes = (trained - copied) * widths.trained + copied * widths.unquantised
    block_params = 0 if quantised else stored.largest_block // widths.wide
    root_params = stored.root // widths.unquantised
    return Held(
        stored=stored,
        adapters=0 if trains_base else own_bytes,
        trained_base=trains_base,
        trained=trained,
        gradients=own_bytes,
        states=_states(model, plan, stack, widths),
        root_compute=root_params * widths.compute // (2 if stack.fsdp_outer_split else 1),
        block_compute=stored.gathered_block if quantised else block_params * widths.compute,
        compute=widths.compute,
        block_params=block_params,
        scales_sharded=stack.fsdp_scales_sharded,
        fsdp2=stack.fsdp == "fsdp2",
        accumulates_whole=stack.fsdp_accumulates_whole,
        on_cpu=plan.accelerator == "cpu",
    )


def _copied_values(model: ModelSpec, plan: TrainingPlan) -> int:
    """Values of whole modules that train as copies beside an adapter, in the dtype of the base."""
    return 0 if not plan.trains_adapter else saved_module_params(model, plan.modules_to_save)


def _states(model: ModelSpec, plan: TrainingPlan, stack: Stack, widths: _Widths) -> States:
    """Optimizer states of what trains; adapters and copied modules differ in dtype."""
    copied = _copied_values(model, plan)
    own = trainable_params(model, plan) - copied
    excess = _small_excess(model, plan)
    parts = [
        optimizer_states(
            plan.optimizer,
            values,
            width,
            tensors=_tensor_count(model, plan),
            largest=_largest_trained(model, plan),
            rows_and_columns=_rows_and_columns(model, plan),
            excess=excess if values == own else 0,
            foreach=stack.foreach,
            in_backward=plan.optimizer_in_backward,
        )
        for values, width in ((own, widths.trained), (copied, widths.unquantised))
        if values
    ]
    states = States(*(sum(figures) for figures in zip(*parts, strict=True))) if parts else States(0, 0, 0)
    if plan.accelerator == "cpu":
        return States(states.device + states.host, 0, states.step)
    return states


def _head(model: ModelSpec, plan: TrainingPlan, stack: Stack, widths: _Widths) -> HeadSizes:
    autocast = stack.autocast and widths.compute != 4
    return HeadSizes(
        vocab=model.vocab_size,
        hidden=model.hidden_size,
        compute=widths.compute,
        trained=not plan.trains_adapter or bool(_saved_names(plan) & set(HEAD_NAMES)),
        weight=widths.unquantised,
        stream=4 if autocast and (widths.upcast or widths.wide == 4) else widths.compute,
        autocast=autocast,
        kind=_head_kind(model, plan, stack),
        on_cpu=plan.accelerator == "cpu",
        drops_compute=stack.head_drops_compute or plan.sharding == "fsdp",
        outputs_kept=stack.outputs_kept,
        returns_fp32=(stack.fsdp == "fsdp1" and plan.sharding == "fsdp") or (stack.converts_outputs and autocast),
    )


def _saved_names(plan: TrainingPlan) -> set[str]:
    return {name.rpartition(".")[2] for name in plan.modules_to_save}


def _head_kind(model: ModelSpec, plan: TrainingPlan, stack: Stack) -> HeadKind:
    if plan.loss_kernel == "full":
        if model.traits.head_uncast and stack.full_head in ("upcast_shift", "in_place"):
            return "compute" if stack.full_head == "upcast_shift" else "compute_in_place"
        if stack.full_head == "chunk_list" and not plan.trains_adapter:
            return "compute"  # litgpt cuts the head into chunks for adapters only
        return stack.full_head
    return stack.chunked_head if plan.loss_kernel == "chunked" else stack.liger_head


def _adapter_bytes(plan: TrainingPlan, stack: Stack, compute: int) -> int:
    kind = stack.qlora_dtype if plan.quantization != "none" else stack.lora_dtype
    if plan.sharding == "fsdp" and stack.sharded_adapter_dtype is not None:
        kind = stack.sharded_adapter_dtype
    return 4 if kind == "fp32" else compute


def _switches(model: ModelSpec, plan: TrainingPlan, stack: Stack, widths: _Widths, *, autocast: bool) -> Switches:
    lora = METHODS[plan.method].is_lora
    autocast = autocast and widths.compute != 4
    names = frozenset(name.rpartition(".")[2] for name in plan.lora_targets or ())
    liger = stack.liger_layers and plan.loss_kernel == "liger" and model.traits.liger_layers
    fused = stack.compiled or liger
    return Switches(
        compute=widths.compute,
        stream=4 if autocast and (widths.upcast or widths.wide == 4) else widths.compute,
        autocast=autocast,
        base_trains=not plan.trains_adapter,
        lora_targets=names if lora else None,
        all_linear="all-linear" in names,
        expert_targets=frozenset(name.rpartition(".")[2] for name in plan.lora_expert_targets),
        rank=plan.lora_rank or 0,
        expert_rank=plan.lora_expert_rank or plan.lora_rank or 0,
        adapter=widths.trained,
        dropout=bool(plan.lora_dropout),
        dora=plan.use_dora,
        attention=plan.attention,
        expand_kv=stack.expand_kv,
        norm_kernel="fused" if fused else stack.norm_kernel,
        mlp_kernel="fused" if fused else stack.mlp_kernel,
        lora_kernel="fused" if stack.compiled else stack.lora_kernel,
        recompute_output=stack.recompute_output and plan.gradient_checkpointing,
        float_norm=stack.float_norm or model.traits.float_norm,
        fused_qkv=stack.fused_qkv,
        lora_keeps_output=stack.lora_keeps_output,
        copies_attention=stack.copies_attention or (model.traits.partly_rotated and plan.attention == "sdpa"),
        expert_loop=stack.experts_quantised,
        eager_layernorm=model.traits.eager_layernorm and not stack.own_modules,
        eager_gelu=model.traits.eager_gelu and not stack.own_modules,
        xielu=model.traits.xielu and not stack.own_modules,
        keeps_inputs=stack.quantised_keeps_input and widths.storage != "none",
        bottleneck=plan.adapter_bottleneck or 0,
    )


# --- what trains -------------------------------------------------------------------------------------------------


def _adapted(model: ModelSpec, plan: TrainingPlan) -> list[tuple[int, int, int, int]]:
    """(count, rank, inputs, outputs) of each linear with an adapter."""
    if not METHODS[plan.method].is_lora:
        return []
    pairs = targeted(model, plan.lora_targets or ("all-linear",), plan.lora_expert_targets)
    rank = plan.lora_rank or 0
    expert_rank = plan.lora_expert_rank or rank
    return [
        (
            count * linear.copies,
            expert_rank if linear.fused else rank,
            linear.in_features,
            linear.out_features,
        )
        for count, linear in pairs
    ]


def _largest_trained(model: ModelSpec, plan: TrainingPlan) -> int:
    """Values of the largest trained tensor."""
    if not plan.trains_adapter:
        return max(model.embedding_params, model.head_params)
    if _saved_names(plan) & (set(EMBEDDING_NAMES) | set(HEAD_NAMES)):
        return model.vocab_size * model.hidden_size
    return max((rank * max(inputs, outputs) for _, rank, inputs, outputs in _adapted(model, plan)), default=0)


def _tensor_count(model: ModelSpec, plan: TrainingPlan) -> int:
    if not plan.trains_adapter:
        return sum(group.count * (len(group.linears) + 2) for group in model.layers) + 3
    return 2 * sum(count for count, _, _, _ in _adapted(model, plan)) or 1


def _rows_and_columns(model: ModelSpec, plan: TrainingPlan) -> int:
    if not plan.trains_adapter:
        inside = 0
        for group in model.layers:
            edges = sum(linear.copies * (linear.in_features + linear.out_features) for linear in group.linears)
            inside += group.count * (edges + group.norm_params)
        return inside + 2 * (model.vocab_size + model.hidden_size)
    return sum(count * (inputs + outputs + 2 * rank) for count, rank, inputs, outputs in _adapted(model, plan))


def _small_excess(model: ModelSpec, plan: TrainingPlan) -> int:
    """Bytes that small tensors cost more in one 8-bit state: norms in a full run, small adapters."""
    if not plan.trains_adapter:
        norms = sum(group.count * max(1, group.norm_params // model.hidden_size) for group in model.layers) + 1
        return norms * eight_bit_excess(model.hidden_size)
    return sum(
        count * (eight_bit_excess(rank * inputs) + eight_bit_excess(rank * outputs))
        for count, rank, inputs, outputs in _adapted(model, plan)
    )
