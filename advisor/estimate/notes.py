"""What an estimate assumes and what it leaves out, in sentences."""

from __future__ import annotations

from advisor.estimate.stacks import Stack
from advisor.estimate.state import State
from advisor.model.spec import ModelSpec
from trainers.plan import TrainingPlan


def assumptions(plan: TrainingPlan, stack: Stack, state: State, lengths_vary: bool) -> tuple[str, ...]:
    """The assumptions that this plan's figure rests on."""
    said = [
        f"Trained by {stack.title}.",
        f"The fullest batch holds {plan.micro_batch_size} x {plan.max_seq_len} tokens.",
    ]
    if lengths_vary:
        said.append("Batches differ in length, so the allocator keeps blocks that it cannot use again.")
    if state.switches.expand_kv and plan.attention == "sdpa":
        said.append("Rows are padded or packed: sdpa gets a mask and repeats keys and values for every query head.")
    if state.placed.host and not plan.cpu_offload:
        said.append("The states of a paged optimizer count as host memory; the driver moves them in and out.")
    if plan.num_gpus > 1:
        said.append("Every GPU holds the same share; one block is gathered ahead of the one at work.")
    if not state.on_cpu:
        said.append("Nothing else runs on the device; the display's share is not counted.")
    return tuple(said)


def not_modelled(model: ModelSpec, plan: TrainingPlan) -> tuple[str, ...]:
    """What could move the figure and is not in it."""
    left = []
    if not model.known:
        left.append(f"The shape of the family {model.model_type} is a fallback: the band is wide.")
    if any(linear.role == "mixer" for group in model.layers for linear in group.linears):
        left.append("State-space and linear-attention blocks are counted by their projections only.")
    if model.is_moe:
        left.append("Experts are taken to share tokens evenly; a skewed router needs more.")
    if model.encoder_decoder:
        left.append("Cross-attention of an encoder-decoder is not counted.")
    if plan.lora_init in ("pissa", "loftq"):
        left.append("The decomposition at the start (PiSSA, LoftQ) runs before training and is not counted.")
    if plan.neftune_noise_alpha is not None:
        left.append("NEFTune's noise, one tensor of the embedding's output, is not counted.")
    return tuple(left)
