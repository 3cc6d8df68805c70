"""The wizard from start to end: ask, decide, show, then launch, save, change or quit."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.ask.answers import Layer, complete, parse, to_toml
from advisor.ask.question import Measured
from advisor.base.errors import EXIT_INTERRUPTED, EXIT_OK, AdvisorError, InputError
from advisor.base.language import tr
from advisor.commands.answer import EXIT_CODES, save_plan_of, write_files, write_report
from advisor.commands.measure import Measurements, Request, recommend
from advisor.commands.output import console, write_file
from advisor.commands.sharpen import difference, effects_of, open_effects
from advisor.commands.wizard.form import Next, Wizard
from advisor.commands.wizard.keys import DRAWN
from advisor.commands.wizard.live import has_room
from advisor.commands.wizard.plain import PLAIN, is_asked_for
from advisor.commands.wizard.sheet import Effects, Judge, Judged
from advisor.report import words
from advisor.report.screen import is_plain
from trainers import exit_codes
from trainers.errors import RunError
from trainers.foreign.text import shell_line
from trainers.plan import PlanError
from trainers.run_folder import layout

if TYPE_CHECKING:
    from rich.console import Console

    from advisor.ask.answers import Answers
    from advisor.ask.question import Question
    from advisor.decide.recommendation import Recommendation
    from rules.engine import RuleBook

ANSWERS_FILE = Path("sft-advisor-answers.toml")
PLAN_FILE = Path(layout.PLAN)
REPORT_FILE = Path("report.html")


def interview(layers: Sequence[Layer], arguments: argparse.Namespace) -> int:
    """Hold the conversation. Return the verdict's exit code, the run's when one was launched, 130 after Ctrl-C."""
    from advisor.commands.rulebook import read_rule_book

    given, problems = parse(*layers)
    if problems:
        raise InputError(*problems)
    screen = console(plain=arguments.plain or is_asked_for(os.environ))
    book = read_rule_book(arguments.rules)
    measurements = Measurements()
    wizard = Wizard(given, measurements, screen, PLAIN if is_plain(screen) else DRAWN)
    screen.print("sft-advisor", style="bold", end="")
    screen.print(tr("  how to fine-tune your model, whether it fits, and the run itself"))
    try:
        return _converse(wizard, measurements, book, arguments, screen)
    except KeyboardInterrupt:
        _keep_for_later(wizard, arguments, screen)
        return EXIT_INTERRUPTED
    except Exception:
        # whatever went wrong, what a person typed is kept
        _keep_for_later(wizard, arguments, screen)
        raise


def _converse(
    wizard: Wizard, measurements: Measurements, book: RuleBook, arguments: argparse.Namespace, screen: Console
) -> int:
    from advisor.report.terminal import recommendation

    answers, before = wizard.ask_first(), None
    while True:
        request, result = _decide(answers, measurements, book, screen, arguments.full)
        if before is not None and (changed := difference(before, result)):
            screen.print(tr("changed: {difference}", difference=changed), style="bold yellow")
        before = result
        write_files(arguments, answers.explicit, result, book)
        code, obstacle = EXIT_CODES[result.verdict], launch_obstacle(result)
        while (step := wizard.choose_next(result.best is not None, obstacle)) not in (Next.CHANGE, Next.SHARPEN):
            if step is Next.QUIT:
                return code
            if step is Next.LAUNCH and wizard.confirm_launch(run_cost(result)):
                code = _launch(result, screen)
                if code in (EXIT_OK, EXIT_INTERRUPTED):
                    return code
            elif step is Next.WHOLE:
                screen.print(recommendation(result))
            elif step is not Next.LAUNCH:
                _save(step, result, book, screen)
        if step is Next.SHARPEN and screen.is_terminal and has_room():
            seen = Measured(hardware=request.hardware, model=request.model, data=request.data)
            judged = Judged(wizard.given, request.answers, seen, result)
            answers = wizard.change_on_sheet(judged, *live_judgement(measurements, book))
        elif step is Next.SHARPEN:
            with screen.status(tr("trying the answers that are open")):
                effects = open_effects(request, result, book)
            answers = wizard.sharpen(effects)
        else:
            answers = wizard.change()


def live_judgement(measurements: Measurements, book: RuleBook) -> tuple[Judge, Effects]:
    """What judges the answers of the live sheet, and what tries the answers to one of its questions."""

    def judge(given: Answers) -> Judged:
        values = given.values
        hardware, model = measurements.hardware(values), measurements.model(values)
        measured = Measured(hardware=hardware, model=model, data=measurements.data(values))
        answers = complete(given, measured)
        found = Request(answers=answers, hardware=hardware, model=model, data=measured.data)
        return Judged(given, answers, measured, recommend(found, book, search_changes=False))

    def effects(judged: Judged, question: Question) -> dict[str, str]:
        seen = judged.measured
        if seen.hardware is None or seen.model is None:
            return {}
        asked = Request(answers=judged.answers, hardware=seen.hardware, model=seen.model, data=seen.data)
        return effects_of(question, asked, judged.result, book)

    return judge, effects


def _decide(
    answers: Answers, measurements: Measurements, book: RuleBook, screen: Console, full: bool
) -> tuple[Request, Recommendation]:
    from advisor.report.summary import summary
    from advisor.report.terminal import recommendation

    with screen.status(tr("comparing plans")):
        request = Request(
            answers=answers,
            hardware=measurements.hardware(answers.values),
            model=measurements.model(answers.values),
            data=measurements.data(answers.values),
        )
        result = recommend(request, book)
    screen.print()
    screen.print(recommendation(result) if full else summary(result))
    return request, result


def _save(step: Next, result: Recommendation, book: RuleBook, screen: Console) -> None:
    try:
        if step is Next.SAVE_PLAN:
            path = _free_name(PLAN_FILE)
            save_plan_of(result, path)
            screen.print(tr("saved; start it with: sft-advisor launch {path}", path=path))
        else:
            path = _free_name(REPORT_FILE)
            write_report(result, book, path)
            screen.print(tr("saved: {path}", path=path.resolve()))
    except AdvisorError as error:
        screen.print(tr("not saved: {error}", error=error), style="red")


def _free_name(path: Path) -> Path:
    """The name itself, or the first of plan-2.toml, plan-3.toml, ... that is not taken."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_stem(f"{path.stem}-{number}")
    return free


