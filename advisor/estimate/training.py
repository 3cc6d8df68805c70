"""What one micro-batch and its gradients take while a model trains, in bytes."""

from __future__ import annotations

from typing import NamedTuple

from advisor.estimate import constants as const
from advisor.estimate.blocks import Blocks
from advisor.estimate.forms import virtual_tokens
from advisor.estimate.looking import looking
from advisor.estimate.stacks import Stack
from advisor.estimate.state import State
from advisor.model.spec import ModelSpec
from trainers.plan import TrainingPlan


class Gradients(NamedTuple):
    """Gradients that are alive together, by moment; they do not depend on the batch."""

    kept: int
    """From one micro-batch to the next: all of them while they accumulate, else none."""
    at_head: int
    """When backward leaves the head; at least what is kept."""
    before_last: int
    """At the worst moment of the last block, before its own gradients and the embedding's exist."""
    whole: int
    """When backward ends, and in the optimizer step."""
    extra_copy: int
    """A second gradient of the largest tensor at the end of backward: tied weights, or accumulation into a sum."""


def gradients(model: ModelSpec, plan: TrainingPlan, stack: Stack, state: State) -> Gradients:
    """What the plan keeps of its gradients, and when."""
    in_backward, all_gradients = plan.optimizer_in_backward, state.placed.gradients
    accumulates = plan.gradient_accumulation_steps > 1
    kept = all_gradients if (accumulates or stack.gradients_kept) and not in_backward else 0
    whole = state.largest * state.trained_dtype if in_backward else all_gradients
    late = 0 if kept or in_backward else state.late_gradients
    of_head = extra_copy = 0
    whole_head = stack.part is None or stack.part.outer
    if state.trains_base and whole_head and not state.sharded:
        tied = 2 * model.embedding_params if not model.head_params else 0
        of_head = model.head_params * state.trained_dtype
        extra_copy = max(tied, state.largest if accumulates else 0) * state.trained_dtype
    return Gradients(
        kept=kept,
        at_head=max(kept, 0 if in_backward else of_head),
        before_last=whole - late,
        whole=whole,
        extra_copy=extra_copy,
    )


class MicroBatch(NamedTuple):
    """One micro-batch on its way through the model."""

    tokens: int
    inputs: int
    """Ids, labels and masks; pixels, and what a tower made of them."""
    looked: int
    """What a vision tower works with, before the first block."""
    kept: int
    """Activations that wait for backward."""
    worst: int
    """All of the widest block at its worst moment."""
    beside_kept: int
    """The part of `worst` that is not among what is kept already."""
    final: int
    """The last norm and its input to the head."""
    boundary: int
    """The input of one block."""
    left: int
    """Inputs whose gradients stay to the end of backward."""
    copies_forward: int
    """Weights in the compute dtype that autocast holds in forward."""
    copies: int
    """The same in backward."""


def work_out_micro_batch(
    model: ModelSpec, plan: TrainingPlan, stack: Stack, state: State, blocks: Blocks, size: int, length: int
) -> MicroBatch:
    """The memory of `size` sequences of `length` tokens."""
    tokens = size * -(-(length + virtual_tokens(stack.form, plan)) // stack.split.context)
    offloads = plan.activation_offload or (stack.offloads_checkpoints and plan.gradient_checkpointing)
    if plan.gradient_checkpointing:
        kept = 2 * blocks.one_boundary if offloads else blocks.boundary
        beside_kept, copies = blocks.worst, blocks.largest_copies
        copies_forward = blocks.copies if state.trains_base else copies
    else:
        kept = 2 * blocks.largest_saved if offloads else blocks.saved
        beside_kept, copies = blocks.worst - blocks.largest_saved, blocks.copies
        copies_forward = copies
    seen = looking(model, plan, tokens, state.compute)
    inputs = const.BATCH_TOKEN_BYTES * tokens + seen.kept
    worst = blocks.worst
    if blocks.masked:
        # TRL lays packed rows end to end, so that a token meets the keys of all rows
        keys = tokens if plan.packing else length
        inputs += blocks.kinds_of_mask * tokens * keys
        in_a_block = state.compute * keys
        worst += in_a_block
        if plan.gradient_checkpointing:
            beside_kept += in_a_block
        else:
            kept += in_a_block * (2 if offloads else blocks.masked)
    elif state.switches.expand_kv and plan.attention == "sdpa":
        inputs += tokens * length
    boundary = blocks.one_boundary * tokens
    left = 0
    if stack.fsdp_keeps_input_gradients and plan.sharding == "fsdp" and not state.trains_base:
        left = kept * tokens + max(0, blocks.number - 2) * boundary
    built = state.built // blocks.number if plan.gradient_checkpointing else state.built
    norm = 4 if state.switches.norm_kernel == "eager" else state.compute
    return MicroBatch(
        tokens=tokens,
        inputs=inputs,
        looked=seen.work,
        kept=kept * tokens,
        worst=worst * tokens,
        beside_kept=beside_kept * tokens,
        final=(norm + state.compute) * model.hidden_size * tokens,
        boundary=boundary,
        left=left,
        copies_forward=copies_forward + built,
        copies=copies + built,
    )


def cached_token_bytes(model: ModelSpec, width: int) -> int:
    """Keys and values of one token in all blocks, as generation keeps them."""
    return 2 * model.num_hidden_layers * model.num_key_value_heads * model.head_dim * width
