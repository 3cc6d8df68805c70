"""What an estimate assumes and what it leaves out, in sentences."""

from __future__ import annotations

from advisor.base.language import tr
from advisor.estimate.stacks import Stack
from advisor.estimate.state import State
from advisor.model.spec import ModelSpec
from trainers.plan import TrainingPlan


def assumptions(
    model: ModelSpec, plan: TrainingPlan, stack: Stack, state: State, lengths_vary: bool
) -> tuple[str, ...]:
    """The assumptions that this plan's figure rests on."""
    notes = [
        tr("Trained by {title}.", title=tr(stack.title)),
        tr(
            "The fullest batch holds {micro_batch_size} x {max_seq_len} tokens.",
            micro_batch_size=plan.micro_batch_size,
            max_seq_len=plan.max_seq_len,
        ),
    ]
    if lengths_vary:
        notes.append(tr("Batches differ in length, so the allocator keeps blocks that it cannot use again."))
    if stack.masked and plan.attention == "sdpa" and (plan.packing or plan.micro_batch_size > 1):
        notes.append(
            tr("Rows are padded or packed: sdpa gets a mask and repeats keys and values for every query head.")
        )
    if any(group.delta for group in model.layers):
        notes.append(
            tr("Linear attention runs as plain torch operations; with flash-linear-attention it keeps less.")
        )
    if plan.method == "full" and plan.sharding == "fsdp" and stack.fsdp_fp32_master and plan.weights_dtype != "fp32":
        notes.append(
            tr("FSDP keeps shards, gradients and states in fp32 under mixed precision, whatever weights_dtype.")
        )
    if state.placed.host and not plan.cpu_offload:
        notes.append(tr("The states of a paged optimizer count as host memory; the driver moves them in and out."))
    if plan.num_gpus > 1:
        notes.append(tr("Every GPU holds the same share; one block is gathered ahead of the one at work."))
    if plan.reads_images and model.eyes is not None:
        notes.append(tr("The vision tower runs forward only; pictures are taken to fill every row."))
    if not state.on_cpu:
        notes.append(tr("Nothing else runs on the device; the display's share is not counted."))
    return tuple(notes)


def not_modelled(model: ModelSpec, plan: TrainingPlan) -> tuple[str, ...]:
    """What could change the figure and is not included in it."""
    left = []
    if not model.known:
        left.append(
            tr("The shape of the family {model_type} is a fallback: the band is wide.", model_type=model.model_type)
        )
    mixers = [group for group in model.layers if any(linear.role == "mixer" for linear in group.linears)]
    if any(group.delta is None for group in mixers):
        left.append(tr("State-space and linear-attention blocks are counted by their projections only."))
    if model.is_moe:
        left.append(tr("Experts are taken to share tokens evenly; a skewed router needs more."))
    if model.encoder_decoder:
        left.append(tr("Cross-attention of an encoder-decoder is not counted."))
    if plan.reads_images and model.eyes is None:
        left.append(tr("What the tower works with while it looks at pictures is not counted; its weights are."))
    if plan.lora_init in ("pissa", "loftq"):
        left.append(tr("The decomposition at the start (PiSSA, LoftQ) runs before training and is not counted."))
    if plan.neftune_noise_alpha is not None:
        left.append(tr("NEFTune's noise, one tensor of the embedding's output, is not counted."))
    return tuple(left)


def allocator_notes(*, replayed: bool, gives_back: bool) -> tuple[str, ...]:
    """What was done to say how much the allocator holds."""
    notes = []
    if replayed:
        notes.append(tr("Two steps were played through the rules of PyTorch's caching allocator, block by block."))
    if gives_back:
        notes.append(
            tr("It fills the free memory: it fits because the allocator gives cached blocks back, which costs time.")
        )
    return tuple(notes)


def known_by(plan: TrainingPlan, stack: Stack, *, corrected: bool, replayed: bool = False) -> dict[str, str]:
    """Component -> how its bytes are known.

    counted: shape times format, equal to the library's own count. derived: the rules of autograd on the operations of
    the model's code. published: figures that others measured. assumed: no figure separates it. measured here: the
    ledger of this machine corrects it (`corrected`).
    """
    moving = tr("derived, corrected by runs measured here") if corrected else tr("derived")
    runtime = tr("published: contexts and allocator blocks of runs that others measured")
    if replayed:
        runtime = tr(
            "derived: blocks by replay of the allocator; published: the context of runs that others measured"
        )
    if plan.accelerator == "cpu":
        runtime = tr("published: resident memory of this project's own trial runs")
    elif plan.sharding == "fsdp" and stack.fsdp == "fsdp2":
        runtime += tr("; blocks of gathered units are assumed")
    if corrected:
        runtime = tr("measured here: runs on this machine correct published figures")
    return {
        "weights": tr("counted: parameters of the model in their storage format"),
        "adapters": tr("counted: parameters of the adapters"),
        "gradients": tr("counted: a value for each trained parameter, in its dtype"),
        "optimizer_states": tr("counted: the states of the optimizer in their format"),
        "activations": tr("{moving}: tensors that autograd keeps in a block of this family", moving=moving),
        "logits": tr("{moving}: the head and the loss as their source computes them", moving=moving),
        "buffers": tr("{moving}: casts, gathered weights, buckets, temporaries of the step", moving=moving),
        "runtime": runtime,
    }
