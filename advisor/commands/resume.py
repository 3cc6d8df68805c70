"""Continues a run from its newest complete checkpoint: optimizer, scheduler, random state and data order."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from advisor.commands.numbers import COUNT
from trainers.plan_parts import Sharding


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which run."""
    parser.add_argument("run", metavar="RUN", type=Path, help="folder of the run")
    parser.add_argument("--dataset", metavar="PATH", help="where the training data are now, if they were moved")
    parser.add_argument("--model", metavar="PATH", help="where the base model's folder is now, if it was moved")
    parser.add_argument("--num-gpus", metavar="N", type=COUNT, help="go on with another number of processes")
    parser.add_argument("--sharding", choices=get_args(Sharding), help="how they share the work (default: as before)")
    parser.add_argument("--json", action="store_true", help="print the run's summary as JSON when it is over")
    parser.add_argument("--rendezvous", metavar="HOST:PORT", help="where the nodes of this run meet")


def run(arguments: argparse.Namespace) -> int:
    """Resume, and show how it goes."""
    from advisor.commands.following import require_one_run
    from advisor.commands.launch import watch_through
    from trainers.supervision.resume import resume_run

    require_one_run(arguments.run, "runs resume")
    options = {
        "rendezvous": arguments.rendezvous,
        "dataset": arguments.dataset,
        "model": arguments.model,
        "processes": arguments.num_gpus,
        "sharding": arguments.sharding,
    }
    return watch_through(
        arguments.run,
        lambda **watchers: resume_run(arguments.run, **options, **watchers),
        as_json=arguments.json,
    )
