"""How fast trials are, measured in a first short run, and how many steps of them a budget holds. No torch."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

import msgspec

from trainers.plan import TrainingPlan
from trainers.run_folder import layout
from trainers.run_folder.best_step import evaluates
from trainers.run_folder.metrics import points, read_metrics
from trainers.run_folder.record import read_record
from trainers.run_folder.shape import number
from trainers.run_folder.spent import seconds_of_last_start
from trainers.supervision.race import HALVED_FROM, HALVING, WHOLE, places
from trainers.supervision.trials import EVALUATIONS

PACE = "pace"
"""Folder of the short run, beside the trials."""
PACE_STEPS = 4
SPARE = 0.85
"""Share of a budget that is planned for: steps of long rows take longer than the first ones did."""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of the parts of one trial."""

    start: float
    """Until the first step, the evaluation of the base left out."""
    base: float
    """Evaluation of the base."""
    step: float
    check: float
    """One evaluation and the checkpoint after it."""
    end: float
    """From the last step on."""

    def of_trial(self, steps: float, *, ratio: float = 1.0, starts: int = 1) -> float:
        """A trial of so many steps, each `ratio` times as long as one of the plan's."""
        return starts * self.start + steps * self.step * ratio + EVALUATIONS * self.check + self.end


def pace_plan(plan: TrainingPlan) -> TrainingPlan:
    """The plan as it is run, until step PACE_STEPS, to see how fast it is: each of them says it."""
    steps = 2 * PACE_STEPS
    looks = PACE_STEPS if evaluates(plan) else steps + 1
    short = {"max_steps": steps, "eval_steps": looks, "save_steps": PACE_STEPS, "warmup_steps": 0}
    return msgspec.structs.replace(plan, **short, logging_steps=1, early_stopping_patience=None)


def measured_pace(folder: Path, plan: TrainingPlan) -> Pace | None:
    """The pace of the short run in a folder; None where it does not say.

    A step is taken for as long as its tokens are at the rate of the first ones, which may be of the longest rows.
    The end looks at the tuned model as the start does at the base, and loads it once more.
    """
    record = read_record(folder / layout.RUN)
    seconds, data = record.get("seconds") or {}, record.get("data") or {}
    rates = [rate for _, rate in points(read_metrics(folder), "tokens_per_second") if rate > 0][1:]
    rows, tokens = (number(data.get(name)) for name in ("train_sequences", "train_tokens"))
    if not rates or "training" not in seconds or not rows or not tokens:
        return None
    step = plan.global_batch_size * tokens / rows / statistics.median(rates)
    base, loading = seconds.get("base_evaluation", 0.0), seconds.get("loading", 0.0)
    steps = sum(plan.global_batch_size * tokens / rows / rate for rate in rates)
    return Pace(
        start=max(0.0, seconds_of_last_start(folder) - seconds["training"] - base),
        base=base,
        step=step,
        check=max(0.0, seconds["training"] - steps - 2 * step),
        end=base + loading,
    )


def race_seconds(pace: Pace, ratios: Sequence[float], steps: float, shares: Sequence[float]) -> float:
    """What a race takes. `ratios`: how long a step of each trial is against one of the plan's."""
    ratio = sum(ratios) / len(ratios)
    legs = places(len(ratios), shares)
    made = sum(share * count for share, count in legs)
    starts = sum(count for _, count in legs)
    ended = legs[-1][1]
    seconds = starts * pace.start + made * (steps * pace.step * ratio + EVALUATIONS * pace.check) + ended * pace.end
    return seconds + pace.base


def steps_within(pace: Pace, ratios: Sequence[float], seconds: float, shares: Sequence[float]) -> int:
    """The most steps of a whole trial with which the race stays within a budget; 0 where it holds none."""
    fixed = race_seconds(pace, ratios, 0.0, shares)
    each = race_seconds(pace, ratios, 1.0, shares) - fixed
    return max(0, int((SPARE * seconds - fixed) / each)) if each > 0 else 0


def best_shares(pace: Pace, ratios: Sequence[float], seconds: float) -> tuple[float, ...]:
    """Whether to halve on the way: not where starting trials again and again takes more than it saves."""
    if len(ratios) < HALVED_FROM:
        return WHOLE
    return max((WHOLE, HALVING), key=lambda shares: steps_within(pace, ratios, seconds, shares))
