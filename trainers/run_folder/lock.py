"""One training at a time in a run folder, kept by a lock that the training process inherits."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from trainers.errors import PlanRefused
from trainers.foreign.text import whole_number
from trainers.language import tr
from trainers.run_folder import layout

ORPHAN_SECONDS = 60
"""How long to wait for the training process of a supervisor that is gone: it is saving its last checkpoint."""


@contextlib.contextmanager
def hold(run_dir: Path) -> Iterator[IO[str]]:
    """While entered, no other process can enter. A child that inherits the file descriptor holds the lock too.

    Raises PlanRefused with the holder's process id when the folder is in use.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    with (run_dir / layout.LOCK).open("a+") as file:
        deadline = time.monotonic() + ORPHAN_SECONDS
        while not _taken(file):
            holder = _holder(file)
            if holder is None or _alive(holder) or time.monotonic() > deadline:
                raise PlanRefused(
                    tr("{run_dir} is in use by process {holder}", run_dir=run_dir, holder=holder or "unknown"),
                    why=tr("two trainings in one folder overwrite each other's checkpoints"),
                    fix=tr("wait for it or stop it, or start into a new --run-dir"),
                )
            time.sleep(0.1)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield file


def is_held(run_dir: Path) -> bool:
    """Whether a training runs in this folder now. Nothing is written, so a folder of others can be asked about."""
    try:
        with (run_dir / layout.LOCK).open("r", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def holder_of(run_dir: Path) -> int | None:
    """The process that carries a run out in this folder now; None where nothing runs, or it is gone already."""
    if not is_held(run_dir):
        return None
    with (run_dir / layout.LOCK).open("r", encoding="utf-8") as file:
        process = _holder(file)
    return process if process is not None and _alive(process) else None


def _taken(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(file: IO[str]) -> int | None:
    file.seek(0)
    return whole_number(file.read().strip())


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):  # the last for a number that is no process's on any system
        return False
    except PermissionError:
        return True
    return True
