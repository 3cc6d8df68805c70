"""metrics.jsonl as data: one line a log, read by the report, the supervisor and tests. No torch here."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from trainers.plan import write_atomically

METRICS_FILE = "metrics.jsonl"


def read_metrics(run_dir: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl in order; a line that a crash cut off is left out."""
    path = run_dir / METRICS_FILE
    if not path.exists():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            continue
    return lines


def append_metrics(run_dir: Path, line: dict[str, Any]) -> None:
    """Add one line."""
    with (run_dir / METRICS_FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def losses_to_repeat(run_dir: Path, step: int) -> dict[int, float]:
    """Step -> loss of the lines beyond `step` that will come again, each the mean over the same steps."""
    found, since = {}, 0
    for line in read_metrics(run_dir):
        if "loss" in line:
            # what began before the checkpoint will be a mean over fewer steps this time
            if since >= step and math.isfinite(line["loss"]):
                found[line["step"]] = line["loss"]
            since = line["step"]
    return found


def cut_metrics(run_dir: Path, step: int) -> None:
    """Drop lines beyond `step`: they are of steps that will be trained again."""
    kept = [line for line in read_metrics(run_dir) if line["step"] <= step]
    write_atomically(run_dir / METRICS_FILE, "".join(json.dumps(line) + "\n" for line in kept).encode())
