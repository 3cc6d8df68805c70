"""The starts of a run, as its supervisor writes them into run.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from trainers.run_folder.spent import seconds_since


class Attempt(msgspec.Struct, kw_only=True):
    """One start of the training process and how it ended."""

    number: int
    resumed_from_step: int | None
    resumed_loss: float | None
    changed: dict[str, tuple[Any, Any]]
    """What differs from the attempt before: field -> (before, now)."""
    began: float | None = None
    """Seconds since 1970."""
    exit_code: int | None = None
    seconds: float | None = None
    said: str = ""
    """What the supervisor did about it, as a sentence."""


def earlier_attempts(record: dict[str, Any], run_dir: Path) -> list[Attempt]:
    """What run.json holds of starts before this one; killed ones get their time before more is written."""
    try:
        attempts = msgspec.convert(record.get("attempts", []), list[Attempt])
    except msgspec.ValidationError:
        return []
    for attempt in attempts:
        if attempt.seconds is None:
            attempt.seconds = seconds_since(attempt.began, run_dir)
    return attempts
