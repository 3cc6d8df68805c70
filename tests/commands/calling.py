"""How tests call a command, and what they ask most often."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from advisor.commands import children
from advisor.commands.cli import main
from tests.trainers import warm
from tests.waiting import PATIENCE_SECONDS
from trainers.supervision import child

ROOT = Path(__file__).resolve().parents[2]
ASK = ["--non-interactive", "--model", "Qwen3-8B", "--hardware", "RTX 4090", "--data-examples", "5000"]


def left_behind() -> list[str]:
    """Names of the files in the working folder."""
    return sorted(file.name for file in Path().iterdir())


def started(*arguments: str, **options):
    """The command in a process of its own, for what only a process shows."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    command = [sys.executable, "-m", "advisor", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=PATIENCE_SECONDS, check=False, **options
    )


def warmly(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in this process, standing in `folder`; what it starts finds its libraries loaded."""
    printed = {"out": io.StringIO(), "error": io.StringIO()}
    own = {"SFT_ADVISOR_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}

    def until_it_ends(module: str, words: Sequence[str | Path], stdout: int | None = None) -> tuple[int, str]:
        done = warm.run(module, *map(str, words))
        sys.stderr.write(done.stderr)
        if stdout is None:
            sys.stdout.write(done.stdout)
        return done.returncode, done.stdout

    with pytest.MonkeyPatch.context() as here, redirect_stdout(printed["out"]), redirect_stderr(printed["error"]):
        here.chdir(folder)
        for name, value in own.items():
            here.setenv(name, value)
        here.setattr(child, "spawn", warm.spawn)
        here.setattr(children, "_until_it_ends", until_it_ends)
        code = main(arguments)
    return subprocess.CompletedProcess(list(arguments), code, printed["out"].getvalue(), printed["error"].getvalue())
