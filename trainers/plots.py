"""The curves of a run: loss.png, and report.html that opens from disk with no network and no script.

write_report(run_dir)        from run.json, metrics.jsonl and samples.json; no torch
"""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

from trainers.metrics import read_metrics
from trainers.plan import write_atomically
from trainers.record import RUN_FILE, read_record

Points = list[tuple[float, float]]

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 640, 200, 64, 24, 12
CURVES = (
    ("loss", "Training loss (nats per token)", 1.0),
    ("eval_loss", "Evaluation loss (nats per token)", 1.0),
    ("learning_rate", "Learning rate", 1.0),
    ("grad_norm", "Gradient norm", 1.0),
    ("tokens_per_second", "Tokens per second", 1.0),
    ("memory_bytes", "Memory in use (GiB)", 2.0**30),
)

STYLE = """
:root{color-scheme:light dark;--line:#2563eb;--grid:#8884;--soft:#8889}
body{font:15px/1.5 system-ui,sans-serif;max-width:720px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem}h2{font-size:1rem;margin:1.6rem 0 .3rem}
svg{width:100%;height:auto}text{font-size:11px;fill:currentColor}
polyline{fill:none;stroke:var(--line);stroke-width:1.6}.grid{stroke:var(--grid)}
table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid var(--grid);padding:.3rem .5rem;
text-align:left;vertical-align:top}td{white-space:pre-wrap;overflow-wrap:anywhere}
"""


def points(metrics: list[dict[str, Any]], name: str, divide_by: float = 1.0) -> Points:
    """(step, value) of every log that has this metric as a finite number."""
    found = [(line["step"], line.get(name)) for line in metrics]
    return [
        (float(step), value / divide_by)
        for step, value in found
        if isinstance(value, (int, float)) and value - value == 0
    ]


def loss_png(run_dir: Path) -> Path | None:
    """Training and evaluation loss over steps as loss.png; None when nothing was logged."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    metrics = read_metrics(run_dir)
    if not points(metrics, "loss"):
        return None
    figure, axes = pyplot.subplots(figsize=(7, 4), dpi=120)
    for name, label, style in (("loss", "training", "-"), ("eval_loss", "evaluation", "o-")):
        curve = points(metrics, name)
        if curve:
            axes.plot(*zip(*curve, strict=True), style, label=label, linewidth=1.4, markersize=4)
    axes.set(xlabel="step", ylabel="loss (nats per token)")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    target = run_dir / "loss.png"
    figure.savefig(target)
    pyplot.close(figure)
    return target


def write_report(run_dir: Path) -> Path:
    """report.html: the figures, the curves and the samples of a run in one file."""
    record, metrics = read_record(run_dir / RUN_FILE), read_metrics(run_dir)
    charts = [
        f"<h2>{html.escape(title)}</h2>\n{svg(curve)}"
        for name, title, divide_by in CURVES
        if len(curve := points(metrics, name, divide_by)) > 1
    ]
    title = f"{record.get('method', 'run')} of {record.get('model', '?')}"
    body = "\n".join([f"<h1>{html.escape(title)}</h1>", _facts(record), *charts, _samples(run_dir)])
    page = (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{html.escape(title)}</title><style>{STYLE}</style>{body}</html>\n"
    )
    target = run_dir / "report.html"
    write_atomically(target, page.encode())
    return target


def svg(curve: Points) -> str:
    """One curve as an SVG drawing with its own axes."""
    xs, ys = [x for x, _ in curve], [y for _, y in curve]
    low, high = min(ys), max(ys)
    if low == high:
        low, high = low - abs(low) * 0.1 - 1e-12, high + abs(high) * 0.1 + 1e-12
    across = (WIDTH - LEFT - 8) / max(xs[-1] - xs[0], 1e-9)
    up = (HEIGHT - BOTTOM - TOP) / (high - low)
    line = " ".join(f"{LEFT + (x - xs[0]) * across:.1f},{HEIGHT - BOTTOM - (y - low) * up:.1f}" for x, y in curve)
    marks = []
    for part in range(5):
        value = low + (high - low) * part / 4
        y = HEIGHT - BOTTOM - (value - low) * up
        marks.append(f"<line class=grid x1={LEFT} x2={WIDTH - 8} y1={y:.1f} y2={y:.1f} />")
        marks.append(f"<text x={LEFT - 6} y={y + 4:.1f} text-anchor=end>{value:.3g}</text>")
    ends = f"<text x={LEFT} y={HEIGHT - 6}>step {xs[0]:.0f}</text>"
    ends += f"<text x={WIDTH - 8} y={HEIGHT - 6} text-anchor=end>step {xs[-1]:.0f}</text>"
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}">{"".join(marks)}{ends}<polyline points="{line}"/></svg>'


def _facts(record: dict[str, Any]) -> str:
    memory, losses = record.get("memory", {}), record.get("losses", {})
    rows = [
        ("ended", record.get("exit_state")),
        ("steps", record.get("steps")),
        ("training loss, first and last", _pair(losses.get("first"), losses.get("last"))),
        ("evaluation loss, base and tuned", _pair(record.get("eval_loss_before"), record.get("eval_loss_after"))),
        ("tokens per second", _number(record.get("tokens_per_second"))),
        ("peak memory, predicted", _gib(memory.get("predicted_peak_bytes"))),
        ("peak memory, measured", _gib(memory.get("measured_peak_bytes"))),
        ("trainable parameters", _number((record.get("parameters") or {}).get("trainable"))),
    ]
    cells = "".join(f"<tr><th>{name}</th><td>{html.escape(str(v))}</td></tr>" for name, v in rows if v is not None)
    return f"<table>{cells}</table>"


def _pair(before: float | None, after: float | None) -> str | None:
    return f"{before:.4f} \N{RIGHTWARDS ARROW} {after:.4f}" if before is not None and after is not None else None


def _number(value: float | None) -> str | None:
    return f"{value:,.0f}" if value is not None else None


def _gib(value: int | None) -> str | None:
    return f"{value / 2**30:.2f} GiB" if value is not None else None


def _samples(run_dir: Path) -> str:
    try:
        samples = json.loads((run_dir / "samples.json").read_bytes())["samples"]
    except (OSError, ValueError, KeyError):
        return ""
    rows = "".join(
        "<tr>"
        + "".join(f"<td>{html.escape(str(s.get(k) or ''))}</td>" for k in ("prompt", "base", "tuned"))
        + "</tr>"
        for s in samples
    )
    return f"<h2>Answers on examples that were kept back</h2><table><tr><th>asked<th>base<th>tuned</tr>{rows}</table>"
