"""How another Python is started: the one place that builds a child's command line and what it may import.

A child imports what this process would, and nothing from the folder that the user happens to stand in: that may be a
clone of a stranger's dataset with a torch.py in it, or a project with a package called trainers.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from trainers.language import handed_on

SAFE_PATH = "-P"
"""Python's switch that keeps the current folder out of `sys.path`."""
SAFE_ENVIRONMENT = {"PYTHONSAFEPATH": "1"}
"""The same for what the child starts in turn, such as the ranks of torchrun."""
RUN_MODULE = f"python {SAFE_PATH} -m"
"""How a command that is written down for another machine starts a module."""


def module_command(module: str, *arguments: str | Path) -> tuple[str, ...]:
    """The command line that runs a module with the Python of this process."""
    return (sys.executable, SAFE_PATH, "-m", module, *map(str, arguments))


def code_command(code: str) -> tuple[str, ...]:
    """The command line that runs a short program with the Python of this process."""
    return (sys.executable, SAFE_PATH, "-c", code)


def child_environment(caller: Mapping[str, str] | None = None) -> dict[str, str]:
    """`caller` (None: this process's environment) as a child that imports this project needs it."""
    caller = os.environ if caller is None else caller
    return {**caller, **child_settings(caller)}


def child_settings(caller: Mapping[str, str]) -> dict[str, str]:
    """What is set on top of `caller` for such a child: variables of this project alone.

    An empty entry of PYTHONPATH would mean the current folder, and is dropped.
    """
    here = str(Path(__file__).resolve().parent.parent)
    rest = [part for part in caller.get("PYTHONPATH", "").split(os.pathsep) if part and part != here]
    return {"PYTHONPATH": os.pathsep.join([here, *rest]), **SAFE_ENVIRONMENT, **handed_on()}
