"""What the caching allocator reserves: the run's allocations, from loading to the second step, played through its
rules (`allocator.py`).

The first step finds the card empty; the optimizer then makes its states out of blocks that activations left; the
second step meets what is left of them, and batches of other lengths cut blocks that the fullest one needs whole. That
is why more is reserved than any moment uses. Tensors below 1 MiB lie in segments of 2 MiB that they fill; they are
added and not played.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from advisor.estimate import constants as const
from advisor.estimate.activations import block_tape
from advisor.estimate.allocator import ROUNDING, SMALL_REQUEST, Allocator, Block, DeviceFullError
from advisor.estimate.blocks import LASTING, kinds_of_block
from advisor.estimate.head_replay import HeadBatch, play_head
from advisor.estimate.program import STREAM, Passes, Program, Settled, passes, program
from advisor.estimate.stacks import WHOLE, Stack
from advisor.estimate.state import State
from advisor.estimate.training import Gradients
from advisor.model.params import saved_module_params
from advisor.model.spec import ModelSpec
from trainers.accelerators import ACCELERATORS
from trainers.plan import TrainingPlan

COMPUTE, GATHER, REDUCE = 0, 1, 2
"""Streams: blocks of one are not used by another."""


Left = dict[int, Block] | Block | None
"""What a block leaves for backward: its tensors, its input alone, or nothing on the device."""


class Replayed(NamedTuple):
    """What the allocator did over the batches that were played."""

    reserved: int
    """The most that was reserved, bytes."""
    allocated: int
    """The most that was in use, bytes."""
    releases: int
    """How often it gave cached segments back because the card was full."""


def is_replayed(plan: TrainingPlan, stack: Stack, state: State) -> bool:
    """Whether the tape holds what decides this plan's blocks.

    ZeRO-3 gathers and partitions in buffers of DeepSpeed's own; under FSDP the replay of a frozen base is short by a
    tenth unless it is NF4, which every device loads whole; virtual tokens travel in caches that each block joins to
    its keys; a CPU and Apple's devices allocate otherwise. What only other programs do (models split by matrices or
    experts, parts that train in turn, states of projected gradients, forms of adapters beside LoRA) is not played.
    """
    if stack.split != WHOLE or stack.part is not None or stack.low_rank is not None or stack.form != "lora":
        return False
    if not ACCELERATORS[plan.accelerator].keeps_segments or plan.sharding == "zero3" or plan.num_virtual_tokens:
        return False
    return not state.sharded or state.trains_base or state.storage == "nf4"


def lengths_of_batches(longest: int, *, vary: bool, accumulates: bool) -> list[int]:
    """The micro-batches of two steps: where lengths vary, the fullest finds the blocks of shorter ones."""
    first = int(longest * const.EARLIER_BATCH_SHARE) if vary else longest
    return [first, first, longest, longest] if accumulates else [first, longest]


class Setting(NamedTuple):
    """What is played: a plan on one device."""

    model: ModelSpec
    plan: TrainingPlan
    stack: Stack
    state: State
    gradients: Gradients
    workspace: int
    """cuBLAS's workspaces, bytes."""
    lengths_vary: bool

    @property
    def accumulates(self) -> bool:
        """Whether a second micro-batch meets gradients of the first; those of adapters alone fill no large block."""
        whole = self.state.trains_base or bool(self.plan.modules_to_save)
        return whole and self.plan.gradient_accumulation_steps > 1

    def play(self, micro: int, length: int, capacity: int | None = None) -> Replayed:
        """Two steps, the last on the fullest micro-batch. Raises DeviceFullError where the capacity is too small."""
        found = self.played(micro, length, capacity)
        if found is None:
            raise DeviceFullError(capacity)
        return found

    def played(self, micro: int, length: int, capacity: int | None = None) -> Replayed | None:
        """The same, None where the capacity is too small; remembered, for a search comes back to a plan."""
        key = (self._key, micro, length, capacity)
        if key not in _PLAYED:
            if len(_PLAYED) >= _PLAYED_LIMIT:
                _PLAYED.clear()
            lengths = lengths_of_batches(length, vary=self.lengths_vary, accumulates=self.accumulates)
            try:
                played: Replayed | None = Player(self, capacity).play(micro, lengths)
            except DeviceFullError:
                played = None
            # the setting is kept so that the ids of its parts stay theirs
            _PLAYED[key] = self, played
        return _PLAYED[key][1]

    @property
    def _key(self) -> tuple[Any, ...]:
        """What a play depends on, but for its batch and the room."""
        plan = self.plan
        of_plan = (plan.max_seq_len, plan.packing, plan.micro_batch_size > 1, plan.activation_offload)
        rest = (self.gradients, self.workspace, self.lengths_vary, self.accumulates)
        return id(self.model), id(self.stack), LASTING(plan), of_plan, rest


