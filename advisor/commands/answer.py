"""What becomes of an answer, from the wizard or from flags: its files and its exit code."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.base.errors import (
    EXIT_DO_NOT_FINE_TUNE,
    EXIT_ENVIRONMENT,
    EXIT_NOTHING_FITS,
    EXIT_OK,
    InputError,
    Problem,
)
from advisor.base.language import tr
from advisor.commands.output import write_file

if TYPE_CHECKING:
    from advisor.decide.recommendation import Recommendation
    from rules.engine import RuleBook

EXIT_CODES = {
    "recommended": EXIT_OK,
    "nothing_fits": EXIT_NOTHING_FITS,
    "do_not_fine_tune": EXIT_DO_NOT_FINE_TUNE,
    "repair_first": EXIT_ENVIRONMENT,
}


def write_files(
    arguments: argparse.Namespace, explicit: dict[str, object], result: Recommendation, book: RuleBook
) -> None:
    """The files that flags asked for, and the last answer for `explain last`."""
    from advisor.commands.last import remember

    remember(result)
    if arguments.save_answers:
        from advisor.ask.answers import to_toml

        write_file(arguments.save_answers, to_toml(explicit).encode())
    if arguments.save_plan:
        save_plan_of(result, arguments.save_plan)
    if arguments.html:
        write_report(result, book, arguments.html)


def write_report(result: Recommendation, book: RuleBook, path: Path) -> None:
    """The report as one HTML file, with the date of today."""
    from advisor.commands.map import map_around
    from advisor.report.page.report import render

    page = render(result, book, made_on=time.strftime("%Y-%m-%d"), found=map_around(result, book))
    write_file(path, page.encode())


def save_plan_of(result: Recommendation, path: Path) -> None:
    """Write the recommended plan. Raises InputError when there is none."""
    if result.best is None:
        raise InputError(
            Problem(what=tr("there is no plan to save"), why=result.headline, fix="; ".join(result.remedies))
        )
    import tomli_w

    from trainers.plan import plan_to_dict

    write_file(path, tomli_w.dumps(plan_to_dict(result.best.plan)).encode())