def launch_obstacle(result: Recommendation) -> str | None:
    """Why the plan cannot be started from here, with the way on; None where it can."""
    if result.best is None:
        return tr("there is no plan")
    if result.best.plan.dataset is None:
        return tr("no dataset was named; --dataset DATA, or `{choice}`", choice=tr(Next.CHANGE.value))
    software = result.hardware.software
    if result.hardware.origin != "measured" or software is None:
        start = shell_line(["sft-advisor", "launch", layout.PLAN])
        return tr("it was planned for another machine; save the plan and start it there: {command}", command=start)
    if software.torch is None or software.trl is None:
        return tr("torch and TRL are not installed: pip install 'sft-advisor[train]'")
    return None


def run_cost(result: Recommendation) -> str:
    """What a start takes, in one line: hours, money, bytes."""
    if result.best is None:
        return ""
    lines = (words.time_lines(result.best), words.offer_lines(result.best, result.hardware))
    disk = words.disk_lines(result.best)[0]
    return "; ".join([*(each[0] for each in lines if each), disk])


def _launch(result: Recommendation, screen: Console) -> int:
    """Start the run and return its exit code; whatever stops it is said, and the menu comes back."""
    from advisor.commands.failures import explain_failure
    from advisor.commands.launch import launch_plan

    if result.best is None:
        raise AssertionError("launch was offered without a plan")
    try:
        code = launch_plan(result.best.plan, recommendation=result)
    except (AdvisorError, RunError, PlanError) as error:
        lines, code = explain_failure(error)
        screen.print("\n".join(lines))
    if code != EXIT_OK:
        screen.print(
            tr("exit code {code}: {meaning}", code=code, meaning=tr(exit_codes.MEANINGS.get(code, "the run failed"))),
            style="yellow",
        )
    return code


def _keep_for_later(wizard: Wizard, arguments: argparse.Namespace, screen: Console) -> None:
    if not wizard.given.explicit:
        screen.print("\n" + tr("nothing was answered yet"))
        return
    path = arguments.save_answers or (Path(arguments.answers) if arguments.answers else ANSWERS_FILE)
    if not os.access(path.parent, os.W_OK):
        path = Path.home() / ANSWERS_FILE
    write_file(path, to_toml(wizard.given.explicit).encode())
    screen.print("\n" + tr("your answers are kept in {path}; go on with", path=path))
    screen.print(f"  sft-advisor --answers {path}", style="bold")
