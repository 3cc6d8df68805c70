"""Commands of the trainers that need torch, run as a child process with its own output."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def run_child(module: str, *arguments: str | Path) -> int:
    """`python -m MODULE ARGUMENTS` on this terminal; gives its exit code."""
    return subprocess.run(command(module, arguments), env=_environment(), check=False).returncode


def read_child(module: str, *arguments: str | Path) -> tuple[int, str]:
    """The exit code of `python -m MODULE ARGUMENTS` and what it wrote to stdout; its stderr goes to this terminal."""
    done = subprocess.run(
        command(module, arguments), env=_environment(), check=False, stdout=subprocess.PIPE, text=True
    )
    return done.returncode, done.stdout


def command(module: str, arguments: Sequence[str | Path]) -> list[str]:
    """The command line, with the Python that runs this process."""
    return [sys.executable, "-m", module, *map(str, arguments)]


def _environment() -> dict[str, str]:
    """This process's environment; the project is found wherever the child starts."""
    import trainers

    root = str(Path(trainers.__file__).resolve().parents[1])
    known = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([root, known] if known else [root])}
