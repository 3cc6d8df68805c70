"""The embedded model, converted once for all tests of a run, whichever process of pytest asks first."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).resolve().parents[1]


class Conversion(NamedTuple):
    """What two processes gave that were started at once in an empty home."""

    home: Path
    folders: list[str]
    codes: list[int]
    said: list[str]


def converted(shared: Path) -> Conversion:
    """The conversion in this folder; made there unless it was."""
    from filelock import FileLock

    home, kept = shared / "home", shared / "conversion.json"
    shared.mkdir(exist_ok=True)
    with FileLock(shared / ".lock"):
        if not kept.exists():
            kept.write_text(json.dumps(_two_at_once(home)), encoding="utf-8")
    return Conversion(home, *json.loads(kept.read_bytes()))


def _two_at_once(home: Path) -> tuple[list[str], list[int], list[str]]:
    environment = {**os.environ, "SFT_ADVISOR_HOME": str(home), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "trainers.training.embedded"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    started = [subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes) for _ in range(2)]
    ended = [process.communicate(timeout=PATIENCE_SECONDS) for process in started]
    folders = [(out.strip().splitlines() or [""])[-1] for out, _ in ended]
    return folders, [process.returncode for process in started], [error for _, error in ended]
