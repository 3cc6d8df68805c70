"""Translates a plan for another tool (trl, axolotl, llamafactory, ms-swift, unsloth, torchtune), or packs it as a job
that takes data and versions along (ssh, docker, slurm, kubernetes, skypilot, ray, modal, notebook).

What the target cannot express is listed, never dropped silently.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.base.language import tr
from trainers.export import TARGETS

if TYPE_CHECKING:
    from advisor.report.documents import Written
    from trainers.export.table import Export


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The plan and the target."""
    parser.add_argument("plan", metavar="PLAN.toml", type=Path)
    parser.add_argument("--to", choices=TARGETS, required=True, metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--output", metavar="DIR", type=Path, help="write the files there (default: print them)")
    parser.add_argument("--json", action="store_true", help="files, command and what was dropped as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Translate, then print or write."""
    from advisor.commands.output import remark, write_json, write_text
    from advisor.commands.planflags import read_plan
    from trainers.export import export, write

    plan = read_plan(arguments.plan)
    made = write(plan, arguments.to, arguments.output) if arguments.output else export(plan, arguments.to)
    if arguments.json:
        write_json(_document(made, arguments.to, arguments.output))
        return 0
    if arguments.output:
        write_text("\n".join(str(arguments.output / name) for name in made.files))
    else:
        write_text("\n".join(f"# {name}\n{content.rstrip()}\n" for name, content in made.files.items()))
    for line in _said(made, arguments.to):
        remark(line)
    return 0


def _document(made: Export, target: str, folder: Path | None) -> Written:
    from advisor.report.documents import Written

    files = {str(folder / name) if folder else name: content for name, content in made.files.items()}
    return Written(target=target, files=files, command=made.command, dropped=made.dropped, notes=made.notes)


def _said(made: Export, target: str) -> list[str]:
    return [
        *(
            tr("{target} has no option for {field}: {reason}", target=target, field=field, reason=reason)
            for field, reason in made.dropped.items()
        ),
        *(tr("note: {note}", note=note) for note in made.notes),
        tr("start it with: {command}", command=made.command),
    ]
