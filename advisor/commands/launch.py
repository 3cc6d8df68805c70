"""Runs a plan: preflight, training in a child process, and a run folder with everything that happened.

Exit codes beyond the usual: 75 stopped with a checkpoint (resume it), 76 out of memory, 77 diverged, 78 disk full.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.commands.output import remark, write_file, write_text
from advisor.errors import InputError, Problem

if TYPE_CHECKING:
    from advisor.recommendation import Recommendation
    from trainers.launch.local import Launch
    from trainers.plan import TrainingPlan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The plan and where it runs."""
    parser.add_argument("plan", metavar="PLAN.toml", type=Path)
    add_run_flags(parser)


def add_run_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of every command that starts one run."""
    parser.add_argument("--run-dir", metavar="DIR", type=Path, help="folder of this run (default: a new one)")
    add_start_flags(parser)
    parser.add_argument("--rendezvous", metavar="HOST:PORT", help="where the nodes of this run meet")


def add_start_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of how carefully a run starts, one run or several."""
    parser.add_argument("--dry-run", action="store_true", help="show what would run, and run nothing")
    parser.add_argument(
        "--allow", metavar="FINDING", action="append", default=[], help="accept a finding of the data check, or all"
    )
    parser.add_argument("--no-preflight", action="store_true", help="skip the trial of the longest batch")


def run(arguments: argparse.Namespace) -> int:
    """Load and launch."""
    from advisor.commands.planflags import read_plan

    return launch_plan(
        read_plan(arguments.plan),
        run_dir=arguments.run_dir,
        dry_run=arguments.dry_run,
        preflight=not arguments.no_preflight,
        rendezvous=arguments.rendezvous,
        allow=arguments.allow,
    )


def launch_plan(
    plan: TrainingPlan,
    *,
    run_dir: Path | None = None,
    dry_run: bool = False,
    preflight: bool = True,
    rendezvous: str | None = None,
    allow: Collection[str] = (),
    recommendation: Recommendation | None = None,
) -> int:
    """Check the data, carry the plan out in a run folder and show how it goes; gives the run's exit code.

    Raises InputError when the plan names no dataset, or the data check blocks and `allow` does not accept it.
    """
    from advisor.commands.nextmethod import watch_through
    from advisor.commands.runs import new_run_dir
    from trainers.launch.local import prepare, start

    require_dataset(plan)
    run_dir = run_dir or new_run_dir(plan)
    if dry_run:
        write_text(as_text(prepare(plan, run_dir, rendezvous=rendezvous)))
        return 0
    if blocking := data_problems(plan, allow):
        raise InputError(*blocking)
    if recommendation is not None:
        from advisor.report.json import encode

        write_file(run_dir / "recommendation.json", encode(recommendation))

    def carry_out(**watchers: object) -> int:
        code = start(plan, run_dir, preflight=preflight, rendezvous=rendezvous, **watchers)  # type: ignore[arg-type]
        if not isinstance(code, int):
            raise AssertionError("a start that is no dry run gives an exit code")
        return code

    return watch_through(run_dir, carry_out)


def require_dataset(plan: TrainingPlan) -> None:
    """Raise InputError when the plan names no dataset: advice needs none, a run does."""
    if plan.dataset is None:
        raise InputError(
            Problem(
                what="the plan names no dataset",
                why="there is nothing to train on",
                fix='add a table [dataset] with source = "data/train.jsonl" to it, or plan again with --dataset',
            )
        )


def data_problems(plan: TrainingPlan, allow: Collection[str], task: str = "") -> list[Problem]:
    """What in the data stops a run; what the check only warns of is said at once, with the task's name if given."""
    from advisor.commands.data import check_plan, problem_of

    verdict = check_plan(plan, allow)
    if verdict is None:
        return []
    for finding in verdict.findings:
        if finding.level == "warn":
            remark(f"data{f' of {task}' if task else ''}: {finding.what}")
    return [problem_of(finding) for finding in verdict.blocking]


def as_text(launch: Launch) -> str:
    """What a start would write and run, for a dry run."""
    files = [f"# {path}\n{content.rstrip()}\n" for path, content in launch.files.items()]
    return "\n".join([*files, "# command", launch.as_shell()])
