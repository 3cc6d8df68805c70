"""Who won a race, by how much, and how sure that is: read from the run folders of its trials. No torch.

verdict(field, seeds=...) -> Verdict or None
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from trainers.foreign.files import json_object
from trainers.plan import TrainingPlan
from trainers.run_folder import layout
from trainers.run_folder.record import read_record
from trainers.run_folder.shape import number
from trainers.run_folder.spent import seconds_spent
from trainers.run_folder.summary import Summary, summarise
from trainers.scores.curve import Curve, Point, learning_curve
from trainers.scores.intervals import Interval
from trainers.scores.measures import Comparison, choose, compare
from trainers.scores.rows import change_over_seeds, rows_of
from trainers.supervision.trials import PLAN, Trial, setting
from trainers.writing import write_atomically

VERDICT = "verdict.json"


class Ranked(msgspec.Struct, frozen=True, kw_only=True):
    """One trial that ended with a loss on the rows that were kept back."""

    name: str
    """Name of the trial."""
    setting: dict[str, Any]
    """What sets it apart from the plan; {} for the plan itself."""
    method: str
    """Its method."""
    loss: float
    """Nats per supervised token of the step that was delivered."""
    over_best: Interval | None
    """Its loss less that of the winner, over all seeds; None for the winner, and where no rows compare."""
    seeds: int
    """Runs of it, each with another seed."""
    seconds: float
    """What its run took, all attempts together."""
    steps: int
    """Optimizer steps that it made."""
    memory_bytes: int | None
    """Measured peak memory; null: not measured."""
    predicted_bytes: int | None
    """Predicted peak memory; null: not known."""
    folder: str
    """Its run folder."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The trials that went to their end, the best first, and what stands between the first and others."""

    schema: Literal["sft-advisor/race-verdict/v1"] = "sft-advisor/race-verdict/v1"
    """Name and version of this document."""
    ranked: tuple[Ranked, ...]
    """Every trial that ended, the lowest loss first."""
    base_loss: float | None
    """Of the untrained model, asked the same way."""
    over_base: Interval | None
    """Loss of the winner less that of the base."""
    over_plan: Interval | None
    """Loss of the winner less that of the plan; None where the plan won, or no rows compare."""
    task: Comparison | None
    """Winner (`tuned`) against the plan (`base`), or against the untrained model where the plan won."""
    dropped: tuple[str, ...]
    """Trials that went no further."""
    seconds: float
    """What all trials took."""
    curve: Curve | None = None
    """After `race PLAN --sweep data`: what more rows would gain; null for fewer than three trainings that compare."""

    @property
    def winner(self) -> Ranked:
        """The trial with the lowest loss."""
        return self.ranked[0]

    @property
    def is_sure(self) -> bool:
        """Whether the winner is better than the plan, or the plan than the second, beyond chance."""
        if self.winner.name != PLAN:
            return self.over_plan is not None and self.over_plan.is_sure
        return len(self.ranked) > 1 and bool((over := self.ranked[1].over_best) and over.is_sure)


def verdict(field: Sequence[Trial], seeds: Mapping[str, Sequence[Trial]] | None = None) -> Verdict | None:
    """Rank what has ended; None where no trial has a loss. `seeds`: a trial's name -> the same by other seeds."""
    seeds = seeds or {}
    summaries = {trial.name: summarise(trial.folder) for trial in field}
    ended = [trial for trial in field if summaries[trial.name].tuned_loss is not None]
    if not ended:
        return None
    plan = field[0].plan
    best, *others = _in_order(ended, seeds, summaries)
    planned = next((trial for trial in others if trial.name == PLAN), None)
    first = summaries[best.name]
    return Verdict(
        ranked=tuple(_ranked(trial, best, plan, seeds, summaries[trial.name]) for trial in (best, *others)),
        base_loss=first.base_loss,
        over_base=first.scores.loss_change if first.scores else None,
        over_plan=change(planned, best, seeds) if planned else None,
        task=_task(planned, best) if planned else first.scores.task if first.scores else None,
        dropped=tuple(trial.name for trial in field if trial not in ended),
        seconds=sum(
            seconds_spent(trial.folder) for trial in [*field, *(one for more in seeds.values() for one in more)]
        ),
    )


def change(first: Trial, second: Trial, seeds: Mapping[str, Sequence[Trial]]) -> Interval | None:
    """Loss of the second less that of the first, over every seed that both were trained by."""
    others = {trial.plan.seed: trial for trial in seeds.get(second.name, ())}
    pairs = [(first, second)]
    pairs += [(one, others[one.plan.seed]) for one in seeds.get(first.name, ()) if one.plan.seed in others]
    return change_over_seeds((_samples(one), _samples(other)) for one, other in pairs)


def keep_verdict(found: Verdict, folder: Path) -> None:
    """Write verdict.json into the folder of the race."""
    write_atomically(folder / VERDICT, msgspec.json.format(msgspec.json.encode(found), indent=1))


def curve_of(field: Sequence[Trial]) -> Curve | None:
    """What more rows would gain, by trials on shares of them; None where they do not compare."""
    points = []
    for trial in field:
        rows, data = rows_of(_samples(trial)), read_record(trial.folder / layout.RUN).get("data") or {}
        trained = number(data.get("train_examples"))
        if rows is not None and trained:
            points.append(Point(round(trained), rows))
    return learning_curve(points)


def _in_order(
    ended: Sequence[Trial], seeds: Mapping[str, Sequence[Trial]], summaries: Mapping[str, Summary]
) -> list[Trial]:
    """By the loss on the rows that the plan's seed keeps back; what other seeds say can turn the first two round."""
    ranked = sorted(ended, key=lambda trial: summaries[trial.name].tuned_loss or 0.0)
    if len(ranked) > 1 and all(trial.name in seeds for trial in ranked[:2]):
        over = change(ranked[0], ranked[1], seeds)
        if over is not None and over.value < 0:
            ranked[:2] = ranked[1::-1]
    return ranked


def _ranked(
    trial: Trial, best: Trial, plan: TrainingPlan, seeds: Mapping[str, Sequence[Trial]], found: Summary
) -> Ranked:
    return Ranked(
        name=trial.name,
        setting=setting(trial, plan),
        method=trial.plan.method,
        loss=found.tuned_loss or 0.0,
        over_best=None if trial is best else change(best, trial, seeds),
        seeds=1 + len(seeds.get(trial.name, ())),
        seconds=seconds_spent(trial.folder),
        steps=trial.plan.max_steps or found.step,
        memory_bytes=found.memory_bytes,
        predicted_bytes=found.predicted_bytes,
        folder=str(trial.folder),
    )


def _task(planned: Trial, best: Trial) -> Comparison | None:
    """Both trials' answers to the questions that both were asked."""
    ours, theirs = (_answers(trial) for trial in (planned, best))
    asked = [key for key in ours if key in theirs]
    references = [reference for _, reference in asked]
    return compare(choose(references), references, [ours[key] for key in asked], [theirs[key] for key in asked])


def _answers(trial: Trial) -> dict[tuple[str, str], str]:
    found = _samples(trial).get("samples")
    rows = [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
    return {(str(row.get("prompt")), str(row.get("reference"))): str(row.get("tuned") or "") for row in rows}


def _samples(trial: Trial) -> dict[str, Any]:
    return json_object(trial.folder / layout.SAMPLES) or {}
