"""Prints the JSON Schema of a document: recommendation, plan, answers or hardware."""

from __future__ import annotations

import argparse

from advisor.commands.output import write_json
from advisor.report.schema import NAMES, json_schema


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which document."""
    parser.add_argument("document", choices=NAMES)


def run(arguments: argparse.Namespace) -> int:
    """Print it."""
    write_json(json_schema(arguments.document))
    return 0
