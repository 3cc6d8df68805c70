"""Runs a plan: preflight, training in a child process, and a run folder with everything that happened.

Exit codes beyond the usual: 75 stopped with a checkpoint (resume it), 76 out of memory, 77 diverged, 78 disk full.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advisor.base.errors import InputError, MachineError, Problem, nearest
from advisor.base.language import tr
from advisor.commands.data import OTHER_MACHINE, add_allow
from advisor.commands.numbers import UnusableError
from advisor.commands.output import remark, write_file, write_json, write_text
from trainers.foreign.text import comment, shell_line
from trainers.network import LOCAL_TRACKERS, network_of, trackers_of
from trainers.remote import PLACES
from trainers.run_folder import layout

if TYPE_CHECKING:
    from advisor.decide.recommendation import Recommendation
    from advisor.report.documents import WouldRun
    from trainers.plan import TrainingPlan
    from trainers.supervision.command import Launch

CarryOut = Callable[..., int]
"""Starts a run and returns its exit code; called with the watchers `echo` and `on_event`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The plan and where it runs."""
    parser.add_argument("plan", metavar="PLAN.toml", type=Path)
    parser.add_argument(
        "--on",
        metavar="PLACE[:WHERE]",
        type=_place,
        help=f"run it elsewhere, follow it, bring the result here: {', '.join(PLACES)} (ssh:me@host)",
    )
    add_run_flags(parser)


def _place(text: str) -> str:
    """The place as it is. Raises UnusableError for one that there is not."""
    from trainers.errors import PlanRefused
    from trainers.remote.carry import split_place

    try:
        split_place(text)
    except PlanRefused as error:
        name = nearest(text.partition(":")[0], PLACES) or "slurm"
        example = "ssh:me@gpu-box" if name == "ssh" else name
        raise UnusableError(tr("{what}; {fix}", what=error.what, fix=error.fix), example) from error
    return text


def add_run_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of every command that starts one run."""
    parser.add_argument("--run-dir", metavar="DIR", type=Path, help="folder of this run (default: a new one)")
    add_start_flags(parser)
    parser.add_argument("--rendezvous", metavar="HOST:PORT", help="where the nodes of this run meet")
    parser.add_argument("--json", action="store_true", help="print the run's summary as JSON when it is over")


def add_start_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of how carefully a run starts, one run or several."""
    parser.add_argument("--dry-run", action="store_true", help="show what would run, and run nothing")
    add_allow(parser)
    parser.add_argument("--no-preflight", action="store_true", help="skip the trial of the longest batch")


def run(arguments: argparse.Namespace) -> int:
    """Load and launch."""
    from advisor.commands.planflags import read_plan

    plan = read_plan(arguments.plan)
    if arguments.on:
        from advisor.commands.elsewhere import launch_elsewhere

        require_usable(plan, arguments.allow)
        return launch_elsewhere(plan, arguments.on, run_dir=arguments.run_dir, dry_run=arguments.dry_run)
    return launch_plan(
        plan,
        run_dir=arguments.run_dir,
        dry_run=arguments.dry_run,
        preflight=not arguments.no_preflight,
        rendezvous=arguments.rendezvous,
        allow=arguments.allow,
        as_json=arguments.json,
        source=arguments.plan,
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
    as_json: bool = False,
    options: tuple[str, ...] = (),
    source: Path = Path(layout.PLAN),
) -> int:
    """Check machine and data, carry the plan out in a run folder and show how it goes. Return the run's exit code.

    `options` are further ones of the training process, such as `--until 12`; `source` is the file that the plan was
    read from, for commands that are proposed.
    Raises InputError when the plan names no dataset, or the data check blocks and `allow` does not accept it;
    MachineError when the plan was made for another machine and cannot run here.
    """
    from advisor.commands.following import new_run_dir
    from trainers.supervision.command import prepare

    require_dataset(plan)
    run_dir = run_dir or new_run_dir(plan)
    if dry_run:
        would = prepare(plan, run_dir, rendezvous=rendezvous)
        write_json(as_document(would)) if as_json else write_text(as_text(would))
        return 0
    require_startable(plan, allow, source)
    if recommendation is not None:
        keep_advice(recommendation, run_dir)
    how = {"preflight": preflight, "rendezvous": rendezvous, "options": options}
    return watch_through(run_dir, _starter(plan, run_dir, **how), as_json=as_json)


def watch_through(run_dir: Path, carry_out: CarryOut, *, as_json: bool = False) -> int:
    """Watch a run, and after it each next method while a run gives up for lack of memory. Return the last exit code.

    With `as_json` the summary of the last run is printed when it is over.

    The folder of a run that gave up stays as it is; its events name where the next one is.
    """
    from advisor.commands.following import watch
    from advisor.commands.nextmethod import next_plan
    from trainers.exit_codes import OUT_OF_MEMORY
    from trainers.run_folder.events import append_event
    from trainers.run_folder.summary import summarise

    code = watch(run_dir, carry_out)
    while code == OUT_OF_MEMORY and (following := next_plan(run_dir)):
        plan, recommendation = following
        folder = run_dir.with_name(f"{run_dir.name}-{plan.method}")
        message = tr(
            "the next method that fits is {method}: the task continues in {folder}", method=plan.method, folder=folder
        )
        remark(message)
        append_event(run_dir, "next_method", said=message)
        keep_advice(recommendation, folder)
        run_dir, code = folder, watch(folder, _starter(plan, folder))
    if as_json:
        write_json(summarise(run_dir))
    return code


def _starter(plan: TrainingPlan, run_dir: Path, **how: Any) -> CarryOut:
    from trainers.supervision.supervise import start

    return lambda **watchers: start(plan, run_dir, **({"preflight": True} | how), **watchers)


def keep_advice(recommendation: Recommendation, run_dir: Path) -> None:
    """Put the advice beside the plan: where memory runs out, its next method is taken."""
    from trainers.foreign.records import encode

    write_file(run_dir / layout.RECOMMENDATION, encode(recommendation))


def require_startable(plan: TrainingPlan, allow: Collection[str] = (), source: Path = Path(layout.PLAN)) -> None:
    """Say what should be known before a plan is started. Raises InputError and MachineError as `launch_plan` does."""
    require_dataset(plan)
    require_machine(plan, allow, source)
    require_no_own_code(plan)
    _say_who_is_told(plan)
    if blocking := data_problems(plan, allow):
        raise InputError(*blocking)


def require_dataset(plan: TrainingPlan) -> None:
    """Raise InputError when the plan names no dataset: advice needs none, a run does."""
    if plan.dataset is None:
        raise InputError(
            Problem(
                what=tr("the plan names no dataset"),
                why=tr("there is nothing to train on"),
                fix=tr('add a table [dataset] with source = "data/train.jsonl" to it, or plan again with --dataset'),
            )
        )


def require_usable(plan: TrainingPlan, allow: Collection[str] = ()) -> None:
    """Raise InputError for what stops a run anywhere: no dataset, a model's own code, what blocks in the data."""
    require_dataset(plan)
    require_no_own_code(plan)
    if blocking := data_problems(plan, allow):
        raise InputError(*blocking)


