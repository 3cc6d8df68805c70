"""Checks driver, torch, card and libraries against each other, and really tries them, in child processes.

For each method it reports: works, works after the commands shown, or cannot work here. Exit code 5 when none works.
"""

from __future__ import annotations

import argparse

from advisor.base.errors import EXIT_ENVIRONMENT, EXIT_OK
from advisor.base.language import tr


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How to print it."""
    parser.add_argument("--json", action="store_true", help="the diagnosis as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Look, try, print."""
    from advisor.commands.output import remark, show, write_json
    from advisor.probe.doctor import doctor

    if not arguments.json:
        remark(tr("looking at the libraries; this takes some seconds"))
    found = doctor()
    if arguments.json:
        write_json(found)
    else:
        from advisor.report.doctor import diagnosis

        show(diagnosis(found))
    return EXIT_OK if found.ready else EXIT_ENVIRONMENT
