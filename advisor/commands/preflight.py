"""Tries the longest batch of a plan for real: forward, backward, optimizer step, evaluation and save.

The measured peak is set beside the predicted one. Exit codes: 0 ready, 2 the plan or data cannot be used, 3 it does
not fit, 5 the environment cannot do it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.base.errors import EXIT_NOTHING_FITS, EXIT_OK
from advisor.commands.output import echo, write_json

if TYPE_CHECKING:
    from trainers.supervision.preflight import Preflight


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The plan."""
    parser.add_argument("plan", metavar="PLAN.toml", type=Path)
    parser.add_argument("--run-dir", metavar="DIR", type=Path, help="folder for what it leaves (default: a new one)")
    parser.add_argument("--json", action="store_true", help="the measurement as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print."""
    from advisor.commands.following import new_run_dir
    from advisor.commands.launch import require_dataset
    from advisor.commands.output import show
    from advisor.commands.planflags import read_plan
    from advisor.report.preflight import verdict
    from trainers.supervision.preflight import preflight

    plan = read_plan(arguments.plan)
    require_dataset(plan)
    found = preflight(plan, arguments.run_dir or new_run_dir(plan), echo=echo)
    if arguments.json:
        write_json(found)
    else:
        show(verdict(found))
    return _exit_code(found)


def _exit_code(found: Preflight) -> int:
    if found.outcome == "does_not_fit":
        return EXIT_NOTHING_FITS
    return EXIT_OK if found.outcome.startswith("ready") else found.exit_code
