"""Runs on a terminal: the list, the one that is watched, two beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from advisor.base.language import tr
from advisor.report import words
from advisor.report.curve import text_chart
from trainers import amounts
from trainers.handover.charts import Series
from trainers.handover.judgement import judge
from trainers.handover.report import with_ends
from trainers.handover.serving import published
from trainers.run_folder.metrics import points
from trainers.run_folder.summary import Summary
from trainers.scores.intervals import Interval
from trainers.scores.measures import Comparison, Scores

CHART_LINES = 14
GAP = 2
"""Blanks between two columns."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Two runs beside each other."""

    schema: Literal["sft-advisor/compare/v1"] = "sft-advisor/compare/v1"
    """Name and version of this document."""
    first: Summary
    """The run named first."""
    second: Summary
    """The run named second."""
    settings: dict[str, tuple[Any, Any]]
    """Plan fields that differ: name -> (first, second)."""
    loss_change: Interval | None
    """Second less first, nats per token over the same kept-back rows; None where the rows are not the same."""
    samples: tuple[dict[str, str], ...]
    """Questions that both answered: prompt, reference, first, second."""


class Reported(msgspec.Struct, frozen=True, kw_only=True):
    """What `runs report --json` prints."""

    schema: Literal["sft-advisor/report/v1"] = "sft-advisor/report/v1"
    """Name and version of this document."""
    report: str
    """The HTML file that was written."""
    run: Summary
    """How the run stands."""
    judgement: tuple[str, ...]
    """What is to be thought of it, as sentences in the language in use."""


class Scored(Comparison, frozen=True, kw_only=True):
    """What `runs score --json` prints."""

    schema: Literal["sft-advisor/score/v1"] = "sft-advisor/score/v1"
    """Name and version of this document."""


class Retained(Scores, frozen=True, kw_only=True):
    """What `runs retention --json` prints."""

    schema: Literal["sft-advisor/retention/v1"] = "sft-advisor/retention/v1"
    """Name and version of this document."""


def runs_table(runs: Sequence[Summary], folder: Path, width: int) -> RenderableType:
    """One line a run; what says least about it is left out where a line has no room for everything."""
    columns = {
        tr("run"): [_below(run.folder, folder) for run in runs],
        tr("model"): [published(run.model) for run in runs],
        tr("data"): [Path(run.data).name for run in runs],
        tr("method"): [run.method for run in runs],
        tr("state"): [tr(run.state) for run in runs],
        tr("step"): [f"{run.step:,}" + (f"/{run.total_steps:,}" if run.total_steps else "") for run in runs],
        tr("loss"): [f"{run.best_loss:.4f}" if run.best_loss is not None else "" for run in runs],
        tr("size"): [amounts.size(run.size_bytes) for run in runs],
    }
    for least in (tr("size"), tr("data"), tr("method"), tr("model")):
        if sum(max(map(cell_len, [name, *cells])) + GAP for name, cells in columns.items()) <= width:
            break
        del columns[least]
    table = Table(box=None, padding=(0, GAP, 0, 0), header_style="bold")
    for name in columns:
        is_figure = name in (tr("step"), tr("loss"), tr("size"))
        table.add_column(name, no_wrap=name != tr("run"), overflow="fold", justify="right" if is_figure else "left")
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    return table


def _below(run_dir: Path, folder: Path) -> str:
    return str(run_dir.relative_to(folder)) if run_dir.is_relative_to(folder) else str(run_dir)


def live(run: Summary, metrics: list[dict[str, Any]], width: int) -> RenderableType:
    """The run as it is now: figures, curve, and what is to be thought of it."""
    parts = [
        tr("{name}: {state}, step {step:,}", name=run.folder.name, state=tr(run.state), step=run.step)
        + (f"/{run.total_steps:,}" if run.total_steps else "")
    ]
    parts += [tr("loss {loss:.4f}", loss=run.loss)] if run.loss is not None else []
    parts += (
        [tr("lowest evaluation {loss:.4f} at step {step:,}", loss=run.best.loss, step=run.best.step)]
        if run.best
        else []
    )
    parts += (
        [tr("{eta_seconds} left", eta_seconds=amounts.duration(run.eta_seconds))]
        if run.eta_seconds is not None
        else []
    )
    if run.training_seconds is not None and run.predicted_seconds is not None:
        low, high = map(amounts.duration, run.predicted_seconds)
        took = amounts.duration(run.training_seconds)
        parts.append(tr("{took} of training, {low} to {high} predicted", took=took, low=low, high=high))
    if run.memory_bytes is not None:
        predicted = (
            tr(" of {predicted_bytes} predicted", predicted_bytes=amounts.size(run.predicted_bytes))
            if run.predicted_bytes is not None
            else ""
        )
        parts.append(
            tr("{memory_bytes} at most{predicted}", memory_bytes=amounts.size(run.memory_bytes), predicted=predicted)
        )
    curves = [
        Series(name=tr("training loss"), points=points(metrics, "loss")),
        Series(name=tr("evaluation loss"), points=points(metrics, "eval_loss")),
    ]
    lines = [", ".join(parts), "", text_chart(curves, width, CHART_LINES), ""]
    return Text("\n".join([*lines, *judge(run, metrics)]))


