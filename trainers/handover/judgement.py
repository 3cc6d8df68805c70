"""What is to be thought of a run, in words, by rules that are stated here and nowhere else. No torch.

for sentence in judge(summary, read_metrics(run_dir)): ...
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trainers import amounts
from trainers.run_folder.best_step import Evaluation, best_of, evaluations
from trainers.run_folder.summary import Summary
from trainers.scores.intervals import Interval

TURN_SHARE = 0.01
"""The evaluation turned where its last loss is this share above its lowest."""
FALL_SHARE = 0.01
"""It still falls where its last quarter lowered it by this share or more."""
FEWEST_EVALUATIONS = 3
"""Fewer show no direction."""


def judge(run: Summary, metrics: Sequence[dict[str, Any]]) -> list[str]:
    """Sentences in order of weight: how it ended, whether it helped, where the curve went, what it took."""
    found = evaluations(metrics)
    return [*_end(run), *_gain(run), *_curve(run, found), *_memory(run), *_time(run)]


def _end(run: Summary) -> list[str]:
    of = f" of {run.total_steps:,}" if run.total_steps else ""
    if run.state == "failed":
        return [f"The run failed at step {run.step:,}{of}: {run.why or 'no reason was written down'}."]
    if run.state == "stopped":
        return [f"The run was stopped at step {run.step:,}{of}; it can be resumed."]
    return []


def _gain(run: Summary) -> list[str]:
    said = []
    if run.tuned_loss is None:
        return (
            ["Nothing was kept back, so nobody knows yet whether it answers better."]
            if run.state == "finished"
            else []
        )
    change = run.scores.loss_change if run.scores else None
    if change is not None and change.low is not None and change.high is not None:
        said.append(_change_of_loss(change))
    elif run.base_loss is not None:
        said.append(
            f"On kept-back rows the loss went from {run.base_loss:.4f} to {run.tuned_loss:.4f}; how sure that is "
            "cannot be told from so few rows."
        )
    task = run.scores.task if run.scores else None
    if task is not None and task.base is not None and task.gain is not None:
        before, after, rows = f"{task.base.value:.0%}", f"{task.tuned.value:.0%}", f"on {task.tuned.rows} rows"
        sure = "" if task.gain.is_sure else ", which may be chance"
        went = f"stayed at {after} {rows}" if before == after else f"went from {before} to {after} {rows}{sure}"
        said.append(f"By {task.measure.replace('_', ' ')} ({task.why}) it {went}.")
    return said


def _change_of_loss(change: Interval) -> str:
    if change.low is None or change.high is None:
        return ""
    if not change.is_sure:
        ends = f"{change.low:+.4f} to {change.high:+.4f} nats per token, {change.rows} rows"
        return f"On kept-back rows no difference to the base can be told: tuned less base is {ends}."
    low, high = sorted((abs(change.low), abs(change.high)))
    size = f"{abs(change.value):.4f} nats per token ({low:.4f} to {high:.4f}, {change.rows} rows)"
    if change.value < 0:
        return f"On kept-back rows it is better than the base: its loss is lower by {size}."
    return f"On kept-back rows it is worse than the base: its loss is higher by {size}."


def _curve(run: Summary, found: list[Evaluation]) -> list[str]:
    best = best_of(found)
    if best is None or len(found) < FEWEST_EVALUATIONS:
        return []
    last = found[-1]
    if last.loss > best.loss * (1 + TURN_SHARE):
        return [
            f"The evaluation turned at step {best.step:,}: from {best.loss:.4f} there it rose to {last.loss:.4f} at "
            f"step {last.step:,}. Fewer passes, a lower rate or more data are worth a try."
        ]
    before = found[-1 - max(1, len(found) // 4)]
    if before.loss - last.loss >= FALL_SHARE * before.loss and not run.is_running:
        return [
            f"Still falling at the end: from {before.loss:.4f} at step {before.step:,} to {last.loss:.4f} at step "
            f"{last.step:,}. One more pass is worth it."
        ]
    return [f"The evaluation has levelled off at {last.loss:.4f}: more passes over the same data will change little."]


def _memory(run: Summary) -> list[str]:
    if run.memory_bytes is None or run.predicted_bytes is None:
        return []
    both = (
        f"{amounts.size(run.memory_bytes)} was used at most, {amounts.size(run.predicted_bytes)} had been predicted"
    )
    return [f"More memory than predicted: {both}."] if run.memory_bytes > run.predicted_bytes else [f"{both}."]


def _time(run: Summary) -> list[str]:
    if run.training_seconds is None or run.predicted_seconds is None:
        return []
    low, high = run.predicted_seconds
    took = "takes" if run.is_running else "took"
    predicted = f"{amounts.duration(low)} to {amounts.duration(high)} had been predicted"
    both = f"Training {took} {amounts.duration(run.training_seconds)}, {predicted}"
    if run.training_seconds > high:
        return [f"{both}: slower than that."]
    return [f"{both}: faster than that."] if run.training_seconds < low else [f"{both}."]
