"""The wizard from start to end: ask, decide, show, then launch, save, change or quit."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.answers import Layer, parse, to_toml
from advisor.commands.advise import EXIT_CODES, save_plan_of, write_files
from advisor.commands.measure import Measurements, Request, recommend
from advisor.commands.output import console, write_file
from advisor.errors import EXIT_INTERRUPTED, AdvisorError, InputError
from advisor.wizard import Next, Wizard

if TYPE_CHECKING:
    from rich.console import Console

    from advisor.answers import Answers
    from advisor.recommendation import Recommendation
    from rules.engine import RuleBook

ANSWERS_FILE = Path("sft-advisor-answers.toml")
PLAN_FILE = Path("plan.toml")
REPORT_FILE = Path("report.html")


def interview(layers: Sequence[Layer], arguments: argparse.Namespace) -> int:
    """Hold the conversation. Gives the verdict's exit code, the run's when one was launched, 130 after Ctrl-C."""
    from rules.engine import load_rule_book

    given, problems = parse(*layers)
    if problems:
        raise InputError(*problems)
    screen = console()
    book = load_rule_book(arguments.rules)
    measurements = Measurements()
    wizard = Wizard(given, measurements, screen)
    screen.print("sft-advisor", style="bold", end="")
    screen.print("  how to fine-tune your model, whether it fits, and the run itself")
    try:
        return _converse(wizard, measurements, book, arguments, screen)
    except KeyboardInterrupt:
        _keep_for_later(wizard, arguments, screen)
        return EXIT_INTERRUPTED
    except Exception:
        # whatever went wrong, what a person typed is not lost with it
        _keep_for_later(wizard, arguments, screen)
        raise


def _converse(
    wizard: Wizard, measurements: Measurements, book: RuleBook, arguments: argparse.Namespace, screen: Console
) -> int:
    from advisor.report.terminal import settings

    answers = wizard.ask()
    while True:
        result = _decide(answers, measurements, book, screen)
        write_files(arguments, answers.explicit, result)
        while (step := wizard.choose_next(result.best is not None)) is not Next.CHANGE:
            if step is Next.QUIT:
                return EXIT_CODES[result.verdict]
            if step is Next.LAUNCH:
                return _launch(result)
            if step is Next.REASONS:
                screen.print(settings(result))
            else:
                _save(step, result, screen)
        answers = wizard.change()


def _decide(answers: Answers, measurements: Measurements, book: RuleBook, screen: Console) -> Recommendation:
    from advisor.report.terminal import recap, recommendation

    with screen.status("comparing plans"):
        request = Request(
            answers=answers,
            hardware=measurements.hardware(answers.values),
            model=measurements.model(answers.values),
            data=measurements.data(answers.values),
        )
        result = recommend(request, book)
    screen.print()
    screen.print(recommendation(result, with_settings=False))
    screen.print()
    screen.print(recap(result))
    return result


def _save(step: Next, result: Recommendation, screen: Console) -> None:
    try:
        if step is Next.SAVE_PLAN:
            path = _free_name(PLAN_FILE)
            save_plan_of(result, path)
            screen.print(f"saved; start it with: sft-advisor launch {path}")
        else:
            from advisor.report.html import render

            path = _free_name(REPORT_FILE)
            write_file(path, render(result).encode())
            screen.print(f"saved: {path.resolve()}")
    except AdvisorError as error:
        screen.print(f"not saved: {error}", style="red")


def _free_name(path: Path) -> Path:
    """The name itself, or the first of plan-2.toml, plan-3.toml, ... that is not taken."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_stem(f"{path.stem}-{number}")
    return free


def _launch(result: Recommendation) -> int:
    from advisor.commands.launch import launch_plan

    if result.best is None:
        raise AssertionError("launch was offered without a plan")
    return launch_plan(result.best.plan, recommendation=result)


def _keep_for_later(wizard: Wizard, arguments: argparse.Namespace, screen: Console) -> None:
    if not wizard.given.explicit:
        screen.print("\nnothing was answered yet")
        return
    path = arguments.save_answers or (Path(arguments.answers) if arguments.answers else ANSWERS_FILE)
    if not os.access(path.parent, os.W_OK):
        path = Path.home() / ANSWERS_FILE
    write_file(path, to_toml(wizard.given.explicit).encode())
    screen.print(f"\nyour answers are kept in {path}; go on with")
    screen.print(f"  sft-advisor --answers {path}", style="bold")
