"""How long a run has been worked on, all its starts together. No torch here."""

from __future__ import annotations

from pathlib import Path

from trainers.run_folder import layout
from trainers.run_folder.record import read_record
from trainers.run_folder.shape import number


def seconds_spent(run_dir: Path) -> float:
    """What all starts of a run took."""
    return sum(_starts(run_dir))


def seconds_of_last_start(run_dir: Path) -> float:
    """What the last one took; 0 where there is none."""
    return (_starts(run_dir) or [0.0])[-1]


def seconds_since(began: float | None, run_dir: Path) -> float:
    """Of a start that nobody saw end, for its supervisor was killed: until the run last wrote anything."""
    files = (run_dir / name for name in (layout.TRAIN_LOG, layout.METRICS, layout.RUN))
    signs = [file.stat().st_mtime for file in files if file.is_file()]
    return round(max(0.0, max(signs, default=0.0) - began), 1) if began is not None else 0.0


def _starts(run_dir: Path) -> list[float]:
    attempts = [one for one in read_record(run_dir / layout.RUN).get("attempts") or [] if isinstance(one, dict)]
    return [number(one.get("seconds")) or seconds_since(number(one.get("began")), run_dir) for one in attempts]
