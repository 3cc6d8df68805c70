"""What is wrong with the files and folders that a command line names beside a mistake that stops it.

A command looks at them itself once its arguments are in order; here they are looked at so that one answer holds
every problem.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from advisor.base.errors import InputError, Problem
from advisor.base.language import tr


def named_problems(arguments: argparse.Namespace) -> list[Problem]:
    """The problems of plan, dataset and run that were given; nothing is read but plans."""
    problems: list[Problem] = []
    for name, look in LOOKS.items():
        if (given := getattr(arguments, name, None)) is None:
            continue
        try:
            look(given)
        except InputError as error:
            problems += error.problems
    return problems


def _plan(path: Path) -> None:
    from advisor.commands.planflags import read_plan

    read_plan(path)


def _dataset(text: str) -> None:
    from advisor.data.source import told_as_input
    from trainers.examples.source import is_hub_id, open_source

    if not is_hub_id(text):
        with told_as_input():
            open_source(text)


def _run(folder: Path) -> None:
    if not folder.exists():
        why = tr("a run is a folder with a plan.toml in it")
        raise InputError(
            Problem(what=tr("there is nothing at {folder}", folder=folder), why=why, fix="sft-advisor runs list")
        )


def _rules(folder: Path) -> None:
    from advisor.commands.rulebook import read_rule_book
    from rules.errors import RuleError

    try:
        read_rule_book(folder)
    except RuleError as error:
        told = (Problem(what=each.what, why=each.why, fix=each.fix, where=each.where) for each in error.problems)
        raise InputError(*told) from error


LOOKS: dict[str, Callable[[Any], None]] = {
    "plan": _plan,
    "dataset": _dataset,
    "run": _run,
    "first": _run,
    "second": _run,
    "rules": _rules,
}
"""Name of an argument -> what looks at its value."""
