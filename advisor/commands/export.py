"""Translates a plan for another tool (trl, axolotl, llamafactory, ms-swift) or for a cluster (slurm, skypilot,
kubernetes). What the target cannot express is listed, never dropped silently.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.language import tr
from trainers.export import TARGETS

if TYPE_CHECKING:
    from trainers.export.table import Export


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The plan and the target."""
    parser.add_argument("plan", metavar="PLAN.toml", type=Path)
    parser.add_argument("--to", choices=TARGETS, required=True, metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--output", metavar="DIR", type=Path, help="write the files there (default: print them)")


def run(arguments: argparse.Namespace) -> int:
    """Translate, then print or write."""
    from advisor.commands.output import remark, write_text
    from advisor.commands.planflags import read_plan
    from trainers.export import export, write

    plan = read_plan(arguments.plan)
    if arguments.output:
        made = write(plan, arguments.to, arguments.output)
        write_text("\n".join(str(arguments.output / name) for name in made.files))
    else:
        made = export(plan, arguments.to)
        write_text("\n".join(f"# {name}\n{content.rstrip()}\n" for name, content in made.files.items()))
    for line in _said(made, arguments.to):
        remark(line)
    return 0


def _said(made: Export, target: str) -> list[str]:
    return [
        *(
            tr("{target} has no option for {field}: {reason}", target=target, field=field, reason=reason)
            for field, reason in made.dropped.items()
        ),
        *(tr("note: {note}", note=note) for note in made.notes),
        tr("start it with: {command}", command=made.command),
    ]
