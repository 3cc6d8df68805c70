"""What is to be thought of a run, in words, by rules that are stated here and nowhere else. No torch.

for sentence in judge(summary, read_metrics(run_dir)): ...
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trainers import amounts
from trainers.amounts import percent
from trainers.language import tr
from trainers.run_folder.best_step import Evaluation, best_of, evaluations
from trainers.run_folder.summary import Summary
from trainers.scores.intervals import Interval
from trainers.scores.measures import Comparison

TURN_SHARE = 0.01
"""The evaluation turned where its last loss is this share above its lowest."""
FALL_SHARE = 0.01
"""It still falls where its last quarter lowered it by this share or more."""
FEWEST_EVALUATIONS = 3
"""Fewer show no direction."""


def judge(run: Summary, metrics: Sequence[dict[str, Any]]) -> list[str]:
    """Sentences in order of weight: how it ended, whether it helped, where the curve went, what it took."""
    found = evaluations(metrics)
    return [*_end(run), *_gain(run), *kept_of(run), *_curve(run, found), *_memory(run), *_time(run)]


def _end(run: Summary) -> list[str]:
    of = tr(" of {total_steps:,}", total_steps=run.total_steps) if run.total_steps else ""
    if run.state == "failed":
        return [
            tr(
                "The run failed at step {step:,}{of}: {why}.",
                step=run.step,
                of=of,
                why=run.why or tr("no reason was written down"),
            )
        ]
    if run.state == "stopped":
        return [tr("The run was stopped at step {step:,}{of}; it can be resumed.", step=run.step, of=of)]
    return []


def _gain(run: Summary) -> list[str]:
    said = []
    if run.tuned_loss is None:
        return (
            [tr("Nothing was kept back, so nobody knows yet whether it answers better.")]
            if run.state == "finished"
            else []
        )
    change = run.scores.loss_change if run.scores else None
    if change is not None and change.low is not None and change.high is not None:
        said.append(_change_of_loss(change))
    elif run.base_loss is not None:
        said.append(
            tr(
                "On kept-back rows the loss went from {base_loss:.4f} to {tuned_loss:.4f}; how sure "
                "that is cannot be told from so few rows.",
                base_loss=run.base_loss,
                tuned_loss=run.tuned_loss,
            )
        )
    task = run.scores.task if run.scores else None
    if task is not None and task.base is not None and task.gain is not None:
        said.append(_change_of_measure(task))
    return said


def kept_of(run: Summary) -> list[str]:
    """What is left of what it knew before; [] where nobody has asked."""
    change, task = (run.retention.loss_change, run.retention.task) if run.retention else (None, None)
    if change is None or task is None or task.base is None:
        return []
    if not change.is_sure:
        said = tr("On {rows} general questions nothing lost can be told: {before} right before, {after} now.")
    elif change.value > 0:
        said = tr(
            "On {rows} general questions its loss is higher by {size} nats per token: {before} right before, "
            "{after} now."
        )
    else:
        said = tr(
            "On {rows} general questions its loss is lower by {size} nats per token: {before} right before, "
            "{after} now."
        )
    before, after = percent(task.base.value), percent(task.tuned.value)
    return [said.format(rows=change.rows, size=f"{abs(change.value):.4f}", before=before, after=after)]


def _change_of_measure(task: Comparison) -> str:
    """What the measure of the task says; both scores and a gain are there."""
    assert task.base is not None and task.gain is not None
    before, after = percent(task.base.value), percent(task.tuned.value)
    if before == after:
        sentence = tr("By {measure} ({why}) it stayed at {after} on {rows} rows.")
    elif task.gain.is_sure:
        sentence = tr("By {measure} ({why}) it went from {before} to {after} on {rows} rows.")
    else:
        sentence = tr("By {measure} ({why}) it went from {before} to {after} on {rows} rows, which may be chance.")
    measure = task.measure.replace("_", " ")
    return sentence.format(measure=measure, why=task.why, before=before, after=after, rows=task.tuned.rows)


def _change_of_loss(change: Interval) -> str:
    if change.low is None or change.high is None:
        return ""
    if not change.is_sure:
        ends = tr(
            "{low:+.4f} to {high:+.4f} nats per token, {rows} rows",
            low=change.low,
            high=change.high,
            rows=change.rows,
        )
        return tr("On kept-back rows no difference to the base can be told: tuned less base is {ends}.", ends=ends)
    low, high = sorted((abs(change.low), abs(change.high)))
    size = tr(
        "{change:.4f} nats per token ({low:.4f} to {high:.4f}, {rows} rows)",
        change=abs(change.value),
        low=low,
        high=high,
        rows=change.rows,
    )
    if change.value < 0:
        return tr("On kept-back rows it is better than the base: its loss is lower by {size}.", size=size)
    return tr("On kept-back rows it is worse than the base: its loss is higher by {size}.", size=size)


def _curve(run: Summary, found: list[Evaluation]) -> list[str]:
    best = best_of(found)
    if best is None or len(found) < FEWEST_EVALUATIONS:
        return []
    last = found[-1]
    if last.loss > best.loss * (1 + TURN_SHARE):
        return [
            tr(
                "The evaluation turned at step {step:,}: from {loss:.4f} there it rose to "
                "{then:.4f} at step {end:,}. Fewer passes, a lower rate or more data are worth "
                "a try.",
                step=best.step,
                loss=best.loss,
                then=last.loss,
                end=last.step,
            )
        ]
    before = found[-1 - max(1, len(found) // 4)]
    if before.loss - last.loss >= FALL_SHARE * before.loss and not run.is_running:
        return [
            tr(
                "Still falling at the end: from {loss:.4f} at step {step:,} to {then:.4f} at step "
                "{end:,}. One more pass is worth it.",
                loss=before.loss,
                step=before.step,
                then=last.loss,
                end=last.step,
            )
        ]
    return [
        tr(
            "The evaluation has levelled off at {loss:.4f}: more passes over the same data will change little.",
            loss=last.loss,
        )
    ]


def _memory(run: Summary) -> list[str]:
    if run.memory_bytes is None or run.predicted_bytes is None:
        return []
    both = tr(
        "{memory_bytes} was used at most, {predicted_bytes} had been predicted",
        memory_bytes=amounts.size(run.memory_bytes),
        predicted_bytes=amounts.size(run.predicted_bytes),
    )
    return (
        [tr("More memory than predicted: {both}.", both=both)]
        if run.memory_bytes > run.predicted_bytes
        else [tr("{sentence}.", sentence=both)]
    )


def _time(run: Summary) -> list[str]:
    if run.training_seconds is None or run.predicted_seconds is None:
        return []
    low, high = run.predicted_seconds
    took = "takes" if run.is_running else "took"
    predicted = tr("{low} to {high} had been predicted", low=amounts.duration(low), high=amounts.duration(high))
    both = tr(
        "Training {took} {training_seconds}, {predicted}",
        took=took,
        training_seconds=amounts.duration(run.training_seconds),
        predicted=predicted,
    )
    if run.training_seconds > high:
        return [tr("{both}: slower than that.", both=both)]
    return (
        [tr("{both}: faster than that.", both=both)]
        if run.training_seconds < low
        else [tr("{sentence}.", sentence=both)]
    )
