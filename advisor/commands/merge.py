"""Merges the adapter of a run into its base model, on the CPU, and checks that the logits stay the same."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which run, and where the merged model goes."""
    parser.add_argument("run", metavar="RUN", type=Path, help="folder of the run")
    parser.add_argument("--output", metavar="DIR", type=Path, help="folder of the merged model (default: in the run)")


def run(arguments: argparse.Namespace) -> int:
    """Merge in a child process."""
    from advisor.commands.children import run_child

    more = ["--output", arguments.output] if arguments.output else []
    return run_child("trainers.merge", arguments.run, *more)
