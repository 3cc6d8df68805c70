"""Translates a plan for another tool (trl, axolotl, llamafactory, ...) or for a cluster (slurm, kubernetes, ...)."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The plan and the target."""
    parser.add_argument("plan", metavar="PLAN.toml", type=Path)
    parser.add_argument("--to", metavar="TARGET", required=True, help="name of the tool or cluster")
    parser.add_argument("--output", metavar="DIR", type=Path, help="write the files there (default: print them)")


def run(arguments: argparse.Namespace) -> int:
    """Translate, then print or write."""
    raise NotImplementedError
