"""Trains several adapters over one base, each from its own dataset, and compares them on every task.

    sft-advisor train multitask runs/desk support=support.toml sql=sql.toml

Each task is a run of its own under RUN_DIR/tasks/NAME. The same command continues with what is left; without tasks it
only compares what is trained. The exit code is that of launch for the task that was stopped, else of the first that
failed.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.base.errors import EXIT_OK, InputError, Problem
from advisor.base.language import tr
from advisor.commands.launch import add_start_flags
from advisor.commands.output import remark
from trainers.run_folder import layout

if TYPE_CHECKING:
    from trainers.plan import TrainingPlan

COMPARING = "trainers.training.compare"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The folder, the tasks with their plans, and how they start."""
    parser.add_argument("run_dir", metavar="RUN_DIR", type=Path, help="folder of all tasks together")
    parser.add_argument(
        "tasks", metavar="NAME=PLAN.toml", nargs="*", help="a task and its plan (none: compare what is trained)"
    )
    add_start_flags(parser)
    parser.add_argument("--json", action="store_true", help="the comparison as JSON, as in RUN_DIR/adapters.json")


def run(arguments: argparse.Namespace) -> int:
    """Check everything, train what is left, compare."""
    run_dir: Path = arguments.run_dir
    plans = _checked_plans(arguments.tasks, run_dir)
    if arguments.dry_run:
        _show_dry_run(plans, run_dir)
        return EXIT_OK
    _require_good_data(plans, arguments.allow)
    code = _train(plans, run_dir, preflight=not arguments.no_preflight)
    return code or _compare(run_dir, as_json=arguments.json)


def _checked_plans(tasks: Sequence[str], run_dir: Path) -> dict[str, TrainingPlan]:
    """Task -> plan, in the order given. Raises InputError with everything that is wrong with any of them."""
    from trainers.supervision.multitask import name_obstacles, obstacles

    plans: dict[str, TrainingPlan] = {}
    unread: list[str] = []
    problems: list[Problem] = []
    for task in tasks:
        name, mark, file = task.partition("=")
        if not mark:
            problem = Problem(
                what=tr("{task!r} is not a task", task=task),
                why=tr("a task has a name and a plan"),
                fix=_example(task),
            )
            problems.append(problem)
        elif name in plans or name in unread:
            problems.append(
                Problem(what=tr("{name} is given twice", name=name), fix=tr("give each task a name of its own"))
            )
        else:
            try:
                plans[name] = _read(Path(file))
            except InputError as error:
                unread.append(name)
                problems += [_of_task(name, problem) for problem in error.problems]
    refusals = [*name_obstacles(unread), *obstacles(plans, run_dir)]
    problems += [Problem(what=refusal.what, why=refusal.why, fix=refusal.fix) for refusal in refusals]
    if problems:
        raise InputError(*problems)
    return plans


def _read(file: Path) -> TrainingPlan:
    from advisor.commands.launch import require_dataset
    from advisor.commands.planflags import read_plan

    plan = read_plan(file)
    require_dataset(plan)
    return plan


def _example(task: str) -> str:
    plan = Path(task)
    return f"{plan.stem}={plan}" if plan.suffix == ".toml" else f"{plan.stem or 'support'}=PLAN.toml"


def _of_task(name: str, problem: Problem) -> Problem:
    return Problem(what=f"{name}: {problem.what}", why=problem.why, fix=problem.fix, where=problem.where)


def _require_good_data(plans: Mapping[str, TrainingPlan], allow: Collection[str]) -> None:
    """The verdict of launch on every dataset. Raises InputError with what blocks any of the tasks."""
    from advisor.commands.launch import data_problems

    problems: list[Problem] = []
    for name, plan in plans.items():
        try:
            found = data_problems(plan, allow, task=name)
        except InputError as error:
            found = list(error.problems)
        problems += [_of_task(name, problem) for problem in found]
    if problems:
        raise InputError(*problems)


def _show_dry_run(plans: Mapping[str, TrainingPlan], run_dir: Path) -> None:
    from advisor.commands.launch import as_text
    from advisor.commands.output import write_text
    from trainers.foreign.text import shell_line
    from trainers.python import module_command
    from trainers.supervision.command import prepare
    from trainers.supervision.multitask import is_trained, task_dir

    for name, plan in plans.items():
        if is_trained(run_dir, name):
            write_text(tr("# task {name} is trained already\n\n", name=name))
        else:
            write_text(f"# task {name}\n{as_text(prepare(plan, task_dir(run_dir, name)))}\n\n")
    write_text(f"# comparison\n{shell_line(module_command(COMPARING, run_dir))}")


def _train(plans: Mapping[str, TrainingPlan], run_dir: Path, *, preflight: bool) -> int:
    """Train what is not trained yet, shown as launch shows a run; the exit code of the first that did not finish."""
    from advisor.commands.following import watch
    from trainers.supervision.multitask import train_tasks
    from trainers.supervision.supervise import start

    def carry_out(plan: TrainingPlan, folder: Path) -> int:
        return watch(folder, lambda **watchers: start(plan, folder, preflight=preflight, **watchers))

    codes = train_tasks(plans, run_dir, carry_out, remark)
    unfinished = [name for name in plans if codes.get(name) != EXIT_OK]
    return _report_unfinished(unfinished, codes, run_dir) if unfinished else EXIT_OK


def _report_unfinished(names: Sequence[str], codes: Mapping[str, int], run_dir: Path) -> int:
    """Say which tasks are not trained and how to continue. Return the exit code of the stop or the first failure."""
    from trainers.supervision.multitask import STOPS

    listed = ", ".join(f"{name} ({_state(codes.get(name))})" for name in names)
    remark(tr("error: not finished: {listed}", listed=listed))
    remark(
        tr(
            "  why: {train_log} of each, under {run_dir}, shows what happened",
            train_log=layout.TRAIN_LOG,
            run_dir=run_dir / layout.TASKS,
        )
    )
    remark(tr("  try: the same command again continues with what is left; without tasks it compares what is trained"))
    return next((code for code in codes.values() if code in STOPS), codes[names[0]])


def _state(code: int | None) -> str:
    """How a task stands, in words. None: its turn had not come."""
    from trainers.exit_codes import STATES
    from trainers.supervision.multitask import STOPS

    if code is None:
        return tr("not started")
    if code in STOPS:
        return "stopped"
    return STATES.get(code, f"exit code {code}").replace("_", " ")


def _compare(run_dir: Path, *, as_json: bool) -> int:
    """Compare the trained adapters in a child process and show the table."""
    import msgspec

    from advisor.commands.children import read_child
    from advisor.commands.output import show, write_json

    code, printed = read_child(COMPARING, run_dir)
    if code != EXIT_OK:
        return code
    found = msgspec.json.decode(printed)
    if as_json:
        write_json(found)
    else:
        from advisor.report.tasks import comparison

        show(comparison(found))
    return EXIT_OK
