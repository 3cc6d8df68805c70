"""metrics.jsonl as data: one line a log, read by the report, the supervisor and tests. No torch here."""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path
from typing import Any

from trainers.foreign.files import LOG_BYTES, read_small_file
from trainers.run_folder import layout
from trainers.run_folder.shape import number
from trainers.writing import write_atomically

FIGURES = (
    "loss",
    "eval_loss",
    "learning_rate",
    "grad_norm",
    "tokens_per_second",
    "memory_bytes",
    "eta_seconds",
    "total_steps",
)
"""Metrics that readers compute with; a line that holds another type there holds nothing there."""


def read_metrics(run_dir: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl in order; a line that a crash cut off, or that is not one of ours, is left out."""
    try:
        content = read_small_file(run_dir / layout.METRICS, LOG_BYTES)
    except OSError:
        return []
    lines = []
    for text in content.splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            line = json.loads(text)
            if isinstance(line, dict) and type(line.get("step")) is int and number(line["step"]) is not None:
                lines.append({key: value for key, value in line.items() if key not in FIGURES or _is_figure(value)})
    return lines


def _is_figure(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def points(metrics: list[dict[str, Any]], name: str, divide_by: float = 1.0) -> list[tuple[float, float]]:
    """(step, value) of every log that has this metric as a finite number."""
    pairs = [(number(line.get("step")), number(line.get(name))) for line in metrics if isinstance(line, dict)]
    return [(step, value / divide_by) for step, value in pairs if step is not None and value is not None]


def append_metrics(run_dir: Path, line: dict[str, Any]) -> None:
    """Add one line."""
    with (run_dir / layout.METRICS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def losses_to_repeat(run_dir: Path, step: int) -> dict[int, float]:
    """Step -> loss of the lines beyond `step` that will come again, each the mean over the same steps."""
    found, since = {}, 0
    for line in read_metrics(run_dir):
        if line.get("loss") is not None:
            # what began before the checkpoint will be a mean over fewer steps this time
            if since >= step and math.isfinite(line["loss"]):
                found[line["step"]] = line["loss"]
            since = line["step"]
    return found


def cut_metrics(run_dir: Path, step: int) -> None:
    """Drop lines beyond `step`: they are of steps that will be trained again."""
    kept = [line for line in read_metrics(run_dir) if line["step"] <= step]
    write_atomically(run_dir / layout.METRICS, "".join(json.dumps(line) + "\n" for line in kept).encode())
