"""Going on with the run in a folder: by its plan, from its newest complete checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainers.errors import PlanRefused
from trainers.language import tr
from trainers.plan import Sharding, load_plan
from trainers.run_folder import layout
from trainers.run_folder.record import is_finished
from trainers.supervision.moved import with_files, with_processes
from trainers.supervision.supervise import Supervisor


def resume_run(
    run_dir: Path,
    *,
    dataset: str | None = None,
    model: str | None = None,
    processes: int | None = None,
    sharding: Sharding | None = None,
    **options: Any,
) -> int:
    """Go on with the run in this folder by the plan that is in it. Return an exit code as `carry_out` does.

    `dataset` and `model` are where the training data and the base are now, if they were moved; `processes` and
    `sharding` how many go on with it and how they share the work, if that is another than before. Raises PlanRefused
    when the folder holds no plan, or its data or model are neither where the plan says nor beside the run.
    """
    if is_finished(run_dir):
        return Supervisor(run_dir, **options).say_finished()
    if not (run_dir / layout.PLAN).is_file():
        raise PlanRefused(
            tr("{run_dir} holds no {plan}", run_dir=run_dir, plan=layout.PLAN),
            fix=tr("name the folder of a run that was started"),
        )
    supervisor = Supervisor(run_dir, **options)
    plan, where = with_files(load_plan(run_dir / layout.PLAN), run_dir, dataset=dataset, model=model)
    if where:
        supervisor.say(where)
    if processes is not None or sharding is not None:
        plan = with_processes(plan, processes or plan.num_gpus, sharding)
    return supervisor.carry_out(plan)
