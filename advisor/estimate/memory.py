"""Peak memory of a training run, phase by phase, from the shape of the model and the plan.

    estimate_memory(model, plan)                       -> MemoryEstimate
    Estimator(model, plan).need_bytes(4, 2048)         -> what one device must have free, in microseconds

An Estimator works out once what does not depend on the batch; each figure after that is a handful of additions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from advisor.estimate import constants as const
from advisor.estimate.activations import Switches, adapter_copies, block_kept, weight_copies
from advisor.estimate.dims import block_dims
from advisor.estimate.logits import HeadSizes, head_bytes
from advisor.estimate.optimizer import States, optimizer_states
from advisor.estimate.result import COMPONENTS, Band, MemoryEstimate, Phase, PhaseMemory
from advisor.estimate.runtime import Slack, band, slack, workspace_bytes
from advisor.estimate.sharding import Held, place
from advisor.estimate.stacks import OURS, Stack
from advisor.estimate.weights import DTYPE_BYTES, stored_weights
from advisor.model.params import EMBEDDING_NAMES, HEAD_NAMES, trainable_params
from advisor.model.spec import ModelSpec
from trainers.plan import TrainingPlan

BATCH_BYTES = 24
"""Token ids, labels and mask of one token, eight bytes each."""
WHOLE_LOGITS = frozenset(
    ("upcast_shift", "upcast_shift_lean", "upcast", "in_place_shift", "in_place_shift_lean", "compute_shift")
)


class Moment(NamedTuple):
    """Tensor bytes of one phase at its worst, by component, and what the allocator holds above them."""

    phase: Phase
    weights: int = 0
    adapters: int = 0
    gradients: int = 0
    states: int = 0
    activations: int = 0
    logits: int = 0
    buffers: int = 0
    workspace: int = 0
    slack: Slack = Slack(0, 0)

    @property
    def allocated(self) -> int:
        """Tensor bytes."""
        return sum(self[1:9])

    @property
    def device(self) -> int:
        """Tensor bytes, cached blocks and context."""
        return sum(self[1:9]) + self.slack.cached + self.slack.context


class _Group(NamedTuple):
    blocks: int
    saved: int
    worst: int
    copies: int
    input: int


class Estimator:
    """Memory of one model under one plan, for any micro-batch and sequence length."""

    def __init__(self, model: ModelSpec, plan: TrainingPlan, stack: Stack = OURS, *, sm: int | None = None) -> None:
        self.model, self.plan, self.stack, self.sm = model, plan, stack, sm
        self.compute = DTYPE_BYTES[plan.compute_dtype]
        self.trains_base = plan.method == "full"
        self.trained = trainable_params(model, plan)
        self.on_cpu = plan.accelerator == "cpu"
        self.world = plan.num_gpus
        self._weights()
        self._training_state()
        self.switches = self._switches()
        self._groups_for: dict[int, tuple[_Group, ...]] = {}
        self.head = {"full": stack.full_head, "chunked": stack.chunked_head, "liger": stack.liger_head}[
            plan.loss_kernel
        ]
        leaves = {name.rpartition(".")[2] for name in plan.modules_to_save}
        self.trains_embedding = self.trains_base or bool(leaves & set(EMBEDDING_NAMES))
        self.trains_head = self.trains_base or bool(leaves & set(HEAD_NAMES))

    # --- what does not depend on the batch -----------------------------------------------------------------------

    def _weights(self) -> None:
        plan, stack, model = self.plan, self.stack, self.model
        wide = DTYPE_BYTES[plan.weights_dtype]
        if self.trains_base and plan.sharding == "fsdp" and stack.fsdp_fp32_master and stack.autocast:
            wide = 4
        storage = "none" if plan.quantization == "none" else (stack.base_storage or "nf4")
        upcast = storage != "none" and stack.kbit_upcast
        self.storage = storage
        self.wide = wide
        self.stream = 4 if upcast or wide == 4 else self.compute
        self.stored = stored_weights(
            model,
            storage=storage,
            unquantised=4 if upcast else self.compute if storage != "none" else wide,
            block_dtype=wide,
            experts_quantised=stack.experts_quantised,
            compute=self.compute,
        )

    def _training_state(self) -> None:
        plan, stack, model = self.plan, self.stack, self.model
        if self.trains_base:
            self.trained_dtype = self.wide
        else:
            kind = stack.qlora_dtype if plan.quantization != "none" else stack.lora_dtype
            self.trained_dtype = 4 if kind == "fp32" else self.compute
        largest = (
            max(model.embedding_params, model.head_params) if self.trains_base else _largest_adapter(model, plan)
        )
        tensors = _tensor_count(model, plan)
        self.largest = largest
        states = optimizer_states(
            plan.optimizer,
            self.trained,
            self.trained_dtype,
            tensors=tensors,
            largest=largest,
            rows_and_columns=_rows_and_columns(model, plan),
            small=_small_values(model, plan),
            foreach=stack.foreach,
            in_backward=plan.optimizer_in_backward,
        )
        if self.on_cpu:
            states = States(states.device + states.host, 0, states.step)
        root = self.stored.root
        root_width = self.compute if plan.sharding in ("fsdp", "zero3") else self.wide
        root_compute = root * root_width // (self.wide if self.storage == "none" else self.compute)
        if self.storage != "none" and stack.kbit_upcast:
            root_compute = root
        largest_block = self.stored.largest_block
        block_params = largest_block // self.wide if self.storage == "none" else 0
        gathered = block_params * self.compute if self.storage == "none" else self.stored.gathered_block
        held = Held(
            stored=self.stored,
            adapters=0 if self.trains_base else self.trained * self.trained_dtype,
            trained_base=self.trains_base,
            trained=self.trained,
            gradient_bytes=self.trained_dtype,
            states=states,
            root_compute=root_compute,
            block_compute=gathered,
            compute=self.compute,
            block_params=block_params,
        )
        self.placed = place(
            held, plan.sharding, self.world, offload=plan.cpu_offload, adapters_sharded=stack.adapters_sharded
        )
        self.sharded = plan.sharding in ("fsdp", "zero3")

    def _switches(self) -> Switches:
        plan, stack = self.plan, self.stack
        lora = plan.method in ("lora", "qlora")
        targets = plan.lora_targets or ()
        names = frozenset(name.rpartition(".")[2] for name in targets)
        mixed = stack.autocast and not (self.on_cpu and plan.compute_dtype == "fp32")
        return Switches(
            compute=self.compute,
            stream=self.stream if mixed and not self.sharded else self.compute,
            autocast=mixed,
            base_trains=self.trains_base,
            lora_targets=names if lora else None,
            all_linear="all-linear" in names,
            expert_targets=frozenset(name.rpartition(".")[2] for name in plan.lora_expert_targets),
            rank=plan.lora_rank or 0,
            adapter=self.trained_dtype,
            dropout=bool(plan.lora_dropout),
            dora=plan.use_dora,
            attention=plan.attention,
            expand_kv=stack.expand_kv,
            norm_kernel="fused" if stack.compiled else stack.norm_kernel,
            mlp_kernel="fused" if stack.compiled else stack.mlp_kernel,
            lora_kernel="fused" if stack.compiled else stack.lora_kernel,
            recompute_output=stack.recompute_output and plan.gradient_checkpointing,
            float_norm=self.model.model_type.startswith(("gemma", "olmo2", "olmo3")),
            bottleneck=plan.adapter_bottleneck or 0,
            prefix=plan.method == "prefix",
        )

    def _groups(self, keys: int) -> tuple[_Group, ...]:
        """Per-token costs of each kind of block; they depend on the length only under eager attention."""
        key = keys if self.plan.attention == "eager" else 0
        found = self._groups_for.get(key)
        if found is None:
            on = self.switches
            master = self.wide if self.storage == "none" and not self.sharded else self.compute
            groups = []
            for group in self.model.layers:
                dims = block_dims(self.model, group)
                kept = block_kept(dims, on, keys)
                copies = weight_copies(dims, on, master) + adapter_copies(dims, on)
                groups.append(_Group(dims.blocks, kept.saved, kept.worst, copies, on.stream * dims.hidden))
            found = self._groups_for[key] = tuple(groups)
        return found

    # --- phases --------------------------------------------------------------------------------------------------

    def moments(
        self, micro_batch: int | None = None, seq_len: int | None = None, accumulation: int | None = None
    ) -> list[Moment]:
        """Every phase at its worst moment."""
        plan, placed, stack = self.plan, self.placed, self.stack
        micro = micro_batch or plan.micro_batch_size
        length = seq_len or plan.max_seq_len
        accumulation = accumulation or plan.gradient_accumulation_steps
        tokens = micro * length
        offload_hidden = plan.activation_offload and plan.gradient_checkpointing
        groups = self._groups(length + (plan.num_virtual_tokens or 0))
        workspace = 0 if self.on_cpu else workspace_bytes(self.sm)
        kept_gradients = placed.gradients if accumulation > 1 or stack.gradients_kept else 0
        if plan.optimizer_in_backward:
            kept_gradients = 0
        base = Moment(
            "load", weights=placed.weights, adapters=placed.adapters, states=placed.states, workspace=workspace
        )
        blocks = sum(group.blocks for group in groups)
        worst_block = max(group.worst for group in groups) * tokens
        copies = max((group.copies for group in groups), default=0)
        if plan.gradient_checkpointing:
            boundary = sum(group.blocks * group.input for group in groups) * tokens
            held = 2 * groups[0].input * tokens if offload_hidden else boundary
            copies_forward = sum(g.blocks * g.copies for g in groups) if copies and self.trains_base else copies
            copies_held = 0
        else:
            held = sum(group.blocks * group.saved for group in groups) * tokens
            worst_block -= max(group.saved for group in groups) * tokens
            copies_forward = copies_held = sum(group.blocks * group.copies for group in groups)
            if plan.activation_offload:
                held = 2 * held // max(blocks, 1)
        batch = BATCH_BYTES * tokens
        head_sizes = HeadSizes(
            tokens, self.model.vocab_size, self.model.hidden_size, self.compute, self.trains_head, 0, micro
        )
        logits = head_bytes(self._head(), head_sizes)
        norm_kept = 4 if self.switches.norm_kernel == "eager" else 2
        final = (norm_kept + self.compute) * self.model.hidden_size * tokens
        whole = tokens * self.model.vocab_size if self.head in WHOLE_LOGITS else 0
        moving_head = held + final + logits
        forward = base._replace(
            phase="forward",
            gradients=kept_gradients,
            activations=held + final + batch,
            logits=logits,
            buffers=placed.outer + placed.bucket + copies_forward,
            slack=self._slack(moving_head, whole),
        )
        dequantised = self.stored.dequantised
        retained = 0
        if stack.fsdp1_keeps_input_gradients and plan.sharding == "fsdp" and not self.trains_base:
            retained = max(0, blocks - 2) * groups[0].input * tokens
        head_gradient = self.model.head_params * self.trained_dtype if self.trains_base else 0
        top_gradients = max(kept_gradients, 0 if plan.optimizer_in_backward or self.sharded else head_gradient)
        top = base._replace(
            phase="backward",
            gradients=top_gradients,
            activations=held + worst_block + batch,
            buffers=placed.outer
            + placed.bucket
            + 2 * placed.block
            + placed.block_gradient
            + dequantised
            + copies
            + copies_held,
            slack=self._slack(held + worst_block, whole),
        )
        all_gradients = self.largest * self.trained_dtype if plan.optimizer_in_backward else placed.gradients
        left = (held if retained else 0) + retained
        tied = (
            2 * self.model.embedding_params * self.trained_dtype
            if self.trains_base and not self.model.head_params
            else 0
        )
        accumulating = self.largest * self.trained_dtype if accumulation > 1 and self.trains_base else 0
        bottom = base._replace(
            phase="backward",
            gradients=all_gradients,
            activations=left + worst_block + batch,
            buffers=placed.outer
            + placed.bucket
            + placed.block
            + placed.block_gradient
            + dequantised
            + copies
            + (0 if self.sharded else max(tied, accumulating)),
            slack=self._slack(left + worst_block, whole),
        )
        backward = top if top.device >= bottom.device else bottom
        step = base._replace(
            phase="optimizer_step",
            gradients=all_gradients,
            buffers=placed.step + placed.bucket,
            activations=batch,
            slack=self._slack(held + worst_block, whole),
        )
        evaluation = self._evaluation(base, length)
        save = base._replace(phase="save", buffers=placed.outer, slack=self._slack(0, 0))
        load = base._replace(states=0, buffers=self._load_buffers(), slack=self._slack(0, 0))
        merge = Moment("merge")
        return [load, forward, backward, step, evaluation, save, merge]

    def _head(self) -> str:
        if self.plan.sharding == "fsdp" and self.head in ("upcast_shift", "in_place_shift"):
            return self.head + "_lean"
        return self.head

    def _load_buffers(self) -> int:
        """The widest tensor before it is quantised, while the base loads."""
        if self.storage == "none":
            return 0
        return 2 * max(ln.in_features * ln.out_features for group in self.model.layers for ln in group.linears)

    def _evaluation(self, base: Moment, length: int) -> Moment:
        tokens = self.plan.eval_micro_batch_size * length
        widest = max(group.worst for group in self._groups(length)) // 2 * tokens
        sizes = HeadSizes(tokens, self.model.vocab_size, self.model.hidden_size, self.compute, False, 0)
        logits = head_bytes(self._head(), sizes) * 2 // 3
        larger_logits = logits >= widest
        whole = tokens * self.model.vocab_size if self.head in WHOLE_LOGITS else 0
        return base._replace(
            phase="evaluation",
            activations=(0 if larger_logits else widest) + BATCH_BYTES * tokens,
            logits=logits if larger_logits else 0,
            buffers=self.placed.outer + 2 * self.placed.block + self.stored.dequantised,
            slack=self._slack(max(widest, logits), whole),
        )

    def _slack(self, moving: int, cells: int) -> Slack:
        if self.on_cpu:
            return Slack(int(moving * const.MALLOC_SHARE_CPU), const.PROCESS_BYTES_CPU)
        return slack(moving, cells, sharded=self.sharded, world=self.world)

    # --- answers -------------------------------------------------------------------------------------------------

    def need_bytes(self, micro_batch: int | None = None, seq_len: int | None = None) -> int:
        """Upper end of the device memory of one GPU: what must be free."""
        return self._bands(self.moments(micro_batch, seq_len))[2].high

    def _bands(self, moments: Iterable[Moment]) -> tuple[Band, Band, Band]:
        moments = list(moments)
        allocated = max(moment.allocated for moment in moments)
        reserved = max(moment.allocated + moment.slack.cached for moment in moments)
        device = max(moment.device for moment in moments)
        static = min(self.placed.weights + self.placed.adapters + self.placed.states, allocated)
        low, high = 0.10, 0.10
        return (
            band(allocated, static, low, high),
            band(reserved, static, 2 * low, high),
            band(device, static, 2 * low, high),
        )

    def estimate(self, micro_batch: int | None = None, seq_len: int | None = None) -> MemoryEstimate:
        """The whole estimate."""
        moments = self.moments(micro_batch, seq_len)
        allocated, reserved, device = self._bands(moments)
        peak = max(moments, key=lambda moment: moment.device)
        return MemoryEstimate(
            phases=tuple(_phase(moment) for moment in moments),
            peak_phase=peak.phase,
            allocated=allocated,
            reserved=reserved,
            device=device,
            host_bytes=self.host_bytes(),
            stack=self.stack.name,
        )

    def host_bytes(self) -> int:
        """Host RAM of all processes of one node."""
        plan = self.plan
        if self.on_cpu:
            return max(moment.device for moment in self.moments())
        processes = max(1, self.world // plan.num_nodes)
        merged = 4 * self.model.num_params if plan.delivery.artifact == "merged_model" else 0
        running = processes * (const.PROCESS_HOST_BYTES + self.placed.host)
        return max(running, merged + const.PROCESS_HOST_BYTES)


def estimate_memory(
    model: ModelSpec, plan: TrainingPlan, *, stack: Stack = OURS, sm: int | None = None
) -> MemoryEstimate:
    """Peak memory of one GPU (resident memory of the process on a CPU) under this plan, in bytes."""
    return Estimator(model, plan, stack, sm=sm).estimate()


def _phase(moment: Moment) -> PhaseMemory:
    values = (*moment[1:8], moment.workspace + moment.slack.cached + moment.slack.context)
    return PhaseMemory(phase=moment.phase, parts=dict(zip(COMPONENTS, values, strict=True)))


def _adapted(model: ModelSpec, plan: TrainingPlan) -> list[tuple[int, int, int]]:
    """(count, inputs, outputs) of each linear with an adapter."""
    from advisor.model.params import targeted

    if plan.method not in ("lora", "qlora"):
        return []
    pairs = targeted(model, plan.lora_targets or ("all-linear",), plan.lora_expert_targets)
    return [(group.count * linear.copies, linear.in_features, linear.out_features) for group, linear in pairs]


def _largest_adapter(model: ModelSpec, plan: TrainingPlan) -> int:
    rank = plan.lora_rank or 0
    return max((rank * max(inputs, outputs) for _, inputs, outputs in _adapted(model, plan)), default=0)


def _tensor_count(model: ModelSpec, plan: TrainingPlan) -> int:
    if plan.method == "full":
        return sum(group.count * (len(group.linears) + 2) for group in model.layers) + 3
    return 2 * sum(count for count, _, _ in _adapted(model, plan)) or 1


def _rows_and_columns(model: ModelSpec, plan: TrainingPlan) -> int:
    if plan.method == "full":
        inside = sum(
            group.count
            * (sum(ln.copies * (ln.in_features + ln.out_features) for ln in group.linears) + group.norm_params)
            for group in model.layers
        )
        return inside + 2 * (model.vocab_size + model.hidden_size)
    rank = plan.lora_rank or 0
    return sum(count * (inputs + outputs + 2 * rank) for count, inputs, outputs in _adapted(model, plan))


def _small_values(model: ModelSpec, plan: TrainingPlan) -> int:
    """Values in tensors too small for 8-bit states: norms and biases in a full run, small adapters."""
    if plan.method == "full":
        if model.hidden_size >= const.SMALL_TENSOR_8BIT:
            return 0
        return sum(group.count * group.norm_params for group in model.layers) + model.final_norm_params
    rank = plan.lora_rank or 0
    return sum(
        count * rank * width
        for count, inputs, outputs in _adapted(model, plan)
        for width in (inputs, outputs)
        if rank * width < const.SMALL_TENSOR_8BIT
    )
