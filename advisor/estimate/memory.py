"""Peak memory of a training run, phase by phase, from the shape of the model and the plan.

    estimate_memory(model, plan)                       -> MemoryEstimate
    Estimator(model, plan).need_bytes(4, 2048)         -> what one device must have free, in microseconds

An Estimator works out once what does not depend on the batch; each figure after that is a handful of additions.
"""

from __future__ import annotations

from advisor.estimate import constants as const
from advisor.estimate.blocks import Blocks, work_out_blocks, worked_out
from advisor.estimate.holding import Bands, Holding
from advisor.estimate.host import host_bytes
from advisor.estimate.logits import head_bytes, pooled_cell_bytes
from advisor.estimate.looking import looking
from advisor.estimate.moment import Maxima, Moment, maxima, with_reserved
from advisor.estimate.notes import allocator_notes, assumptions, known_by, not_modelled
from advisor.estimate.replay import Setting, is_replayed
from advisor.estimate.result import Band, Instant, MemoryEstimate, Phase
from advisor.estimate.runtime import (
    Calibration,
    Peaks,
    bands,
    cached_beside_logits,
    cached_bytes,
    context_bytes,
    not_below_prediction,
    workspace_bytes,
)
from advisor.estimate.split import tensor_part
from advisor.estimate.stacks import OURS, Stack
from advisor.estimate.timeline import Step, one_step
from advisor.estimate.training import MicroBatch, cached_token_bytes, gradients, work_out_micro_batch
from advisor.model.spec import ModelSpec
from trainers.plan import TrainingPlan


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
        room_bytes: int | None = None,
    ) -> None:
        model = tensor_part(model, stack.split.tensor)
        self.model, self.plan, self.stack = model, plan, stack
        self.room_bytes = room_bytes
        self.state, self._blocks_for = worked_out(model, plan, stack)
        self._length_matters = plan.attention == "eager" or any(group.sliding_window for group in model.layers)
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
        self._gradients = gradients(model, plan, stack, self.state)

    def blocks(self, keys: int, rows: int = 2) -> Blocks:
        """Costs of all blocks at this length, with `rows` in a batch: one row alone, not packed, has no padding.

        The length matters under eager attention and to windows only.
        """
        key = (keys if self._length_matters else 0, self.plan.packing or rows > 1)
        blocks = self._blocks_for.get(key)
        if blocks is None:
            blocks = self._blocks_for[key] = work_out_blocks(self.model, self.state, self.stack, keys, key[1])
        return blocks

    # --- phases --------------------------------------------------------------------------------------------------

    def moments(self, micro_batch: int | None = None, seq_len: int | None = None) -> list[Moment]:
        """Every phase at its worst moment, in the order in which they happen."""
        micro = micro_batch or self.plan.micro_batch_size
        length = seq_len or self.plan.max_seq_len
        load, evaluation, save, merge = self._around(length)
        return [load, *self._training(micro, length), evaluation, save, merge]

    def _around(self, length: int) -> tuple[Moment, Moment, Moment, Moment]:
        """The phases that do not depend on the micro-batch: load, evaluation, save, merge."""
        around = self._around_for.get(length)
        if around is None:
            moments = (self._load(), self._evaluation(length), self._save(), self._merge())
            around = self._around_for[length] = moments
        return around

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
        standing = (placed.weights, placed.adapters, gradients, placed.states)
        return Moment(phase, *standing, activations, logits, buffers, workspace, cached, context)

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
        batch = self._batch(micro, length)
        backward = (self._backward_at_head(batch), self._backward_in_last_block(batch), self._backward_ends(batch))
        forward = max(self._looking(batch), self._forward(batch), key=_device_bytes)
        return forward, max(backward, key=_device_bytes), self._step(batch)

    def _batch(self, micro: int, length: int) -> MicroBatch:
        blocks = self.blocks(length + (self.plan.num_virtual_tokens or 0), micro)
        return work_out_micro_batch(self.model, self.plan, self.stack, self.state, blocks, micro, length)

    def _looking(self, batch: MicroBatch) -> Moment:
        """A vision tower at work, before the first block."""
        return self._moment(
            "forward",
            gradients=self._gradients.kept,
            activations=batch.inputs + batch.looked,
            buffers=self.state.placed.outer,
            cached=self._cached(batch.looked),
        )

    def _forward(self, batch: MicroBatch) -> Moment:
        placed = self.state.placed
        logits = head_bytes(self.state.head, batch.tokens)
        activations = batch.kept + batch.final
        return self._moment(
            "forward",
            gradients=self._gradients.kept,
            activations=activations + batch.inputs,
            logits=logits,
            buffers=placed.outer + placed.bucket + batch.copies_forward + placed.last_block,
            cached=self._cached_at_head(activations + logits, logits, batch.tokens, batch.worst),
        )

    def _backward_at_head(self, batch: MicroBatch) -> Moment:
        """Backward in the block below the head, where every activation is still kept."""
        placed = self.state.placed
        return self._moment(
            "backward",
            gradients=self._gradients.at_head,
            activations=batch.kept + batch.beside_kept + batch.inputs,
            buffers=self._buffers_of_a_block(batch) + 2 * placed.block + placed.block_gradient,
            cached=self._cached(batch.kept + batch.beside_kept),
        )

    def _backward_in_last_block(self, batch: MicroBatch) -> Moment:
        """Backward in the block above the embedding, where all other gradients exist."""
        placed = self.state.placed
        return self._moment(
            "backward",
            gradients=self._gradients.before_last,
            activations=batch.left + batch.worst + batch.inputs,
            buffers=self._buffers_of_a_block(batch) + placed.block + placed.block_gradient,
            cached=self._cached(max(batch.left, batch.kept) + batch.beside_kept),
        )

    def _backward_ends(self, batch: MicroBatch) -> Moment:
        """The gradient of the embedding appears beside all others."""
        placed = self.state.placed
        return self._moment(
            "backward",
            gradients=self._gradients.whole,
            activations=batch.left + 2 * batch.boundary + batch.inputs,
            buffers=placed.outer + placed.outer_gradient + placed.bucket + self._gradients.extra_copy,
            cached=self._cached(max(batch.left, batch.kept) + batch.beside_kept),
        )

    def _buffers_of_a_block(self, batch: MicroBatch) -> int:
        """Buffers in backward but for the gathered block itself."""
        placed = self.state.placed
        return placed.outer + placed.bucket + self.state.stored.dequantised + batch.copies

    def _step(self, batch: MicroBatch) -> Moment:
        placed = self.state.placed
        return self._moment(
            "optimizer_step",
            gradients=self._gradients.whole,
            activations=batch.inputs,
            buffers=placed.step + placed.bucket,
            cached=self._cached(batch.kept + batch.beside_kept),
        )

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
        """Forward without gradients: a part of the head's training peak, or the widest block."""
        state = self.state
        tokens = self.plan.eval_micro_batch_size * length
        cache = self.stack.generates * length * cached_token_bytes(self.model, state.compute)
        blocks = self.blocks(length)
        seen = looking(self.model, self.plan, tokens, state.compute)
        widest = max(blocks.worst // const.EVALUATION_BLOCK_PARTS * tokens, seen.work)
        logits = head_bytes(state.head._replace(trained=False), tokens) * const.EVALUATION_HEAD_THIRDS // 3
        at_head = logits >= widest
        return self._moment(
            "evaluation",
            activations=(0 if at_head else widest) + const.BATCH_TOKEN_BYTES * tokens + seen.kept + cache,
            logits=logits if at_head else 0,
            buffers=state.placed.outer + 2 * state.placed.block + state.stored.dequantised,
            cached=self._cached(max(widest, logits)),
        )

    def _save(self) -> Moment:
        return self._moment("save", buffers=self.state.placed.outer)

    def _merge(self) -> Moment:
        """Adapters are merged in host memory: nothing on the device."""
        return Moment("merge")

    # --- answers -------------------------------------------------------------------------------------------------

    def need_bytes(self, micro_batch: int | None = None, seq_len: int | None = None) -> int:
        """Upper end of the device memory of one GPU: what must be free."""
        length = seq_len or self.plan.max_seq_len
        around = self._around_peaks.get(length)
        if around is None:
            around = self._around_peaks[length] = maxima(self._around(length))
        training = maxima(self._training(micro_batch or self.plan.micro_batch_size, length))
        _, _, device = self._bands(around.joined(training))
        return device.high

    def _bands(self, peaks: Maxima) -> tuple[Band, Band, Band]:
        result = bands(
            Peaks(
                peaks.allocated,
                peaks.reserved,
                peaks.device,
                min(self.static_bytes, peaks.allocated),
                int(self._context * (self._factor or 1.0)),
            ),
            sharded=self.state.sharded,
            lengths_vary=self.lengths_vary,
            family_known=self.model.known,
            on_cpu=self.state.on_cpu,
        )
        if self.calibration is not None and self.calibration.factor < 1:
            return not_below_prediction(result, self.static_bytes, self.calibration.factor)
        return result

    def timeline(
        self, micro_batch: int | None = None, seq_len: int | None = None, reserved: int | None = None
    ) -> tuple[Instant, ...]:
        """One step, instant by instant; `reserved`: what the allocator holds once the fullest has passed."""
        batch = self._batch(micro_batch or self.plan.micro_batch_size, seq_len or self.plan.max_seq_len)
        kept, placed = self._gradients.kept, self.state.placed
        step = Step(
            begin=self._moment("forward", gradients=kept, activations=batch.inputs),
            waiting=self._moment(
                "forward",
                gradients=kept,
                activations=batch.inputs + batch.kept,
                buffers=placed.outer + placed.bucket + batch.copies_forward,
            ),
            loss=self._forward(batch),
            at_head=self._backward_at_head(batch),
            last_block=self._backward_in_last_block(batch),
            ends=self._backward_ends(batch),
            step=self._step(batch),
        )
        return one_step(step, self.model.num_hidden_layers, reserved)

    def _held(
        self, holding: Holding, moments: list[Moment], micro: int, length: int
    ) -> tuple[list[Moment], Bands, bool]:
        """Phases and bands by replay, and whether it fits in the device because cached blocks are given back."""
        moments = with_reserved(moments, holding.reserved(micro, length, maxima(moments).allocated))
        bands = self._bands(maxima(moments))
        held = holding.in_room(bands, micro, length, self.room_bytes, self.need_bytes(micro, length))
        return with_reserved(moments, held[1].likely), held, held[2].high < bands[2].high

    def _holding(self) -> Holding | None:
        """How the allocator is played; None for a plan whose blocks the tape does not hold."""
        if not is_replayed(self.plan, self.stack, self.state):
            return None
        setting = Setting(
            self.model, self.plan, self.stack, self.state, self._gradients, self._workspace, self.lengths_vary
        )
        return Holding(setting, self.static_bytes, self._context, self._factor or 1.0)

    def estimate(
        self, micro_batch: int | None = None, seq_len: int | None = None, *, replayed: bool = True
    ) -> MemoryEstimate:
        """The whole estimate. Without `replayed` measured shares stand for the allocator; no timeline then."""
        micro, length = micro_batch or self.plan.micro_batch_size, seq_len or self.plan.max_seq_len
        moments, gives_back = self.moments(micro, length), False
        bands = self._bands(maxima(moments))
        holding = self._holding() if replayed else None
        if holding is not None:
            moments, bands, gives_back = self._held(holding, moments, micro, length)
        allocated, reserved, device = bands
        played = holding is not None
        notes = assumptions(self.model, self.plan, self.stack, self.state, self.lengths_vary)
        return MemoryEstimate(
            phases=tuple(moment.shown() for moment in moments),
            peak_phase=max(moments, key=_device_bytes).phase,
            allocated=allocated,
            reserved=reserved,
            device=device,
            host_bytes=self.host_bytes(device.likely, micro_batch, seq_len),
            stack=self.stack.name,
            assumptions=notes + allocator_notes(replayed=played, gives_back=gives_back),
            not_modelled=not_modelled(self.model, self.plan),
            timeline=self.timeline(micro, length, reserved.likely if played else None) if replayed else (),
            known_by=known_by(self.plan, self.stack, corrected=self.calibration is not None, replayed=played),
            calibrated_by=self.calibration.basis if self.calibration is not None else None,
        )

    def _waiting_activations(self, micro_batch: int | None, seq_len: int | None) -> int:
        """Activations of one process that wait in host memory when they are offloaded."""
        checkpoints = self.stack.offloads_checkpoints and self.plan.gradient_checkpointing
        if self.state.on_cpu or not (self.plan.activation_offload or checkpoints):
            return 0
        length = seq_len or self.plan.max_seq_len
        blocks = self.blocks(length)
        kept = blocks.boundary if self.plan.gradient_checkpointing else blocks.saved
        return kept * (micro_batch or self.plan.micro_batch_size) * length

    def host_bytes(self, device: int, micro_batch: int | None = None, seq_len: int | None = None) -> int:
        """Host RAM of all training processes of one node (on a CPU the process itself); a merge is not counted."""
        if self.state.on_cpu:
            return device * self.plan.num_gpus
        return host_bytes(self.plan, self.state, self._waiting_activations(micro_batch, seq_len))


def estimate_memory(
    model: ModelSpec,
    plan: TrainingPlan,
    *,
    stack: Stack = OURS,
    sm: int | None = None,
    lengths_vary: bool | None = None,
    calibration: Calibration | None = None,
    room_bytes: int | None = None,
) -> MemoryEstimate:
    """Peak memory of one GPU (resident memory of the process on a CPU) under this plan, in bytes.

    `sm`: compute capability as two digits, for the size of cuBLAS's workspaces. `lengths_vary`: whether batches
    differ in length; None: yes unless the plan packs. `calibration`: a correction from the ledger. `room_bytes`: what
    is free on the device; a run that is larger with cached blocks is then played within it.
    """
    estimator = Estimator(
        model, plan, stack, sm=sm, lengths_vary=lengths_vary, calibration=calibration, room_bytes=room_bytes
    )
    return estimator.estimate()


def _device_bytes(moment: Moment) -> int:
    return moment.device
