"""run.json: what the run is, how far it got, how it ended. Written after each phase, read by all. No torch here.

    record = RunRecord(run_dir)
    record.update(method="lora", seed=42)
    with record.phase("training"): ...

Keys that others write into the same file (the supervisor's `attempts`) are left as they are. Only rank 0 writes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trainers import exit_codes
from trainers.foreign.files import json_object
from trainers.run_folder import layout
from trainers.run_folder.shape import has_shape
from trainers.writing import write_atomically

RUN_SCHEMA = "sft-advisor/run/v1"


class RunRecord:
    """The growing record of one run folder; on another rank than 0 it only keeps time."""

    def __init__(self, run_dir: Path, *, writes: bool = True) -> None:
        self.path = run_dir / layout.RUN
        self.writes = writes
        self.current_phase = "starting"
        self._own: dict[str, Any] = {"schema": RUN_SCHEMA}
        self._began = time.monotonic()

    def update(self, **values: Any) -> None:
        """Set these keys and write the file."""
        self._own |= values
        if self.writes:
            write_atomically(self.path, json.dumps({**read_record(self.path), **self._own}, indent=2).encode())

    def read(self, key: str) -> Any:
        """What was set under this key; None when nothing was."""
        return self._own.get(key)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time one phase into `seconds`; its name is what a failure inside it is blamed on."""
        self.current_phase = name
        self.update(phase=name)
        began = time.monotonic()
        yield
        seconds = {**self._own.get("seconds", {}), name: round(time.monotonic() - began, 2)}
        self.update(seconds=seconds)

    def end(self, exit_code: int, failure: dict[str, Any] | None = None) -> None:
        """Write how it ended. `failure` holds phase, what, why, fix; None after success or a requested stop."""
        self.update(
            phase=None,
            exit_code=exit_code,
            exit_state=exit_codes.STATES.get(exit_code, "error"),
            failure=failure,
            finished=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            total_seconds=round(time.monotonic() - self._began, 2),
        )


def is_finished(run_dir: Path) -> bool:
    """Whether the run in this folder ended with a result, which is still there. Nothing changes it any more."""
    result = run_dir / layout.RESULT
    return read_record(run_dir / layout.RUN).get("exit_state") == "done" and result.is_dir() and any(result.iterdir())


def read_record(path: Path) -> dict[str, Any]:
    """The content of a run.json; empty when there is none that can be read.

    A folder may come from a stranger or from a crash: what has another type than this trainer writes is left out.
    """
    content = json_object(path) or {}
    return {key: value for key, value in content.items() if has_shape(key, value)}
