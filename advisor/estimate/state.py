"""What does not depend on the batch in a run: stored weights, trained values, states, and what each device holds."""

from __future__ import annotations

from typing import NamedTuple

from advisor.estimate.activations import Switches
from advisor.estimate.forms import built_matrices
from advisor.estimate.logits import HeadKind, HeadSizes
from advisor.estimate.optimizer import States, optimizer_states
from advisor.estimate.sharding import Held, Placement, place
from advisor.estimate.split import expert_part
from advisor.estimate.stacks import Stack
from advisor.estimate.trained import (
    largest_trained,
    low_rank_states,
    rows_and_columns,
    saved_names,
    small_excess,
    tensor_count,
    trained_values,
)
from advisor.estimate.weights import DTYPE_BYTES, Storage, Stored, stored_weights
from advisor.model.params import HEAD_NAMES, saved_module_params
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
    built: int
    """Matrices that adapters build in forward and keep for backward."""
    stored: Stored
    placed: Placement
    switches: Switches
    head: HeadSizes
    late_gradients: int
    """Gradients of one block and of the embedding: the last to appear in a full fine-tuning."""
    sharded: bool
    on_cpu: bool


def _stored(model: ModelSpec, plan: TrainingPlan, stack: Stack, widths: _Widths) -> Stored:
    return stored_weights(
        model,
        storage=widths.storage,
        unquantised=widths.unquantised,
        block_dtype=widths.wide,
        experts_quantised=stack.experts_quantised,
        packs_experts=stack.packs_experts,
        with_towers=plan.reads_images or not plan.trains_adapter,
        compute=widths.compute,
    )


class _Widths(NamedTuple):
    """Bytes of one value of each kind, and how the base is stored."""

    compute: int
    wide: int
    """Base weights that rest unquantised."""
    unquantised: int
    """What stays outside the quantised matrices; all base weights when nothing is quantised."""
    trained: int
    copied: int
    """Embedding and head that train whole beside an adapter."""
    storage: Storage
    upcast: bool
    """Preparation for k-bit training makes everything fp32 that is not quantised."""


def training_state(model: ModelSpec, plan: TrainingPlan, stack: Stack) -> State:
    """Everything that is fixed once model, plan and stack are."""
    widths = _widths(plan, stack)
    trains_base = not plan.trains_adapter
    sharded = plan.sharding in ("fsdp", "zero3")
    local = expert_part(model, stack.split.expert)
    stored = _stored(local, plan, stack, widths)
    if sharded and local is not model:
        # experts are sharded over those that hold the same ones, so that all bytes still lie in equal parts
        whole = _stored(model, plan, stack, widths)
        stored = whole._replace(largest_block=stored.largest_block, gathered_block=stored.gathered_block)
    held = _held(model if sharded else local, plan, stack, widths, stored)
    late = 0
    if trains_base and stack.part is None and plan.sharding in ("none", "ddp"):
        late = (held.block_params + (model.embedding_params if model.head_params else 0)) * widths.trained
    return State(
        compute=widths.compute,
        wide=widths.wide,
        storage=widths.storage,
        trains_base=trains_base,
        trained=held.trained,
        trained_dtype=widths.trained,
        largest=largest_trained(model, plan),
        built=built_matrices(model, plan, stack.form),
        stored=stored,
        placed=place(
            held, plan.sharding, plan.num_gpus // stack.split.tensor, plan.cpu_offload, stack.adapters_sharded
        ),
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
    masters = stack.part is not None and stack.part.fp32_master
    unquantised = wide if storage == "none" else 4 if upcast else compute
    return _Widths(
        compute=compute,
        wide=wide,
        unquantised=unquantised,
        copied=4 if stack.float_embeddings else unquantised,
        trained=_adapter_bytes(plan, stack, compute) if plan.trains_adapter else 4 if masters else wide,
        storage=storage,
        upcast=upcast,
    )


def _held(model: ModelSpec, plan: TrainingPlan, stack: Stack, widths: _Widths, stored: Stored) -> Held:
    """What all devices hold together, before it is placed on each."""
    trains_base, quantised = not plan.trains_adapter, widths.storage != "none"
    trained, copied = trained_values(model, plan, stack.form, stack.part), _copied_values(model, plan)
    own_bytes = (trained - copied) * widths.trained + copied * widths.copied
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
    own = trained_values(model, plan, stack.form, stack.part) - copied
    if not plan.trains_adapter and stack.low_rank is not None:
        return low_rank_states(model, stack.low_rank, widths.trained)
    if stack.state_bytes is not None:
        return States(int(2 * (own + copied) * stack.state_bytes), 0, 0)
    excess = small_excess(model, plan)
    parts = [
        optimizer_states(
            plan.optimizer,
            values,
            width,
            tensors=tensor_count(model, plan),
            largest=largest_trained(model, plan),
            rows_and_columns=rows_and_columns(model, plan),
            excess=excess if values == own else 0,
            foreach=stack.foreach,
            in_backward=plan.optimizer_in_backward,
        )
        for values, width in ((own, widths.trained), (copied, widths.copied))
        if values
    ]
    if stack.part is not None and stack.part.fp32_master:
        parts.append(States(4 * own, 0, 0))
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
        trained=not plan.trains_adapter or bool(saved_names(plan) & set(HEAD_NAMES)),
        weight=widths.unquantised,
        stream=4 if autocast and (widths.upcast or widths.wide == 4) else widths.compute,
        autocast=autocast,
        kind=_head_kind(model, plan, stack),
        on_cpu=plan.accelerator == "cpu",
        drops_compute=stack.head_drops_compute or plan.sharding == "fsdp",
        outputs_kept=stack.outputs_kept,
        returns_fp32=(stack.fsdp == "fsdp1" and plan.sharding == "fsdp") or (stack.converts_outputs and autocast),
    )


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
        form=stack.form,
    )
