"""Tries the longest batch of a plan for real: forward, backward, optimizer step, evaluation and save.

The measured peak is set beside the predicted one. Exit codes: 0 ready, 2 the plan or data cannot be used, 3 it does
not fit, 5 the environment cannot do it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.commands.output import remark, write_json
from advisor.errors import EXIT_NOTHING_FITS, EXIT_OK

if TYPE_CHECKING:
    from trainers.plan import TrainingPlan
    from trainers.preflight import Preflight


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The plan."""
    parser.add_argument("plan", metavar="PLAN.toml", type=Path)
    parser.add_argument("--run-dir", metavar="DIR", type=Path, help="folder for what it leaves (default: a new one)")
    parser.add_argument("--json", action="store_true", help="the measurement as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print."""
    from advisor.commands.output import show
    from advisor.commands.planflags import read_plan
    from advisor.commands.runs import new_run_dir
    from advisor.report.preflight import verdict
    from trainers.preflight import preflight

    plan = read_plan(arguments.plan)
    found = preflight(plan, arguments.run_dir or new_run_dir(plan), echo=_echo)
    if arguments.json:
        write_json(found)
    else:
        show(verdict(found))
    return _exit_code(found)


def measure_first(plan: TrainingPlan, run_dir: Path) -> tuple[int, TrainingPlan]:
    """Exit code 0 and the plan to run; a plan that does not fit is made leaner step by step, each step said."""
    from trainers.backoff import next_step
    from trainers.preflight import preflight

    while True:
        remark("preflight: trying the longest batch")
        found = preflight(plan, run_dir, echo=_echo)
        for line in said(found):
            remark(f"  {line}")
        if found.outcome != "does_not_fit":
            return _exit_code(found), plan
        step = next_step(plan)
        if step is None:
            return EXIT_NOTHING_FITS, plan
        remark(f"  {step.said}")
        plan = step.plan


def said(found: Preflight) -> list[str]:
    """What was measured, and every check that did not simply pass."""
    from advisor.report.preflight import measured_line

    lines = [check.said for check in found.checks if check.passed is not True]
    return [measured_line(found), *lines] if found.measured else [found.advice or found.outcome, *lines]


def _exit_code(found: Preflight) -> int:
    if found.outcome == "does_not_fit":
        return EXIT_NOTHING_FITS
    return EXIT_OK if found.outcome.startswith("ready") else found.exit_code


def _echo(piece: bytes) -> None:
    sys.stderr.write(piece.decode(errors="replace"))
    sys.stderr.flush()
