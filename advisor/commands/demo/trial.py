"""What the demo asks of the advisor, what it changes in the advised plan and why, and how the run turned out.

Nothing here prints or starts anything; commands/demo.py does.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from advisor.base.language import tr
from advisor.commands.demo.score import FormScore, score_forms
from trainers.plan import TrainingPlan
from trainers.run_folder import layout
from trainers.scores.intervals import Interval, gain
from trainers.writing import write_atomically

DEFAULT_MINUTES = 5.0
MOST_STEPS = 240
"""After these it has learnt the forms: a fast machine is done sooner."""
FEWEST_STEPS = 40
"""With fewer there is nothing to look at: a machine too slow for them takes longer than it was given, and says so."""
ROWS_OF_A_STEP = 2
"""A row teaches more the fewer a step has: after 28 rows the loss is 0.35 with 2 a step, and 1.46 with 4."""
DEFAULT_QUESTIONS = 40
LOSS_ROWS = 20
"""Kept-back requests that the loss is computed on: on a slow machine all of them would take as long as 20 steps."""
ANSWER_TOKENS = 60
"""Room for the longest form, about 55 tokens; a base that rambles is cut off there."""
RESULT_FILE = "try.json"


class PlanChange(msgspec.Struct, frozen=True, kw_only=True):
    """One field that the demo sets itself instead of leaving it to the rules."""

    field: str
    value: Any
    why: str


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One request with the form it asks for, and what the model wrote before and after."""

    request: str
    reference: str
    base: str
    tuned: str


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """Base against tuned model on requests whose wordings, models and cards training never showed."""

    base: FormScore
    tuned: FormScore
    base_loss: float | None
    """Nats per answer token."""
    tuned_loss: float | None
    training_seconds: float | None
    predicted_peak_bytes: int | None
    measured_peak_bytes: int | None
    samples: tuple[Sample, ...]
    gain: Interval | None = None
    """Share of forms right in every field, tuned less base, with its interval."""
    delivered_step: int | None = None
    seconds: float | None = None
    """Of the whole trial."""
    predicted_seconds: float | None = None


def demo_answers(model: Path, dataset: Path, output: Path) -> dict[str, Any]:
    """What a person would answer who wants this: one task, quality first, prompting tried."""
    return {
        "model": str(model),
        "dataset": str(dataset),
        "output": str(output),
        "data.kind": "instruct",
        "task.count": 1,
        "task.priority": "quality",
        "task.prompting_tried": True,
        "deploy.engine": "transformers",
        "deploy.artifact": "adapters",
    }


def plan_changes(steps: int) -> tuple[PlanChange, ...]:
    """The demo's own settings, each with its reason; every other field is the rule book's."""

    def change(field: str, value: Any, why: str) -> PlanChange:
        return PlanChange(field=field, value=value, why=why)

    return (
        change("max_steps", steps, tr("minutes instead of the advised epochs")),
        change("global_batch_size", ROWS_OF_A_STEP, tr("more steps for the same minutes")),
        change("learning_rate", 2e-3, tr("few and small steps need longer ones; the advice is for several epochs")),
        change("warmup_steps", max(1, steps // 20), tr("a twentieth of the steps")),
        change(
            "lora_dropout", 0.0, tr("each example is seen once, so there is nothing to overfit, and it costs time")
        ),
        change("length_grouping", True, tr("less padding")),
        change("save_steps", steps, tr("one checkpoint, at the end")),
        change("eval_steps", steps + 1, tr("base and result are compared, nothing in between")),
    )


def with_evaluation(plan: TrainingPlan, eval_source: Path) -> TrainingPlan:
    """The plan judged by the kept-back requests instead of a random part of its own dataset."""
    if plan.dataset is None:
        raise ValueError("the demo's plan names no dataset")
    dataset = msgspec.structs.replace(plan.dataset, eval_source=str(eval_source))
    return msgspec.structs.replace(plan, dataset=dataset)


def read_outcome(run_dir: Path, *, seconds: float | None = None, predicted_seconds: float | None = None) -> Outcome:
    """Score what an evaluated run folder holds; what the trial took is the caller's to say."""
    record = json.loads((run_dir / layout.RUN).read_bytes())
    found = json.loads((run_dir / layout.SAMPLES).read_bytes())["samples"]
    samples = tuple(
        Sample(
            request=sample["prompt"], reference=sample["reference"], base=sample["base"] or "", tuned=sample["tuned"]
        )
        for sample in found
    )
    base, tuned = (
        [score_forms([(sample.reference, getattr(sample, who))]).exact for sample in samples]
        for who in ("base", "tuned")
    )
    memory = record.get("memory") or {}
    return Outcome(
        base=score_forms((sample.reference, sample.base) for sample in samples),
        tuned=score_forms((sample.reference, sample.tuned) for sample in samples),
        base_loss=record.get("eval_loss_before"),
        tuned_loss=record.get("eval_loss_after"),
        training_seconds=(record.get("seconds") or {}).get("training"),
        predicted_peak_bytes=memory.get("predicted_peak_bytes"),
        measured_peak_bytes=memory.get("measured_peak_bytes"),
        samples=samples,
        gain=gain(base, tuned) if samples else None,
        delivered_step=(record.get("delivered") or {}).get("step"),
        seconds=seconds,
        predicted_seconds=predicted_seconds,
    )


def save_outcome(outcome: Outcome, folder: Path) -> Path:
    """Write the outcome as JSON into `folder`. Return the file."""
    path = folder / RESULT_FILE
    write_atomically(path, msgspec.json.format(msgspec.json.encode(outcome), indent=1))
    return path
