"""All blocks of a model together, and the memory of what was worked out for a plan.

A search asks for the same model and kind of plan with many batches and lengths; what does not depend on those is
kept here.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any, NamedTuple

from advisor.estimate.activations import adapter_copies, block_kept, selectively_kept, weight_copies
from advisor.estimate.dims import block_dims
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


def work_out_blocks(model: ModelSpec, state: State, stack: Stack, keys: int) -> Blocks:
    """The costs of all blocks under these switches; `keys` matters to eager attention only."""
    on = state.switches
    master = state.wide if state.storage == "none" and not state.sharded else state.compute
    number = saved = largest_saved = worst = boundary = copies = largest_copies = 0
    for group in model.layers:
        dims = block_dims(model, group)
        kept = block_kept(dims, on, keys)
        wide = weight_copies(dims, on, master) + adapter_copies(dims, on)
        kept_input = selectively_kept(dims, on) if stack.selective_checkpointing else on.stream * dims.hidden
        number += dims.blocks
        saved += dims.blocks * kept.saved
        largest_saved = max(largest_saved, kept.saved)
        worst = max(worst, kept.worst)
        boundary += dims.blocks * kept_input
        copies += dims.blocks * wide
        largest_copies = max(largest_copies, wide)
    one = on.stream * model.hidden_size
    return Blocks(number, saved, largest_saved, worst, boundary, one, copies, largest_copies)


_LASTING = attrgetter(
    "method",
    "quantization",
    "compute_dtype",
    "weights_dtype",
    "lora_rank",
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
)
"""The plan fields on which the fixed figures and the blocks depend; batch, length and cadence do not matter."""
_REMEMBERED: dict[tuple[Any, ...], tuple[ModelSpec, Stack, State, dict[int, Blocks]]] = {}
_REMEMBERED_LIMIT = 1024


def worked_out(model: ModelSpec, plan: TrainingPlan, stack: Stack) -> tuple[State, dict[int, Blocks]]:
    """Fixed figures and blocks, remembered: a search asks for the same ones with many batches and lengths."""
    key = (id(model), id(stack), *_LASTING(plan))
    found = _REMEMBERED.get(key)
    if found is None:
        if len(_REMEMBERED) >= _REMEMBERED_LIMIT:
            _REMEMBERED.clear()
        # model and stack are kept so that their ids stay theirs
        found = _REMEMBERED[key] = (model, stack, training_state(model, plan, stack), {})
    return found[2], found[3]
