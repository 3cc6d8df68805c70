"""A run folder in one look, for lists, comparisons and reports: what it is, how far it got, how good it is. No torch.

run = summarise(Path("runs/Qwen3-8B-lora-20261129-101500"))
find_runs(Path("runs"))                              # newest first
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from trainers.plan import PlanError, TrainingPlan, load_plan
from trainers.run_folder import layout
from trainers.run_folder.best_step import Evaluation, best_of, evaluations
from trainers.run_folder.lock import is_held
from trainers.run_folder.metrics import read_metrics
from trainers.run_folder.record import read_record
from trainers.run_folder.shape import number
from trainers.scores.measures import Scores

State = Literal["running", "finished", "stopped", "failed", "not started"]
DEPTH = 4
"""How many folders deep runs are looked for: RUNS/RACE/trials/TRIAL, and RUNS/MANY/tasks/TASK."""


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """One run. Losses in nats per supervised token of the part that was kept back."""

    schema: Literal["sft-advisor/run/v1"] = "sft-advisor/run/v1"
    """Name and version of this document; a list of runs has it in each row."""
    folder: Path
    """The run's folder."""
    model: str
    """The base model, as the plan names it."""
    data: str
    """The dataset, as the plan names it."""
    method: str
    """full, lora, qlora or another."""
    state: State
    """How far it is."""
    step: int
    """Optimizer steps that are over."""
    total_steps: int
    """0 as long as it is not known."""
    loss: float | None
    """Training loss of the newest log."""
    base_loss: float | None
    """Of the base model, before training."""
    best: Evaluation | None
    """The lowest evaluation loss so far, and the step where it was."""
    tuned_loss: float | None
    """Of what was delivered."""
    delivered_step: int | None
    """The step whose weights are the result."""
    scores: Scores | None
    """What an evaluation found beside plain losses."""
    retention: Scores | None
    """Base and tuned model on general questions; None where nobody has asked."""
    seconds: float | None
    """Of the whole run; of one that still runs those of the steps that are over."""
    eta_seconds: float | None
    """Until the last step, for a run that still runs."""
    training_seconds: float | None
    """Of the steps with their evaluations and saves; of a run that goes on, what they are expected to take in all.
    None for one that was resumed, whose earlier steps nobody has timed."""
    predicted_seconds: tuple[float, float] | None
    """Lower and upper end of what had been predicted for that."""
    memory_bytes: int | None
    """The most that was measured so far."""
    predicted_bytes: int | None
    """The most that was predicted for one GPU, or for the process on a CPU."""
    size_bytes: int
    """All files of the folder on disk."""
    finished: str
    """Local time of the end, or nothing."""
    why: str
    """Of a run that failed: the reason."""

    @property
    def is_running(self) -> bool:
        """True while a process trains in its folder."""
        return self.state == "running"

    @property
    def best_loss(self) -> float | None:
        """What it is judged by: the loss of what was delivered, else the lowest so far."""
        return self.tuned_loss if self.tuned_loss is not None else self.best.loss if self.best else None


def find_runs(folder: Path) -> list[Path]:
    """Run folders in and below `folder`, the one that changed last first."""
    run_dirs = [place for place in _folders(folder, DEPTH) if _is_run(place)]
    return sorted(run_dirs, key=lambda place: (-_changed(place), str(place)))


def summarise(run_dir: Path) -> Summary:
    """Read one run folder; whatever is missing in it is None, 0 or empty."""
    record, metrics = read_record(run_dir / layout.RUN), read_metrics(run_dir)
    plan = plan_of(run_dir)
    logs = [line for line in metrics if "loss" in line]
    last: dict[str, Any] = logs[-1] if logs else {}
    memory, delivered = record.get("memory") or {}, record.get("delivered") or {}
    peaks = [int(peak) for line in logs if (peak := number(line.get("peak_memory_bytes"))) is not None]
    state = _state(run_dir, record)
    scores, retention = record.get("scores"), record.get("retention")
    return Summary(
        folder=run_dir,
        model=plan.model.name if plan else str(record.get("model") or "?"),
        data=(plan.dataset.source if plan and plan.dataset else str(record.get("dataset") or "?")),
        method=plan.method if plan else str(record.get("method") or "?"),
        state=state,
        step=int(last.get("step") or record.get("steps") or 0),
        total_steps=int(number(last.get("total_steps")) or record.get("total_steps") or 0),
        loss=number(last.get("loss")),
        base_loss=number(record.get("eval_loss_before")),
        best=best_of(evaluations(metrics)),
        tuned_loss=number(record.get("eval_loss_after")),
        delivered_step=delivered.get("step"),
        scores=msgspec.convert(scores, Scores) if scores else None,
        retention=msgspec.convert(retention, Scores) if retention else None,
        seconds=number(record.get("total_seconds")),
        eta_seconds=number(last.get("eta_seconds")) if state == "running" else None,
        training_seconds=_training_seconds(record, logs, state),
        predicted_seconds=_predicted_seconds(plan),
        memory_bytes=memory.get("measured_peak_bytes") or max(peaks, default=None),
        predicted_bytes=memory.get("predicted_peak_bytes") or (plan.predicted_peak_bytes if plan else None),
        size_bytes=sum(_size(file) for file in run_dir.rglob("*")),
        finished=str(record.get("finished") or "") if state != "running" else "",
        why=str((record.get("failure") or {}).get("what") or "") if state == "failed" else "",
    )


def plan_of(run_dir: Path) -> TrainingPlan | None:
    """The plan of a run; None where it cannot be read."""
    try:
        return load_plan(run_dir / layout.PLAN)
    except PlanError:
        return None


def _training_seconds(record: dict[str, Any], logs: list[dict[str, Any]], state: State) -> float | None:
    attempts = [one for one in record.get("attempts") or [] if isinstance(one, dict)]
    if any(one.get("resumed_from_step") for one in attempts):
        return None
    if state != "running":
        return number((record.get("seconds") or {}).get("training"))
    times = [time for line in logs if (time := number(line.get("time"))) is not None]
    left = number(logs[-1].get("eta_seconds")) if logs else None
    return times[-1] - times[0] + left if len(times) > 1 and left is not None else None


def _predicted_seconds(plan: TrainingPlan | None) -> tuple[float, float] | None:
    made_for = plan.made_for if plan else None
    if made_for is None or made_for.low_hours is None or made_for.high_hours is None:
        return None
    return 3600 * made_for.low_hours, 3600 * made_for.high_hours


def _state(run_dir: Path, record: dict[str, Any]) -> State:
    if is_held(run_dir):
        return "running"
    ended = record.get("exit_state")
    if ended in (None, "running"):  # a process that was killed wrote no end
        return "stopped" if record else "not started"
    if ended == "done":
        return "finished"
    return "stopped" if ended in ("stopped", "interrupted") else "failed"


def _is_run(folder: Path) -> bool:
    return (folder / layout.PLAN).is_file() and ((folder / layout.RUN).is_file() or is_held(folder))


def _folders(folder: Path, depth: int) -> list[Path]:
    try:
        inside = sorted(place for place in folder.iterdir() if place.is_dir() and not place.is_symlink())
    except OSError:
        return []
    if _is_run(folder):
        return [folder]
    return [folder, *(below for place in inside for below in _folders(place, depth - 1))] if depth else [folder]


def _changed(folder: Path) -> float:
    return max((_mtime(folder / name) for name in (layout.RUN, layout.METRICS)), default=0.0)


def _mtime(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def _size(file: Path) -> int:
    try:
        return 0 if file.is_symlink() or not file.is_file() else file.stat().st_size
    except OSError:
        return 0
