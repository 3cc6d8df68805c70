"""Several adapters over one base, each from its own dataset: a loop over plans, and what stands against it.

    sft-advisor train multitask RUN_DIR support=support.toml sql=sql.toml

Each task is a run of its own under RUN_DIR/tasks/NAME, carried out by the supervisor, so that a second start goes on
where the first one ended. `trainers.training.compare` sets the results side by side. No torch.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from trainers import exit_codes
from trainers.errors import PlanRefused, RunError
from trainers.handover.serving import Served
from trainers.language import tr
from trainers.method import Method
from trainers.methods import backend
from trainers.plan import PlanError, TrainingPlan, load_plan
from trainers.run_folder import layout
from trainers.run_folder.fingerprint import hold_to_start
from trainers.run_folder.record import read_record

BASE = "base"
"""What the model without any adapter is called in the comparison."""
RESERVED = (BASE, "default")
"""No task can be called so: the second is the name that peft gives to an adapter without one."""

STOPS = (exit_codes.STOPPED, exit_codes.INTERRUPTED, 128 + signal.SIGTERM, 128 + signal.SIGHUP)
"""How a task ends that a person or a scheduler has stopped, in training or before: no other is started after it."""


class Adapters(msgspec.Struct, frozen=True, kw_only=True):
    """Content of adapters.json: every finished adapter of a folder on what every task kept back."""

    schema: Literal["sft-advisor/adapters/v1"] = "sft-advisor/adapters/v1"
    """Name and version of this document."""
    base: str
    """The base model that all of them stand on."""
    method: Method
    """How they were trained."""
    adapters: dict[str, str]
    """Task -> folder of its adapter, in the folder of the run."""
    losses: dict[str, dict[str, float | None]]
    """Task -> model (`base`, or the task of an adapter) -> nats per supervised token; null: nothing was kept back."""
    serve: dict[str, Served]
    """Engine -> how it holds all of them at once."""


def task_dir(run_dir: Path, name: str) -> Path:
    """The run folder of one task."""
    return run_dir / layout.TASKS / name


def is_trained(run_dir: Path, name: str) -> bool:
    """Whether the run of this task has finished."""
    return read_record(task_dir(run_dir, name) / layout.RUN).get("exit_state") == "done"


def trained_tasks(run_dir: Path) -> list[str]:
    """Names of the finished tasks in this folder, sorted."""
    return sorted(folder.name for folder in (run_dir / layout.TASKS).glob("*") if is_trained(run_dir, folder.name))


def obstacles(plans: Mapping[str, TrainingPlan], run_dir: Path) -> list[PlanRefused]:
    """Every reason why these plans cannot be tasks over one base in this folder; empty when they can."""
    plans = {name: plan.anchored() for name, plan in plans.items()}
    return [
        *_folder_obstacles(run_dir),
        *name_obstacles(plans),
        *(refusal for name, plan in plans.items() for refusal in _plan_obstacles(name, plan)),
        *_base_obstacles({**_started_plans(run_dir), **plans}),
        *(refusal for name, plan in plans.items() for refusal in _start_obstacles(plan, task_dir(run_dir, name))),
    ]


def name_obstacles(names: Iterable[str]) -> list[PlanRefused]:
    """The names that no task can have."""
    return [
        PlanRefused(
            tr("{name!r} cannot name an adapter", name=name),
            why=tr("the name is taken") if name in RESERVED else tr("peft and the servers take no such name"),
            fix=tr("use letters, digits and underscores, such as support_chat"),
        )
        for name in names
        if name in RESERVED or not name.isidentifier()
    ]


def train_tasks(
    plans: Mapping[str, TrainingPlan],
    run_dir: Path,
    carry_out: Callable[[TrainingPlan, Path], int],
    said: Callable[[str], object] = print,
) -> dict[str, int]:
    """Carry out every plan in its folder, one after the other; name -> exit code. What is trained stays as it is.

    A failed task does not stop the others, as each is a run of its own; one that was stopped does. Starting again
    goes on with what is left.
    Raises PlanRefused, before anything starts, for the first of `obstacles`.
    """
    for refusal in obstacles(plans, run_dir):
        raise refusal
    codes: dict[str, int] = {}
    for number, (name, plan) in enumerate(plans.items(), start=1):
        place = tr("task {number} of {num_plans}: {name}", number=number, num_plans=len(plans), name=name)
        if is_trained(run_dir, name):
            said(tr("{place} is trained already", place=place))
            codes[name] = exit_codes.DONE
            continue
        said(place)
        try:
            codes[name] = carry_out(plan, task_dir(run_dir, name))
        except RunError as error:
            said(tr("{name} did not start: {what}", name=name, what=error.what))
            codes[name] = error.exit_code
        if codes[name] in STOPS:
            break
    return codes


def _folder_obstacles(run_dir: Path) -> list[PlanRefused]:
    fix = tr("name a new folder, or the one that an earlier start of these tasks made")
    if run_dir.exists() and not run_dir.is_dir():
        return [
            PlanRefused(
                tr("{run_dir} is a file", run_dir=run_dir), why=tr("the runs of the tasks are folders in it"), fix=fix
            )
        ]
    if (run_dir / layout.PLAN).exists():
        return [
            PlanRefused(
                tr("{run_dir} is the folder of a single run", run_dir=run_dir),
                why=tr("it holds a {plan}", plan=layout.PLAN),
                fix=fix,
            )
        ]
    return []


def _plan_obstacles(name: str, plan: TrainingPlan) -> list[PlanRefused]:
    """What stands against this plan, whatever the others are."""
    found = []
    if not plan.trains_adapter:
        found.append(
            PlanRefused(
                tr("{name} would train the whole model", name=name),
                why=tr("several tasks share a base only when each trains an adapter beside it"),
                fix=tr("use lora or qlora for every task, or separate runs"),
            )
        )
    if plan.num_nodes > 1:
        found.append(
            PlanRefused(
                tr("{name} spans {num_nodes} nodes", name=name, num_nodes=plan.num_nodes),
                why=tr("the tasks are started one after the other, on one machine"),
                fix=tr("plan it for one node, or start it alone with sft-advisor launch on every node"),
            )
        )
    refusals = backend(plan.method).refusals(plan)
    return [
        *found,
        *(PlanRefused(f"{name}: {refusal}", fix=tr("change these fields of its plan")) for refusal in refusals),
    ]


def _started_plans(run_dir: Path) -> dict[str, TrainingPlan]:
    """The plans of all tasks that were ever started in this folder: their adapters are compared on the same base."""
    plans = {}
    for file in sorted((run_dir / layout.TASKS).glob(f"*/{layout.PLAN}")):
        with contextlib.suppress(PlanError):  # a damaged one is refused when its own task goes on
            plans[file.parent.name] = load_plan(file)
    return plans


def _base_obstacles(plans: Mapping[str, TrainingPlan]) -> list[PlanRefused]:
    kinds = {(plan.model.name, plan.model.revision, plan.model.gguf_file, plan.method) for plan in plans.values()}
    if len(kinds) < 2:
        return []
    listed = "; ".join(f"{name}: {plan.method} on {plan.model.name}" for name, plan in plans.items())
    return [
        PlanRefused(tr("the tasks do not share one base and method"), why=listed, fix=tr("plan them alike, or apart"))
    ]


def _start_obstacles(plan: TrainingPlan, folder: Path) -> list[PlanRefused]:
    """A task that was started goes on, or is kept, only with the plan and data that it was started with."""
    if not (folder / layout.FINGERPRINT).exists():
        return []
    try:
        hold_to_start(plan, folder)
    except PlanRefused as refusal:
        said = refusal.what.replace("this run", folder.name, 1)
        fix = tr(
            "put the earlier values back (they are in {folder}), or give the task another name",
            folder=folder / layout.FINGERPRINT,
        )
        return [PlanRefused(said, why=refusal.why, fix=fix)]
    return []