def beside(
    found: Difference, first: list[dict[str, Any]], second: list[dict[str, Any]], width: int
) -> RenderableType:
    """Settings that differ, both evaluation curves in one chart, scores, answers."""
    names = (_name(found.first, found.second), _name(found.second, found.first))
    return Group(
        _settings(found, names),
        Text(""),
        Text(_curves(names, first, second, width)),
        Text(""),
        _scores(found, names),
        *_answers(found, names),
    )


def _name(run: Summary, other: Summary) -> str:
    return run.folder.name if run.folder.name != other.folder.name else str(run.folder)


def _settings(found: Difference, names: tuple[str, str]) -> RenderableType:
    if not found.settings:
        return Text(tr("Both have the same settings."))
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("setting", *names):
        table.add_column(name, overflow="fold")
    for field, (one, other) in found.settings.items():
        written = words.setting(one), words.setting(other)
        table.add_row(field, *(written if written[0] != written[1] else (str(one), str(other))))
    return table


def _curves(names: tuple[str, str], first: list[dict[str, Any]], second: list[dict[str, Any]], width: int) -> str:
    for metric, title in (("eval_loss", tr("evaluation loss")), ("loss", tr("training loss"))):
        curves = [
            Series(name=f"{name}, {title}", points=points(logs, metric))
            for name, logs in zip(names, (first, second), strict=True)
        ]
        if all(one.points for one in curves):
            return text_chart(curves, width, CHART_LINES)
    return tr("There is no curve that both have.")


def _scores(found: Difference, names: tuple[str, str]) -> RenderableType:
    lines = []
    for name, run in zip(names, (found.first, found.second), strict=True):
        said = (
            [tr("loss {best_loss:.4f}", best_loss=run.best_loss)]
            if run.best_loss is not None
            else [tr("no loss on kept-back rows")]
        )
        if run.scores and (task := run.scores.task):
            said.append(
                tr(
                    "{measure} {value:.3f} on {rows} rows",
                    measure=task.measure.replace("_", " "),
                    value=task.tuned.value,
                    rows=task.tuned.rows,
                )
            )
        said += [amounts.duration(run.seconds)] if run.seconds is not None else []
        lines.append(f"{name}: {', '.join(said)}")
    change = found.loss_change
    if change is None:
        lines.append(tr("They were not judged on the same rows, so their losses cannot be held against each other."))
    else:
        verdict = (
            tr("cannot be told apart")
            if not change.is_sure
            else tr("the second is better")
            if change.value < 0
            else tr("the second is worse")
        )
        lines.append(
            tr(
                "second less first: {with_ends} nats per token: {verdict}",
                with_ends=with_ends(change),
                verdict=verdict,
            )
        )
    return Text("\n".join(lines))


def _answers(found: Difference, names: tuple[str, str]) -> list[RenderableType]:
    shown: list[RenderableType] = []
    for sample in found.samples:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", expand=True, title=None)
        for title in names:
            table.add_column(title, overflow="fold", ratio=1)
        table.add_row(squeezed(sample["first"]), squeezed(sample["second"]))
        shown += [
            Text(tr("\nasked: {asked}\nwanted: {wanted}", asked=sample["prompt"], wanted=sample["reference"])),
            table,
        ]
    return shown


def squeezed(text: str) -> str:
    """An answer without blank lines: a model that has learnt little writes whole screens of them, or nothing."""
    return "\n".join(line for line in text.splitlines() if line.strip()) or tr("(an empty answer)")


def compared_in_words(scores: Comparison) -> str:
    """Base and tuned model by one measure."""
    base = f"{scores.base.value:.3f}" if scores.base else "?"
    return tr(
        "{measure}: {base} before, {tuned} now on {rows} rows; the difference is {gain}",
        measure=scores.measure,
        base=base,
        tuned=f"{scores.tuned.value:.3f}",
        rows=scores.tuned.rows,
        gain=with_ends(scores.gain),
    )
