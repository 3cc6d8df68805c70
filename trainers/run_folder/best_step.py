"""Which step of a run is delivered: read from the log of its evaluations alone, so that a resume decides alike.

The measure is the evaluation loss (nats per supervised token of the kept-back part), which the Trainer keeps in the
`log_history` of every checkpoint. No torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from trainers.plan import TrainingPlan
from trainers.run_folder.shape import number

MEASURE = "eval_loss"


class Evaluation(msgspec.Struct, frozen=True):
    """One evaluation during training; `loss` is infinite where it was not finite."""

    step: int
    """After which it was made."""
    loss: float
    """Nats per supervised token."""


class Delivered(msgspec.Struct, frozen=True, kw_only=True):
    """The step whose weights are the result, and why; `delivered` of run.json."""

    step: int
    last_step: int
    """The last step that was trained."""
    reason: str
    measure: str = MEASURE
    value: float | None = None
    """Of the delivered step; None when it was not evaluated."""
    last_value: float | None = None
    stopped_early: bool = False


def evaluates(plan: TrainingPlan) -> bool:
    """Whether a run of the plan is to be looked at before its result is, as far as its length is known.

    transformers would look at the last step whatever the cadence says, right before the result is scored anyway.
    """
    return plan.max_steps is None or plan.eval_steps <= plan.max_steps


def evaluations(log_history: Iterable[Mapping[str, Any]]) -> list[Evaluation]:
    """The evaluations of a run in order; of a step that was evaluated twice the later one."""
    losses = {
        int(entry["step"]): number(entry[MEASURE]) for entry in log_history if MEASURE in entry and "step" in entry
    }
    return [Evaluation(step, float("inf") if loss is None else loss) for step, loss in sorted(losses.items())]


def best_of(found: Iterable[Evaluation]) -> Evaluation | None:
    """The lowest loss, the earliest of equals; None where none was finite."""
    finite = [one for one in found if one.loss < float("inf")]
    return min(finite, key=lambda one: (one.loss, one.step), default=None)


def without_gain(found: list[Evaluation]) -> int:
    """How many evaluations in a row, up to the last one, have not lowered the loss."""
    best = best_of(found)
    return sum(one.step > best.step for one in found) if best else len(found)


def choose(
    found: list[Evaluation],
    last_step: int,
    total_steps: int,
    *,
    wants_best: bool,
    is_whole: Callable[[int], bool],
) -> Delivered:
    """The step to deliver. `is_whole(step)`: whether that step's checkpoint can be loaded; the last needs none.

    Steps are tried from the lowest loss up, so that a damaged checkpoint costs as little as can be.
    """
    losses = {one.step: one.loss for one in found}
    last = number(losses.get(last_step))

    def delivered(step: int, reason: str) -> Delivered:
        return Delivered(
            step=step,
            last_step=last_step,
            reason=reason,
            value=number(losses.get(step)),
            last_value=last,
            stopped_early=last_step < total_steps,
        )

    if not wants_best:
        return delivered(last_step, "the last step, as load_best_model_at_end is off")
    best = best_of(found)
    if best is None:
        return delivered(last_step, "the last step, as none was evaluated")
    for one in sorted(found, key=lambda one: (one.loss, one.step)):
        if one.step == last_step or one.loss == float("inf"):
            break
        if is_whole(one.step):
            return delivered(one.step, _why_earlier(one, best, last_step, last))
    if best.step != last_step:
        return delivered(last_step, f"the last step, as {_lacking(best)}")
    return delivered(last_step, "the last step, which has the lowest evaluation loss")


def in_words(delivered: Delivered) -> str:
    """One sentence for whoever watches, or opens the report."""
    ended = f"; the run ended early, at step {delivered.last_step}" if delivered.stopped_early else ""
    return f"step {delivered.step} is delivered: {delivered.reason}{ended}"


def _why_earlier(taken: Evaluation, best: Evaluation, last_step: int, last: float | None) -> str:
    later = f", and at the last one ({last_step}) it was {last:.4f}" if last is not None else ""
    if taken == best:
        return f"its evaluation loss is the lowest ({taken.loss:.4f}{later})"
    return f"its evaluation loss is the lowest that is left ({taken.loss:.4f}{later}); {_lacking(best)}"


def _lacking(best: Evaluation) -> str:
    return f"the checkpoint of step {best.step}, where it was {best.loss:.4f}, is damaged or gone"