_PLAYED: dict[tuple[Any, ...], tuple[Setting, Replayed | None]] = {}
_PLAYED_LIMIT = 256


class Player:
    """Plays a setting. `capacity`: bytes that its segments can take; None: as many as they like."""

    def __init__(self, setting: Setting, capacity: int | None = None) -> None:
        model, plan, stack, state = self.model, self.plan, self.stack, self.state = setting[:4]
        self._kept_gradients = setting.gradients.kept
        self._accumulates = setting.accumulates
        self._own_gradients = state.trains_base and not state.sharded
        """Whether each matrix gets a gradient of its own, which stays, while a block's backward runs."""
        self._workspace = setting.workspace
        self._large = self._large_tensors()
        self._steady = self._small_bytes()
        room = None if capacity is None else capacity - self._steady
        self.allocator = Allocator(room, expandable_segments=False)
        keys = plan.max_seq_len + (plan.num_virtual_tokens or 0)
        uneven = plan.packing or plan.micro_batch_size > 1
        stream = state.switches.stream * model.hidden_size
        kinds = kinds_of_block(model, state, stack, keys, uneven)
        self._blocks: list[tuple[int, Program]] = []
        """How many blocks of each kind, from first to last."""
        for dims, on, has_mask in kinds:
            mask = state.compute * keys if has_mask else 0
            self._blocks.append((dims.blocks, program(block_tape(dims, on, keys), stream, mask)))
        self._hidden = stream
        self._gradients: list[Block | None] = []
        self._gathered: Block | None = None
        self._stepped = self._went_back = self._accumulating = False

    def play(self, micro: int, lengths: Iterable[int]) -> Replayed:
        """Load the model, then train on micro-batches of these lengths. Raises DeviceFullError."""
        self._load()
        for index, length in enumerate(lengths):
            self._micro_batch(micro, length)
            if not self._accumulates or index % 2:
                self._step()
        allocator, steady = self.allocator, self._steady
        return Replayed(allocator.most_reserved + steady, allocator.most_allocated + steady, allocator.released)

    # --- blocks --------------------------------------------------------------------------------------------------

    def _take(self, size: int, stream: int = COMPUTE) -> Block | None:
        return self.allocator.allocate(size, stream) if size > SMALL_REQUEST else None

    def _give(self, block: Block | None) -> None:
        if block is not None:
            self.allocator.free(block)

    def _give_all(self, blocks: Iterable[Block | None]) -> None:
        for block in blocks:
            self._give(block)

    # --- what is trained -----------------------------------------------------------------------------------------

    def _large_tensors(self) -> list[int]:
        """Bytes of each trained tensor on this device: matrices of the base, or modules that train as copies."""
        state = self.state
        if state.trains_base:
            if state.sharded:
                units = self.model.num_hidden_layers + 1
                return [state.placed.gradients // units] * units
            width = state.trained_dtype
            return [values * width for values in _matrices(self.model)]
        copied = saved_module_params(self.model, self.plan.modules_to_save)
        if not copied or not state.trained:
            return []
        table = self.model.vocab_size * self.model.hidden_size
        share = copied / state.trained
        tables = max(1, round(copied / table))
        return [int(state.placed.gradients * share) // tables] * tables

    def _small_bytes(self) -> int:
        """What lies still in small segments: weights of a quantised base, adapters, their gradients and states."""
        placed, large = self.state.placed, sum(self._large)
        if self.state.trains_base:
            return 0 if self._loads_matrices else placed.weights
        small = placed.adapters + placed.gradients + placed.states
        return max(0, small - 4 * large) + (0 if self._loads_matrices else placed.weights)

    @property
    def _loads_matrices(self) -> bool:
        return self.state.storage == "none" and not self.state.sharded

    # --- phases --------------------------------------------------------------------------------------------------

    def _load(self) -> None:
        """Weights one by one, then what stays through the run; 16-bit tables that k-bit preparation replaces."""
        state = self.state
        if self._loads_matrices:
            for values in _matrices(self.model):
                self._take(values * state.wide)
        elif self.stack.kbit_upcast and not state.sharded:
            tables = [self._take(2 * values) for values in (self.model.embedding_params, self.model.head_params)]
            self._give_all(tables)
        elif state.sharded and state.storage in ("nf4", "nf4_plain") and self.stack.fsdp == "fsdp1":
            self._shard_quantised()
        self._take(self._workspace // const.CUBLAS_HANDLES)
        if not state.trains_base:
            for size in self._large:
                self._take(size)
        self._take(state.placed.bucket)

    def _shard_quantised(self) -> None:
        """bitsandbytes packs a whole model on each device before it is sharded: what goes leaves its segments."""
        gone, left = self.state.stored.total - self.state.placed.weights, []
        for values in _matrices(self.model, outer=False):
            if gone < values // 2:
                break
            gone -= values // 2
            left.append(self._take(values // 2))
        self._give_all(left)

    def _micro_batch(self, micro: int, length: int) -> None:
        tokens = micro * length
        placed = self.state.placed
        inputs = self._take(const.BATCH_TOKEN_BYTES * tokens)
        outer = self._take(placed.outer, GATHER)
        blocks = self._passes(tokens)
        waiting, output = self._forward(blocks, tokens)
        norm = 4 if self.state.switches.norm_kernel == "eager" else self.state.compute
        final = [self._take(width * self.model.hidden_size * tokens) for width in (norm, self.state.compute)]
        batch = HeadBatch(self.state.head, tokens, micro)
        logits = play_head(batch, self._take, self._give, self.allocator.hold_spare)
        self._head_gradient()
        gradient = self._take(self._hidden * tokens)
        self._give_all([*logits, *final, output])
        if not self._went_back:
            # the thread of backward has a handle of cuBLAS of its own
            self._take(self._workspace // const.CUBLAS_HANDLES)
            self._went_back = True
        self._backward(blocks, tokens, waiting, gradient)
        self._give_all([outer, inputs])

    @property
    def _offloads(self) -> bool:
        """Whether nothing of a block waits for backward on the device."""
        by_stack = self.stack.offloads_checkpoints and self.plan.gradient_checkpointing
        return self.plan.activation_offload or by_stack

    def _passes(self, tokens: int) -> list[Passes]:
        """The steps of each block in a micro-batch."""
        state, one_by_one = self.state, []
        added_at_once = self.plan.optimizer_in_backward or (self._kept_gradients and self._accumulating)
        for number, block in self._blocks:
            own = passes(
                block,
                tokens,
                checkpointed=self.plan.gradient_checkpointing or self._offloads,
                outputs_again=state.switches.recompute_output,
                unpacked=state.stored.dequantised,
                gradient_width=state.trained_dtype if self._own_gradients else 0,
                gradients_stay=not added_at_once,
            )
            one_by_one += number * [own]
        return one_by_one

    def _forward(self, blocks: list[Passes], tokens: int) -> tuple[list[Left], Block | None]:
        """What each block leaves for backward (its input alone where it is checkpointed), and the last output."""
        offloads = self._offloads
        checkpointed = self.plan.gradient_checkpointing and not offloads
        stream = self._take(self._hidden * tokens)
        waiting: list[Left] = []
        for block in blocks:
            gathered = self._gather()
            held: dict[int, Block] = {}
            self.allocator.follow(block.forward, held)
            output = held.pop(STREAM, None)
            if checkpointed:
                waiting.append(stream)
            else:
                waiting.append(None if offloads else held)
                self._give(stream)
            self._give(gathered)
            stream = output
        return waiting, stream

    def _gather(self) -> Block | None:
        """The unit at work, whose successor is gathered before it is freed; returns what to free after it."""
        earlier = self._gathered
        self._gathered = self._take(self.state.placed.block, GATHER)
        return earlier

    def _backward(self, blocks: list[Passes], tokens: int, waiting: list[Left], gradient: Block | None) -> None:
        state = self.state
        frozen_units = (
            self.stack.fsdp_keeps_input_gradients and self.plan.sharding == "fsdp" and not state.trains_base
        )
        held: list[Block | None] = []
        settled = Settled(self.allocator)
        while waiting:
            left, block = waiting.pop(), blocks[len(waiting)]
            gathered = self._gather()
            reduced = self._take(state.placed.block_gradient, REDUCE)
            kept = left if isinstance(left, dict) else {}
            if self._own_gradients or frozen_units or not settled.meets(block) or not waiting:
                self.allocator.follow(block.backward, kept)
                entering = kept.pop(STREAM, None)
                self._gradients += kept.values()
            else:
                entering = self._take(self._hidden * tokens)
                self._give_all(kept.values())
            self._give_all([gathered, reduced])
            done = [gradient] if isinstance(left, dict) else [gradient, left]
            if frozen_units:
                held += done
            else:
                self._give_all(done)
            gradient = entering
        self._outer_gradients()
        self._give_all([gradient, *held])

    def _gradient(self, size: int) -> None:
        """A gradient of its own, or one that is added to what accumulates."""
        if self.plan.optimizer_in_backward or (self._kept_gradients and self._accumulating):
            self._give(self._take(size))
        else:
            self._gradients.append(self._take(size))

    def _head_gradient(self) -> None:
        """That of the head; of the embedding where they are one."""
        if self._own_gradients:
            self._gradient((self.model.head_params or self.model.embedding_params) * self.state.trained_dtype)

    def _outer_gradients(self) -> None:
        """What is left: that of the embedding, added to the head's where they are one."""
        embedding = self.model.embedding_params * self.state.trained_dtype
        if not self._own_gradients:
            for size in self._large:
                self._gradient(size)
        elif self.model.head_params:
            self._gradient(embedding)
        else:
            self._give(self._take(embedding))
        self._accumulating = True

    def _step(self) -> None:
        """The optimizer's step: states, once, and temporaries; then gradients are freed."""
        placed, large = self.state.placed, self._large
        whole = sum(large)
        if not self._stepped and whole:
            share = (placed.states / placed.gradients if self.state.trains_base else 2.0) / 2
            for size in large:
                for _ in range(2):
                    self._take(int(size * share) // ROUNDING * ROUNDING)
            self._stepped = True
        if self.stack.foreach and self.state.trains_base and whole:
            self._give_all([self._take(int(size * placed.step / placed.gradients)) for size in large])
        else:
            self._give(self._take(placed.step))
        if not self.stack.gradients_kept:
            self._give_all(self._gradients)
            self._gradients = []
            self._accumulating = False


def _matrices(model: ModelSpec, outer: bool = True) -> list[int]:
    """Values of each matrix in the order in which they are loaded; experts of a block together."""
    inner = [
        linear.copies * linear.in_features * linear.out_features
        for group in model.layers
        for _ in range(group.count)
        for linear in group.linears
    ]
    return [model.embedding_params, *inner, model.head_params] if outer else inner
