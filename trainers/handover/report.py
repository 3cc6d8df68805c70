"""report.html of a run, worth sending on: opens from disk with no network and no script. No torch.

write_report(run_dir)        from run.json, plan.toml, metrics.jsonl and samples.json
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainers import amounts
from trainers.foreign.files import json_object
from trainers.foreign.text import terminal
from trainers.handover.charts import Series, svg
from trainers.handover.judgement import judge
from trainers.handover.serving import published
from trainers.language import code as language_code
from trainers.language import later, tr
from trainers.method import METHODS
from trainers.plan import plan_to_dict
from trainers.run_folder import layout
from trainers.run_folder.metrics import points, read_metrics
from trainers.run_folder.record import read_record
from trainers.run_folder.shape import number
from trainers.run_folder.summary import Summary, plan_of, summarise
from trainers.scores.intervals import Interval
from trainers.writing import write_atomically

TEMPLATE = Path(__file__).with_name("report.html")
OTHER_CURVES = (
    ("learning_rate", later("Learning rate"), 1.0),
    ("grad_norm", later("Gradient norm"), 1.0),
    ("tokens_per_second", later("Tokens per second"), 1.0),
    ("memory_bytes", later("Memory in use (GiB)"), float(amounts.GIB)),
)
NOT_SHOWN = ("schema", "made_for", "set_by", "delivery", "model", "dataset", "predicted_peak_bytes")
"""Fields of the plan that stand elsewhere in the report, or say nothing to its readers."""
MOST_SAMPLES = 16


def write_report(run_dir: Path) -> Path:
    """Write the page into the run folder. Return its path."""
    target = run_dir / layout.REPORT
    write_atomically(target, render(run_dir).encode())
    return target


def render(run_dir: Path) -> str:
    """The page; whatever the folder lacks is left out of it."""
    from jinja2 import Environment, StrictUndefined

    run, metrics = summarise(run_dir), read_metrics(run_dir)
    page = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_shown
    )
    page.globals["tr"] = tr
    plan = plan_of(run_dir)
    fields = plan_to_dict(plan) if plan else {}
    return page.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        language=language_code().replace("_", "-"),
        title=tr("{method} of {published}", method=_method(run), published=published(run.model)),
        run=run,
        facts=_facts(run, read_record(run_dir / layout.RUN)),
        judgement=judge(run, metrics),
        scores=_scores(run),
        loss_chart=_loss_chart(metrics),
        charts=[
            (title, svg([Series(name=title, points=curve)], title))
            for name, title, divide_by in OTHER_CURVES
            if len(curve := points(metrics, name, divide_by)) > 1
        ],
        samples=_samples(run_dir),
        served=_served(run_dir),
        settings=[(name, _setting(value)) for name, value in fields.items() if name not in NOT_SHOWN],
    )


def _shown(value: Any) -> Any:
    return terminal(value) if type(value) is str else value


def _loss_chart(metrics: list[dict[str, Any]]) -> str:
    series = [
        Series(name="training", points=points(metrics, "loss")),
        Series(name=tr("evaluation, rows kept back"), points=points(metrics, "eval_loss"), marked=True),
    ]
    return svg(series, tr("loss by step")) if sum(len(one.points) for one in series) > 1 else ""


def _facts(run: Summary, record: Mapping[str, Any]) -> list[tuple[str, str]]:
    delivered, data = record.get("delivered") or {}, record.get("data") or {}
    rows = number(data.get("train_examples"))
    of = tr(" of {total_steps:,}", total_steps=run.total_steps) if run.total_steps else ""
    speed, trained = number(record.get("tokens_per_second")), (record.get("parameters") or {}).get("trainable")
    found = [
        (tr("model"), published(run.model)),
        (
            tr("data"),
            Path(run.data).name + (tr(", {rows:,.0f} rows trained on", rows=rows) if rows is not None else ""),
        ),
        (tr("method"), _method(run)),
        (tr("state"), tr(run.state)),
        (tr("steps"), f"{run.step:,}{of}"),
        (
            tr("delivered"),
            tr(
                "step {step}: {reason}",
                step=delivered["step"],
                reason=delivered.get("reason", ""),
            )
            if "step" in delivered
            else "",
        ),
        (tr("duration"), amounts.duration(run.seconds) if run.seconds is not None else ""),
        (tr("training"), amounts.duration(run.training_seconds) if run.training_seconds is not None else ""),
        (tr("training predicted"), _predicted_time(run)),
        (tr("ended"), run.finished[:16].replace("T", " ")),
        (tr("memory at most"), amounts.size(run.memory_bytes) if run.memory_bytes is not None else ""),
        (tr("memory predicted"), amounts.size(run.predicted_bytes) if run.predicted_bytes is not None else ""),
        (tr("speed"), tr("{speed:,.0f} tokens/s", speed=speed) if speed is not None else ""),
        (tr("trained numbers"), amounts.count(trained) if trained is not None else ""),
        (tr("seed"), str(record.get("seed", ""))),
    ]
    return [(name, value) for name, value in found if value]


def _method(run: Summary) -> str:
    """Its name in words; as it stands in a folder of another trainer."""
    return next((tr(traits.title) for name, traits in METHODS.items() if name == run.method), run.method)


def _predicted_time(run: Summary) -> str:
    if run.predicted_seconds is None:
        return ""
    return tr(" to ").join(amounts.duration(end) for end in run.predicted_seconds)


def _scores(run: Summary) -> list[tuple[str, str, str, str]]:
    """Measure, base, tuned, difference with its interval."""
    found = []
    if run.tuned_loss is not None:
        change = run.scores.loss_change if run.scores else None
        base = f"{run.base_loss:.4f}" if run.base_loss is not None else ""
        found.append((tr("loss (nats per token; less is better)"), base, f"{run.tuned_loss:.4f}", with_ends(change)))
    task = run.scores.task if run.scores else None
    if task is not None:
        name = tr("{measure} (0 to 1; {why})", measure=task.measure.replace("_", " "), why=task.why)
        base = f"{task.base.value:.3f}" if task.base else ""
        found.append((name, base, f"{task.tuned.value:.3f}", with_ends(task.gain)))
    kept = run.retention
    if kept is not None and kept.task is not None and kept.task.base is not None:
        figures = f"{kept.task.base.value:.3f}", f"{kept.task.tuned.value:.3f}", with_ends(kept.task.gain)
        found += [
            (tr("right answers ({why})", why=kept.task.why), *figures),
            (tr("loss on these (less is better)"), "", "", with_ends(kept.loss_change)),
        ]
    return found


def with_ends(interval: Interval | None) -> str:
    """ "+0.120 (+0.050 to +0.190)", or the value alone where there were too few rows for an interval."""
    if interval is None:
        return ""
    if interval.low is None or interval.high is None:
        return tr("{value:+.4f} ({rows} rows: too few for an interval)", value=interval.value, rows=interval.rows)
    return tr("{value:+.4f} ({low:+.4f} to {high:+.4f})", value=interval.value, low=interval.low, high=interval.high)


def _samples(run_dir: Path) -> list[dict[str, str]]:
    found = (json_object(run_dir / layout.SAMPLES) or {}).get("samples")
    kept = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    names = ("prompt", "reference", "base", "tuned")
    return [{name: str(one.get(name) or "") for name in names} for one in kept[:MOST_SAMPLES]]


def _served(run_dir: Path) -> list[tuple[str, str]]:
    for folder in (layout.MERGED, layout.RESULT):
        found = json_object(run_dir / folder / layout.SERVE) or {}
        lines = [(engine, how.get("command")) for engine, how in found.items() if isinstance(how, dict)]
        if shown := [(engine, command) for engine, command in lines if isinstance(command, str)]:
            return shown
    return []


def _setting(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
