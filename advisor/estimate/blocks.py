"""All blocks of a model together, and a cache of what was computed for a plan.

A search asks for the same model and kind of plan with many batches and lengths; what does not depend on those is
kept here.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from typing import Any, NamedTuple

from advisor.estimate.activations import Switches, adapter_copies, block_kept, selectively_kept, weight_copies
from advisor.estimate.dims import Dims, block_dims
from advisor.estimate.stacks import Stack
from advisor.estimate.state import State, training_state
from advisor.model.spec import ModelSpec
from trainers.plan import TrainingPlan


class Blocks(NamedTuple):
    """All blocks together, bytes for each token (copies: bytes)."""

    number: int
    saved: int
    largest_saved: int
    worst: int
    boundary: int
    one_boundary: int
    copies: int
    largest_copies: int
    masked: int
    """Blocks whose attention gets an explicit mask."""
    kinds_of_mask: int
    """Masks that the model makes for them: one for full attention, one for each window."""


def work_out_blocks(model: ModelSpec, state: State, stack: Stack, keys: int, uneven: bool) -> Blocks:
    """The costs of all blocks under these switches; `keys` matters to eager attention and to windows only.

    `uneven`: rows are padded or packed, so that a stack that masks them does so in every block. The mask itself is
    not counted: its bytes for each token depend on the length (see `work_out_micro_batch`).
    """
    master = _master(state)
    number = saved = largest_saved = worst = boundary = copies = largest_copies = masked = 0
    kinds: set[int | None] = set()
    for dims, on, has_mask in kinds_of_block(model, state, stack, keys, uneven):
        if has_mask:
            masked += dims.blocks
            kinds.add(dims.window)
        kept = block_kept(dims, on, keys)
        wide = weight_copies(dims, on, master) + adapter_copies(dims, on)
        kept_input = selectively_kept(dims, on) if stack.selective_checkpointing else on.stream * dims.hidden
        trains = dims.blocks if stack.part is None else min(dims.blocks, max(0, stack.part.blocks - number))
        passed = trains if stack.part is not None and stack.part.last else dims.blocks
        if trains < passed and on.base_trains:
            frozen = block_kept(dims, on._replace(base_trains=False), keys).saved
            saved -= (passed - trains) * (kept.saved - frozen)
        number += dims.blocks
        saved += passed * kept.saved
        largest_saved = max(largest_saved, kept.saved)
        worst = max(worst, kept.worst)
        boundary += passed * kept_input // stack.split.tensor
        copies += dims.blocks * wide
        largest_copies = max(largest_copies, wide)
    one = state.switches.stream * model.hidden_size // stack.split.tensor
    return Blocks(number, saved, largest_saved, worst, boundary, one, copies, largest_copies, masked, len(kinds))


def kinds_of_block(
    model: ModelSpec, state: State, stack: Stack, keys: int, uneven: bool
) -> Iterator[tuple[Dims, Switches, bool]]:
    """Each kind of block with its switches, and whether its attention gets an explicit mask."""
    explicit = stack.masked and state.switches.attention == "sdpa"
    for group in model.layers:
        dims = block_dims(model, group)
        has_mask = explicit and bool(dims.attended)
        has_mask = has_mask and (uneven or (dims.window is not None and dims.window <= keys))
        yield dims, state.switches._replace(expand_kv=True) if has_mask else state.switches, has_mask


def _master(state: State) -> int:
    """Bytes of a weight that is trained, where it is not sharded or quantised."""
    return state.wide if state.storage == "none" and not state.sharded else state.compute


LASTING = attrgetter(
    "method",
    "quantization",
    "compute_dtype",
    "weights_dtype",
    "lora_rank",
    "lora_expert_rank",
    "lora_dropout",
    "lora_targets",
    "lora_expert_targets",
    "use_dora",
    "modules_to_save",
    "trainable_token_indices",
    "num_virtual_tokens",
    "adapter_bottleneck",
    "optimizer",
    "optimizer_in_backward",
    "gradient_checkpointing",
    "attention",
    "loss_kernel",
    "accelerator",
    "num_gpus",
    "sharding",
    "cpu_offload",
    "reads_images",
)
"""The plan fields on which the fixed figures and the blocks depend; batch, length and cadence do not matter."""
_REMEMBERED: dict[tuple[Any, ...], tuple[ModelSpec, Stack, State, dict[tuple[int, bool], Blocks]]] = {}
_REMEMBERED_LIMIT = 1024
_BLOCKS: dict[tuple[Any, ...], dict[tuple[int, bool], Blocks]] = {}
"""Blocks are the same however a plan is sharded: by model, stack and switches."""


def worked_out(model: ModelSpec, plan: TrainingPlan, stack: Stack) -> tuple[State, dict[tuple[int, bool], Blocks]]:
    """Fixed figures and blocks, remembered: a search asks for the same ones with many batches and lengths."""
    key = (id(model), id(stack), *LASTING(plan))
    remembered = _REMEMBERED.get(key)
    if remembered is None:
        if len(_REMEMBERED) >= _REMEMBERED_LIMIT:
            _REMEMBERED.clear()
            _BLOCKS.clear()
        state = training_state(model, plan, stack)
        blocks = _BLOCKS.setdefault((id(model), id(stack), state.switches, _master(state)), {})
        # model and stack are kept so that their ids stay theirs
        remembered = _REMEMBERED[key] = (model, stack, state, blocks)
    return remembered[2], remembered[3]
