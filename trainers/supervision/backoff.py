"""What to change after an out-of-memory, one step at a time; the effective batch and so the result stay the same.

step = next_step(plan, phase="training")      -> Step(plan, said) or None when nothing is left but another method
"""

from __future__ import annotations

from typing import Any

import msgspec

from trainers.accelerators import by_cuda_api
from trainers.language import tr
from trainers.method import METHODS
from trainers.plan import TrainingPlan

REASON = "supervisor:out_of_memory"
"""What `set_by` says of a value that a step changed."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A plan that needs less memory, what changed, and the sentence that says so."""

    plan: TrainingPlan
    changes: dict[str, tuple[Any, Any]]
    """Field -> (before, now)."""
    said: str


def next_step(plan: TrainingPlan, phase: str | None = None) -> Step | None:
    """The mildest change that lowers the peak, or None. `phase` is where memory ran out, when the child said it.

    Order: half the micro-batch with the accumulation raised to match; a loss that never holds all logits; gradient
    checkpointing; a shorter evaluation batch; activations kept in host memory (GPUs only). When evaluation ran
    out, its batch goes first: nothing else would help.
    """
    order = _AFTER_EVALUATION if phase == "evaluation" else _AFTER_TRAINING
    return next((step for take in order if (step := take(plan)) is not None), None)


def what_is_left(plan: TrainingPlan) -> str:
    """The sentence for when no step is left: which method, or which limit, would need less."""
    method = METHODS[plan.method].next_in_need
    if method is not None:
        return tr(
            "the next method that needs less memory is {method}: plan again with --wish-method {method}",
            method=method,
        )
    return tr(
        "shorten the examples (max_seq_len is {max_seq_len}) or take a smaller base model",
        max_seq_len=plan.max_seq_len,
    )


def _smaller_micro_batch(plan: TrainingPlan) -> Step | None:
    now = plan.micro_batch_size
    if now == 1 or plan.optimizer_in_backward:
        return None
    half = next(size for size in range(now // 2, 0, -1) if now % size == 0)
    accumulation = plan.gradient_accumulation_steps * now // half
    return _step(
        plan,
        tr(
            "micro-batch {now} -> {half}, accumulation {gradient_accumulation_steps} -> "
            "{accumulation}: each step still learns from {global_batch_size} examples",
            now=now,
            half=half,
            gradient_accumulation_steps=plan.gradient_accumulation_steps,
            accumulation=accumulation,
            global_batch_size=plan.global_batch_size,
        ),
        micro_batch_size=half,
        gradient_accumulation_steps=accumulation,
        eval_micro_batch_size=min(plan.eval_micro_batch_size, half),
    )


def _chunked_loss(plan: TrainingPlan) -> Step | None:
    if plan.loss_kernel != "full":
        return None
    return _step(plan, tr("loss computed in chunks, so that no full logits are held"), loss_kernel="chunked")


def _checkpointing(plan: TrainingPlan) -> Step | None:
    if plan.gradient_checkpointing or not METHODS[plan.method].recomputes:
        return None
    return _step(plan, tr("gradient checkpointing on: about a third slower"), gradient_checkpointing=True)


def _smaller_eval_batch(plan: TrainingPlan) -> Step | None:
    if plan.eval_micro_batch_size == 1:
        return None
    half = plan.eval_micro_batch_size // 2
    return _step(
        plan,
        tr(
            "evaluation batch {eval_micro_batch_size} -> {half}",
            eval_micro_batch_size=plan.eval_micro_batch_size,
            half=half,
        ),
        eval_micro_batch_size=half,
    )


def _offloaded_activations(plan: TrainingPlan) -> Step | None:
    if plan.activation_offload or not plan.gradient_checkpointing or not by_cuda_api(plan.accelerator):
        return None
    return _step(plan, tr("activations kept in host memory between the passes: slower"), activation_offload=True)


def _step(plan: TrainingPlan, said: str, **values: Any) -> Step:
    changes = {name: (getattr(plan, name), value) for name, value in values.items() if getattr(plan, name) != value}
    set_by = plan.set_by | dict.fromkeys(changes, REASON)
    return Step(plan=msgspec.structs.replace(plan, **values, set_by=set_by), changes=changes, said=said)


_AFTER_TRAINING = (
    _smaller_micro_batch,
    _chunked_loss,
    _checkpointing,
    _smaller_eval_batch,
    _offloaded_activations,
)
_AFTER_EVALUATION = (_smaller_eval_batch, _chunked_loss)