def require_machine(plan: TrainingPlan, allow: Collection[str] = (), source: Path = Path(layout.PLAN)) -> None:
    """Raise MachineError when the plan was made for a machine that this one cannot be; say what differs."""
    from advisor.decide.made_for import judge_machine
    from advisor.probe import probe

    if plan.made_for is None:
        return
    verdict = judge_machine(plan, probe(output=Path(plan.output_dir)))
    for remark_text in verdict.remarks:
        remark(remark_text)
    if not verdict.blocking:
        return
    if OTHER_MACHINE in allow:
        remark(
            tr(
                "accepted by --allow {other_machine}: {blocking}",
                other_machine=OTHER_MACHINE,
                blocking="; ".join(verdict.blocking),
            )
        )
        return
    raise MachineError(
        Problem(
            what=tr("the plan does not suit this machine"),
            why="; ".join(verdict.blocking),
            fix=(
                tr(
                    "plan again for this machine: {planning}; or carry the plan to one like that: "
                    "{carrying}; --allow {other_machine} starts it here all the same",
                    planning=_planning(plan),
                    carrying=shell_line(["sft-advisor", "export", str(source), "--to", "slurm"]),
                    other_machine=OTHER_MACHINE,
                )
            ),
        )
    )


def require_no_own_code(plan: TrainingPlan) -> None:
    """Raise InputError for a model folder that runs only with its own program code, before anything is started."""
    from advisor.model import resolve_model
    from advisor.model.use import refusal

    if not (Path(plan.model.name) / "config.json").is_file():
        return
    model = resolve_model(plan.model.name)
    if model.use == "own_code" and (problem := refusal(model)):
        raise InputError(problem)


def _say_who_is_told(plan: TrainingPlan) -> None:
    """A plan may come from somebody else, and a tracker writes to the account of whoever starts it."""
    told = [name for name in trackers_of(plan, os.environ) if name not in LOCAL_TRACKERS]
    if told and network_of(plan, os.environ) == "all":
        names = ", ".join(told)
        remark(
            tr(
                "this run reports to {names} from your account, as the plan says; --network none keeps it here",
                names=names,
            )
        )


def _planning(plan: TrainingPlan) -> str:
    """The command that plans the same training for the machine it runs on."""
    words = ["sft-advisor", "--non-interactive", "--model", plan.model.name]
    words += ["--dataset", plan.dataset.source] if plan.dataset else []
    return shell_line([*words, "--save-plan", layout.PLAN])


def data_problems(plan: TrainingPlan, allow: Collection[str], task: str = "") -> list[Problem]:
    """The problems in the data that stop a run. Mere warnings are printed at once, with the task's name if given."""
    from advisor.commands.data import check_plan, problem_of

    verdict = check_plan(plan, allow)
    if verdict is None:
        return []
    for finding in verdict.findings:
        if finding.level == "warn":
            said = tr("data of {task}: {what}") if task else tr("data: {what}")
            remark(said.format(task=task, what=finding.what))
    return [problem_of(finding) for finding in verdict.blocking]


def as_document(launch: Launch) -> WouldRun:
    """The same as `as_text`, for programs."""
    from advisor.report.documents import WouldRun

    files = {str(path): content for path, content in launch.files.items()}
    return WouldRun(files=files, network=launch.network, command=launch.as_shell())


def as_text(launch: Launch) -> str:
    """What a start would write and run, for a dry run."""
    files = [f"# {comment(path)}\n{content.rstrip()}\n" for path, content in launch.files.items()]
    return "\n".join([*files, f"# network: {comment(launch.network)}", "# command", launch.as_shell()])
