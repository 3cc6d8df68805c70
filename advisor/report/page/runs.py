"""Runs for the browser: the list, one as it goes, two beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from advisor.base.language import later, tr
from trainers import amounts
from trainers.foreign.text import shell_line
from trainers.handover.charts import Series, svg
from trainers.handover.judgement import judge
from trainers.handover.report import with_ends
from trainers.handover.serving import published
from trainers.run_folder import layout
from trainers.run_folder.metrics import points, read_metrics
from trainers.run_folder.summary import Summary, find_runs, summarise

if TYPE_CHECKING:
    from advisor.report.runs import Difference

CURVES = (
    ("tokens_per_second", later("Tokens per second"), 1.0),
    ("memory_bytes", later("Memory in use (GiB)"), float(amounts.GIB)),
)
STATES = {
    "running": later("running"),
    "finished": later("finished"),
    "stopped": later("stopped"),
    "failed": later("failed"),
    "not started": later("not started"),
}
Phase = Literal["", "starting", "ending"]
PHASES = {
    "starting": later("starting: data check and trial of the longest batch"),
    "ending": later("ending: what it leaves is written"),
}
LOG_BYTES = 6000
"""Of the end of a log."""


def listed(folder: Path) -> dict[str, Any]:
    """The variables of the list of runs, the newest first."""
    return {
        "folder": str(folder),
        "states": STATES,
        "runs": [(run, _figures(run)) for run in map(summarise, find_runs(folder))],
    }


def one(run_dir: Path, log: Path, phase: Phase) -> dict[str, Any]:
    """The variables of one run. `phase`: what its command does while nothing trains."""
    from markupsafe import Markup

    run, metrics = summarise(run_dir), read_metrics(run_dir)
    return {
        "run": run,
        "name": run_dir.name,
        "state": tr(PHASES[phase]) if phase else tr(STATES[run.state]),
        "goes_on": phase != "" or run.is_running,
        "can_stop": phase != "ending" and (phase != "" or run.is_running),
        "figures": _figures(run),
        "judgement": judge(run, metrics) if run.state != "not started" else [],
        "loss_chart": Markup(_loss(metrics)),
        "charts": [
            (tr(title), Markup(svg([Series(name=tr(title), points=curve)], tr(title))))
            for name, title, divide_by in CURVES
            if len(curve := points(metrics, name, divide_by)) > 1
        ],
        "log": _tail(log) or _tail(run_dir / layout.TRAIN_LOG),
        "has_result": (run_dir / layout.RESULT).is_dir(),
        "commands": {
            word: shell_line(["sft-advisor", "runs", word, str(run_dir)])
            for word in ("watch", "chat", "report", "resume")
        },
    }


def _minute(stamp: str | None) -> str:
    """ "2026-11-30 14:58" of "2026-11-30T14:58:24+0000"."""
    return (stamp or "")[:16].replace("T", " ")


def compared(found: Difference) -> dict[str, Any]:
    """The variables of two runs beside each other."""
    from markupsafe import Markup

    pair = (found.first, found.second)
    metrics = [read_metrics(run.folder) for run in pair]
    charts = []
    for name, title in (("eval_loss", tr("evaluation loss")), ("loss", tr("training loss"))):
        curves = [
            Series(name=run.folder.name, points=points(lines, name)) for run, lines in zip(pair, metrics, strict=True)
        ]
        if all(curve.points for curve in curves):
            charts.append((title, Markup(svg(curves, title))))
    return {
        "pair": [(run, _figures(run)) for run in pair],
        "settings": found.settings,
        "change": _change(found),
        "charts": charts,
        "samples": found.samples,
    }


def _change(found: Difference) -> str:
    change = found.loss_change
    if change is None:
        return tr("They were not judged on the same rows, so their losses cannot be held against each other.")
    said = tr("second less first: {change} nats per token", change=with_ends(change))
    if not change.is_sure:
        return f"{said}: {tr('they cannot be told apart')}"
    return f"{said}: {tr('the second is better') if change.value < 0 else tr('the second is worse')}"


def _loss(metrics: list[dict[str, Any]]) -> str:
    series = [
        Series(name=tr("training loss"), points=points(metrics, "loss")),
        Series(name=tr("evaluation loss"), points=points(metrics, "eval_loss"), marked=True),
    ]
    return svg(series, tr("loss by step")) if sum(len(one.points) for one in series) > 1 else ""


def _figures(run: Summary) -> list[tuple[str, str, str]]:
    """Title, value and note of what is known."""
    of = tr("of {count}", count=f"{run.total_steps:,}") if run.total_steps else ""
    left = tr("{time} left", time=amounts.duration(run.eta_seconds)) if run.eta_seconds is not None else ""
    before = tr("{loss} before", loss=f"{run.base_loss:.4f}") if run.base_loss is not None else ""
    predicted = (
        tr("{size} predicted", size=amounts.size(run.predicted_bytes)) if run.predicted_bytes is not None else ""
    )
    best = run.best_loss if run.best_loss is not None else run.loss
    found = [
        (tr("Model"), published(run.model), f"{run.method}, {Path(run.data).name}"),
        (tr("Step"), f"{run.step:,}", " ".join(filter(None, (of, left)))),
        (tr("Loss"), f"{best:.4f}" if best is not None else "", before),
        (tr("Memory"), amounts.size(run.memory_bytes) if run.memory_bytes is not None else "", predicted),
        (tr("Time"), amounts.duration(run.seconds) if run.seconds is not None else "", _minute(run.finished)),
    ]
    return [each for each in found if each[1]]


def _tail(file: Path) -> str:
    """The last lines of a log; nothing where there is none."""
    try:
        with file.open("rb") as log:
            log.seek(max(0, file.stat().st_size - LOG_BYTES))
            text = log.read(LOG_BYTES).decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(line.rpartition("\r")[2] for line in text.split("\n")).strip()
