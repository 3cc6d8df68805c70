"""Trials of one setting on the user's data: equal budgets, each an ordinary run, and who has won. No torch.

for trial in trials(plan, 60, Path("runs/race")): ...     # carry each out in trial.folder
verdict(found)                                                                # judged on the kept-back rows
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from trainers.foreign.files import json_object
from trainers.plan import TrainingPlan
from trainers.run_folder import layout
from trainers.run_folder.summary import Summary, summarise
from trainers.scores.intervals import Interval
from trainers.scores.rows import change_of_loss

RATE_FACTORS = (1.0, 1 / 3, 3.0)
"""The planned rate first, so that what one trial costs is known of the plan itself."""
EVALUATIONS = 4
"""In each trial; its best step is what it is judged by."""
TRIALS = "trials"


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One setting to try, in a run folder of its own."""

    folder: Path
    plan: TrainingPlan


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Who won. Losses in nats per supervised token of the rows that were kept back."""

    trials: tuple[Summary, ...]
    """Those that ended with a loss, the best first."""
    rates: tuple[float, ...]
    """Their learning rates, in the same order."""
    planned_rate: float
    over_planned: Interval | None
    """Winner less planned rate; None where they are the same, or one of them has no rows to compare."""
    seconds: float
    """What all trials took."""


def trials(plan: TrainingPlan, steps: int, folder: Path, factors: Sequence[float] = RATE_FACTORS) -> list[Trial]:
    """The plan at several learning rates, each for the same number of optimizer steps and over a whole schedule."""
    found = []
    for factor in factors:
        rate = plan.learning_rate if factor == 1 else float(f"{plan.learning_rate * factor:.3g}")
        trial = msgspec.structs.replace(
            plan,
            learning_rate=rate,
            max_steps=steps,
            warmup_steps=min(plan.warmup_steps, steps // 10),
            eval_steps=max(1, steps // EVALUATIONS),
            save_steps=max(1, steps // EVALUATIONS),
            early_stopping_patience=None,
            load_best_model_at_end=True,
        )
        found.append(Trial(folder=folder / TRIALS / f"learning_rate-{rate:g}", plan=trial))
    return found


def verdict(run: Sequence[Trial], planned_rate: float) -> Verdict | None:
    """Who has the lowest loss on the kept-back rows, and how sure that is; None where no trial has one."""
    judged = [(trial, summarise(trial.folder)) for trial in run]
    ranked = sorted(
        ((trial, found) for trial, found in judged if found.tuned_loss is not None),
        key=lambda pair: pair[1].tuned_loss or 0.0,
    )
    if not ranked:
        return None
    winner = ranked[0][0]
    planned = next((trial for trial, _ in ranked if trial.plan.learning_rate == planned_rate), None)
    return Verdict(
        trials=tuple(found for _, found in ranked),
        rates=tuple(trial.plan.learning_rate for trial, _ in ranked),
        planned_rate=planned_rate,
        over_planned=None if planned in (None, winner) else change_of_loss(_samples(planned), _samples(winner)),
        seconds=sum(found.seconds or 0.0 for _, found in judged),
    )


def _samples(trial: Trial | None) -> dict[str, object]:
    return (json_object(trial.folder / layout.SAMPLES) if trial else None) or {}
