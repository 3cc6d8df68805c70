"""Peak memory of a training run, phase by phase, from the shape of the model and the plan.

    estimate_memory(model, plan)                       -> MemoryEstimate
    Estimator(model, plan).need_bytes(4, 2048)         -> what one device must have free, in microseconds

An Estimator works out once what does not depend on the batch; each figure after that is a handful of additions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from advisor.estimate import constants as const
from advisor.estimate.blocks import Blocks, work_out_blocks, worked_out
from advisor.estimate.logits import head_bytes, pooled_cell_bytes
from advisor.estimate.notes import assumptions, not_modelled
from advisor.estimate.result import COMPONENTS, Band, MemoryEstimate, Phase, PhaseMemory
from advisor.estimate.runtime import (
    Calibration,
    Peaks,
    bands,
    cached_beside_logits,
    cached_bytes,
    context_bytes,
    workspace_bytes,
)
from advisor.estimate.stacks import OURS, Stack
from advisor.model.spec import ModelSpec
from trainers.plan import TrainingPlan

BATCH_BYTES = 24
"""Token ids, labels and mask of one token, eight bytes each."""


class Moment(NamedTuple):
    """Bytes of one phase at its worst, by component; `cached` and `context` are not tensors."""

    phase: Phase
    weights: int
    adapters: int
    gradients: int
    states: int
    activations: int
    logits: int
    buffers: int
    workspace: int
    cached: int
    context: int

    @property
    def allocated(self) -> int:
        """Tensor bytes."""
        return sum(self[1:9])


Maxima = tuple[int, int, int]


class Estimator:
    """Memory of one model under one plan, for any micro-batch and sequence length."""

    def __init__(
        self,
        model: ModelSpec,
        plan: TrainingPlan,
        stack: Stack = OURS,
        *,
        sm: int | None = None,
        lengths_vary: bool | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        self.model, self.plan, self.stack = model, plan, stack
        self.state, self._blocks_for = worked_out(model, plan, stack)
        self.lengths_vary = not plan.packing if lengths_vary is None else lengths_vary
        self.calibration = calibration
        placed = self.state.placed
        self.static_bytes = placed.weights + placed.adapters + placed.states
        """Weights, adapters and states on the device: what a calibration leaves alone."""
        on_cpu = self.state.on_cpu
        self._workspace = 0 if on_cpu else workspace_bytes(sm)
        self._context = context_bytes(plan.num_gpus, stack.kernels_at_start)
        if on_cpu:
            self._context = const.PROCESS_BYTES_CPU
            self._context += const.PROCESS_BYTES_CPU_BF16 if self.state.compute < 4 else 0
        self._around_for: dict[int, tuple[Moment, Moment, Moment, Moment]] = {}
        self._around_peaks: dict[int, Maxima] = {}
        self._factor = calibration.factor if calibration is not None else None
        self._gathers = None
        if self.state.sharded:
            self._gathers = stack.fsdp if plan.sharding == "fsdp" else plan.sharding
        self._pooled_cell = pooled_cell_bytes(self.state.head)

    def blocks(self, keys: int) -> Blocks:
        """Costs of all blocks; they depend on the length only under eager attention."""
        key = keys if self.plan.attention == "eager" else 0
        found = self._blocks_for.get(key)
        if found is None:
            found = self._blocks_for[key] = work_out_blocks(self.model, self.state, self.stack, keys)
        return found

    # --- phases --------------------------------------------------------------------------------------------------

    def moments(self, micro_batch: int | None = None, seq_len: int | None = None) -> list[Moment]:
        """Every phase at its worst moment, in the order in which they happen."""
        micro = micro_batch or self.plan.micro_batch_size
        length = seq_len or self.plan.max_seq_len
        load, evaluation, save, merge = self._around(length)
        return [load, *self._training(micro, length), evaluation, save, merge]

    def _around(self, length: int) -> tuple[Moment, Moment, Moment, Moment]:
        """The phases that do not depend on the micro-batch: load, evaluation, save, merge."""
        found = self._around_for.get(length)
        if found is None:
            moments = (self._load(), self._evaluation(length), self._save(), self._merge())
            found = self._around_for[length] = moments
        return found

    def _moment(
        self,
        phase: Phase,
        gradients: int = 0,
        activations: int = 0,
        logits: int = 0,
        buffers: int = 0,
        cached: int = 0,
    ) -> Moment:
        placed = self.state.placed
        workspace, context = self._workspace, self._context
        if self._factor is not None:
            moved = (gradients, activations, logits, buffers, workspace, cached, context)
            gradients, activations, logits, buffers, workspace, cached, context = (
                int(part * self._factor) for part in moved
            )
        return Moment(
            phase,
            placed.weights,
            placed.adapters,
            gradients,
            placed.states,
            activations,
            logits,
            buffers,
            workspace,
            cached,
            context,
        )

    def _cached(self, moving: int) -> int:
        if self.state.on_cpu:
            return int(moving * const.MALLOC_SHARE_CPU)
        return cached_bytes(moving, sharding=self._gathers, lengths_vary=self.lengths_vary)

    def _cached_at_head(self, moving: int, logits: int, tokens: int, block: int) -> int:
        pooled = self._pooled_cell
        if self.state.on_cpu and self.state.head.kind == "tiled":
            return self._cached(moving - logits)  # its copies were measured as resident memory
        if not pooled or self.state.on_cpu:
            return self._cached(moving)
        return cached_beside_logits(
            logits,
            tokens * self.model.vocab_size * pooled,
            block,
            sharding=self._gathers,
            lengths_vary=self.lengths_vary,
        )

    def _training(self, micro: int, length: int) -> tuple[Moment, Moment, Moment]:
        """Forward up to the loss, backward, optimizer step."""
        plan, state, stack = self.plan, self.state, self.stack
        placed = state.placed
        tokens = micro * length
        blocks = self.blocks(length + (plan.num_virtual_tokens or 0))
        accumulating = plan.gradient_accumulation_steps > 1
        kept = placed.gradients if (accumulating or stack.gradients_kept) and not plan.optimizer_in_backward else 0
        if plan.gradient_checkpointing:
            held = 2 * blocks.one_boundary if plan.activation_offload else blocks.boundary
            one, copies = blocks.worst, blocks.largest_copies
            copies_forward = blocks.copies if state.trains_base else copies
        else:
            held = 2 * blocks.largest_saved if plan.activation_offload else blocks.saved
            one, copies = blocks.worst - blocks.largest_saved, blocks.copies
            copies_forward = copies
        held, one = held * tokens, one * tokens
        batch = BATCH_BYTES * tokens
        if state.switches.expand_kv and plan.attention == "sdpa":
            batch += tokens * length  # the explicit mask of padded or packed rows, one byte a pair
        shared = placed.outer + placed.bucket

        norm = 4 if state.switches.norm_kernel == "eager" else state.compute
        final = (norm + state.compute) * self.model.hidden_size * tokens
        logits = head_bytes(state.head, tokens)
        forward = self._moment(
            "forward",
            kept,
            held + final + batch,
            logits,
            shared + copies_forward + placed.last_block,
            self._cached_at_head(held + final + logits, logits, tokens, blocks.worst * tokens),
        )
        shared += state.stored.dequantised + copies
        head = self.model.head_params * state.trained_dtype if state.trains_base and not state.sharded else 0
        top = self._moment(
            "backward",
            max(kept, 0 if plan.optimizer_in_backward else head),
            held + one + batch,
            0,
            shared + 2 * placed.block + placed.block_gradient,
            self._cached(held + one),
        )
        everything = state.largest * state.trained_dtype if plan.optimizer_in_backward else placed.gradients
        # the last block meets its worst moment before its own gradients and the embedding's exist
        late = state.late_gradients if not kept and not plan.optimizer_in_backward else 0
        left = 0
        if stack.fsdp_keeps_input_gradients and plan.sharding == "fsdp" and not state.trains_base:
            left = held + max(0, blocks.number - 2) * blocks.one_boundary * tokens
        whole_gradient = 0
        if state.trains_base and not state.sharded:
            tied = 2 * self.model.embedding_params if not self.model.head_params else 0
            whole_gradient = max(tied, state.largest if accumulating else 0) * state.trained_dtype
        bottom = self._moment(
            "backward",
            everything - late,
            left + (blocks.worst * tokens) + batch,
            0,
            shared + placed.block + placed.block_gradient,
            self._cached(max(left, held) + one),
        )
        end = self._moment(
            "backward",
            everything,
            left + 2 * blocks.one_boundary * tokens + batch,
            0,
            placed.outer + placed.outer_gradient + placed.bucket + whole_gradient,
            self._cached(max(left, held) + one),
        )
        step = self._moment(
            "optimizer_step", everything, batch, 0, placed.step + placed.bucket, self._cached(held + one)
        )
        return forward, max(top, bottom, end, key=_device), step

    def _load(self) -> Moment:
        """Weights as they arrive; a quantised base passes through its widest tensor."""
        placed, widest = self.state.placed, 0
        if self.state.storage != "none":
            widest = 2 * max(ln.in_features * ln.out_features for group in self.model.layers for ln in group.linears)
        moment = self._moment("load", buffers=widest)._replace(states=0)
        if self.stack.loads_whole:
            return moment._replace(weights=max(placed.weights, self.state.stored.total))
        return moment

    def _evaluation(self, length: int) -> Moment:
        """Forward without gradients: two thirds of the head's training peak, or the widest block."""
        state = self.state
        tokens = self.plan.eval_micro_batch_size * length
        blocks = self.blocks(length)
        widest = blocks.worst // 2 * tokens
        logits = head_bytes(state.head._replace(trained=False), tokens) * 2 // 3
        at_head = logits >= widest
        return self._moment(
            "evaluation",
            activations=(0 if at_head else widest) + BATCH_BYTES * tokens,
            logits=logits if at_head else 0,
            buffers=state.placed.outer + 2 * state.placed.block + state.stored.dequantised,
            cached=self._cached(max(widest, logits)),
        )

    def _save(self) -> Moment:
        return self._moment("save", buffers=self.state.placed.outer)

    def _merge(self) -> Moment:
        """Adapters are merged in host memory: nothing on the device."""
        return Moment("merge", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)

    # --- answers -------------------------------------------------------------------------------------------------

    def need_bytes(self, micro_batch: int | None = None, seq_len: int | None = None) -> int:
        """Upper end of the device memory of one GPU: what must be free."""
        length = seq_len or self.plan.max_seq_len
        around = self._around_peaks.get(length)
        if around is None:
            around = self._around_peaks[length] = _maxima(self._around(length))
        training = _maxima(self._training(micro_batch or self.plan.micro_batch_size, length))
        return self._bands((max(around[0], training[0]), max(around[1], training[1]), max(around[2], training[2])))[
            2
        ].high

    def _bands(self, maxima: Maxima) -> tuple[Band, Band, Band]:
        allocated, reserved, device = maxima
        result = bands(
            Peaks(allocated, reserved, device, min(self.static_bytes, allocated), self._context),
            sharded=self.state.sharded,
            lengths_vary=self.lengths_vary,
            known=self.model.known,
            on_cpu=self.state.on_cpu,
        )
        if self.calibration is not None and self.calibration.factor < 1:
            return self._not_below_prediction(result)
        return result

    def _not_below_prediction(self, corrected: tuple[Band, Band, Band]) -> tuple[Band, Band, Band]:
        """Runs that needed less may have seen shorter data: the upper end never falls below the plain prediction."""
        factor = self.calibration.factor if self.calibration is not None else 1.0
        lifted = []
        for band in corrected:
            plain = self.static_bytes + int((band.likely - self.static_bytes) / factor)
            lifted.append(Band(low=band.low, likely=band.likely, high=max(band.high, plain)))
        return lifted[0], lifted[1], lifted[2]

    def estimate(self, micro_batch: int | None = None, seq_len: int | None = None) -> MemoryEstimate:
        """The whole estimate."""
        moments = self.moments(micro_batch, seq_len)
        allocated, reserved, device = self._bands(_maxima(moments))
        return MemoryEstimate(
            phases=tuple(_phase(moment) for moment in moments),
            peak_phase=max(moments, key=_device).phase,
            allocated=allocated,
            reserved=reserved,
            device=device,
            host_bytes=self.host_bytes(device.likely, micro_batch, seq_len),
            stack=self.stack.name,
            assumptions=assumptions(self.plan, self.stack, self.state, self.lengths_vary),
            not_modelled=not_modelled(self.model, self.plan),
            calibrated_by=self.calibration.basis if self.calibration is not None else None,
        )

    def _waiting_activations(self, micro_batch: int | None, seq_len: int | None) -> int:
        """Activations of one process that wait in host memory when they are offloaded."""
        if not self.plan.activation_offload or self.state.on_cpu:
            return 0
        length = seq_len or self.plan.max_seq_len
        blocks = self.blocks(length)
        kept = blocks.boundary if self.plan.gradient_checkpointing else blocks.saved
        return kept * (micro_batch or self.plan.micro_batch_size) * length

    def host_bytes(self, device: int, micro_batch: int | None = None, seq_len: int | None = None) -> int:
        """Host RAM of all processes of one node; on a CPU that is the process itself."""
        plan = self.plan
        if self.state.on_cpu:
            return device * plan.num_gpus
        processes = max(1, plan.num_gpus // plan.num_nodes)
        base = processes * const.PROCESS_HOST_BYTES
        running = base + processes * (self.state.placed.host + self._waiting_activations(micro_batch, seq_len))
        loading = base
        if plan.sharding == "fsdp":
            # one process reads the model and hands out shards; a 4-bit base is read by each
            loading += self.state.stored.total * (processes if self.state.storage != "none" else 1)
        merging = const.PROCESS_HOST_BYTES
        if plan.delivery.artifact == "merged_model":
            merging += 4 * self.model.num_params  # in fp32, in a process of its own
        return max(running, loading, merging)


def estimate_memory(
    model: ModelSpec,
    plan: TrainingPlan,
    *,
    stack: Stack = OURS,
    sm: int | None = None,
    lengths_vary: bool | None = None,
    calibration: Calibration | None = None,
) -> MemoryEstimate:
    """Peak memory of one GPU (resident memory of the process on a CPU) under this plan, in bytes.

    `sm`: compute capability as two digits, for the size of cuBLAS's workspaces. `lengths_vary`: whether batches
    differ in length; None: yes unless the plan packs. `calibration`: a correction from the ledger.
    """
    return Estimator(model, plan, stack, sm=sm, lengths_vary=lengths_vary, calibration=calibration).estimate()


def _maxima(moments: Iterable[Moment]) -> Maxima:
    """Largest tensor bytes, reserved bytes and device bytes over these phases."""
    allocated = reserved = device = 0
    for moment in moments:
        tensors = sum(moment[1:9])
        held = tensors + moment.cached
        allocated = max(allocated, tensors)
        reserved = max(reserved, held)
        device = max(device, held + moment.context)
    return allocated, reserved, device


def _device(moment: Moment) -> int:
    return sum(moment[1:])


def _phase(moment: Moment) -> PhaseMemory:
    values = (*moment[1:8], moment.workspace + moment.cached + moment.context)
    return PhaseMemory(phase=moment.phase, parts=dict(zip(COMPONENTS, values, strict=True)))
