"""Tries the longest batch of a plan for real: forward, backward, optimizer step, evaluation and save, in seconds.

The measured peak is set beside the predicted one, and the plan is judged again with it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.commands.output import remark

if TYPE_CHECKING:
    from trainers.plan import TrainingPlan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The plan."""
    parser.add_argument("plan", metavar="PLAN.toml", type=Path)
    parser.add_argument("--json", action="store_true", help="the measurement as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print."""
    raise NotImplementedError


def measure_first(plan: TrainingPlan, run_dir: Path) -> tuple[int, TrainingPlan]:
    """Exit code 0 and the plan to run, when the longest batch fits; else why not."""
    remark("preflight is skipped: not there yet")
    return 0, plan
