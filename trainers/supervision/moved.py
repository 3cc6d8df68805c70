"""A run that goes on elsewhere: from another folder, host or container, or over another number of processes."""

from __future__ import annotations

from pathlib import Path

import msgspec

from trainers.errors import PlanRefused
from trainers.examples.source import is_hub_id
from trainers.language import tr
from trainers.paths import absolute
from trainers.plan import DatasetRef, Sharding, TrainingPlan, plan_problems
from trainers.run_folder.fingerprint import content_sha256, started_with_content


def with_data(plan: TrainingPlan, run_dir: Path, dataset: str | None = None) -> tuple[TrainingPlan, str]:
    """The plan with its training data where they are now, and a sentence that says so where they were moved.

    They are looked for where the plan says, then under the same name in the current folder, the run's, and the one
    around it; what is found there must have the content that the run was started with. `dataset` is taken without a
    search; the start of the run compares its content. Raises PlanRefused when nothing is found.
    """
    if plan.dataset is None:
        return plan, ""
    if dataset is not None:
        return _moved(plan, plan.dataset, dataset), tr(
            "the training data are taken from {absolute}", absolute=absolute(dataset)
        )
    source = plan.dataset.source
    if Path(source).expanduser().exists() or "*" in source or is_hub_id(source):
        return plan, ""
    digest = started_with_content(run_dir)
    places = [folder / Path(source).name for folder in (Path(), run_dir, run_dir.parent)]
    for place in places:
        if digest and content_sha256(place) == digest:
            return _moved(plan, plan.dataset, str(place)), tr(
                "the training data were found in {absolute}", absolute=place.absolute()
            )
    raise PlanRefused(
        tr("the training data are no longer at {source}", source=source),
        why=tr(
            "nor, with the same content, at {places}", places=", ".join(str(place.absolute()) for place in places)
        ),
        fix=tr("say where they are: sft-advisor runs resume {run_dir} --dataset PATH", run_dir=run_dir),
    )


def _moved(plan: TrainingPlan, reference: DatasetRef, source: str) -> TrainingPlan:
    return msgspec.structs.replace(plan, dataset=msgspec.structs.replace(reference, source=absolute(source)))


def with_processes(plan: TrainingPlan, count: int, sharding: Sharding | None = None) -> TrainingPlan:
    """The same training over `count` processes of one node: each step learns from as many examples as before.

    `sharding` is how they share the work (None: as the plan says, and `ddp` where it was of one process). Raises
    PlanRefused where the examples of a step cannot be spread evenly.
    """
    if count == plan.num_gpus and sharding in (None, plan.sharding):
        return plan
    whole = plan.global_batch_size
    if whole % count:
        raise PlanRefused(
            tr("{whole} examples of a step cannot be spread over {count} processes", whole=whole, count=count),
            why=tr("a run that goes on keeps the number of examples that each step learns from"),
            fix=tr("take a number of processes that divides {whole}", whole=whole),
        )
    share = whole // count
    rows = next(size for size in range(min(plan.micro_batch_size, share), 0, -1) if share % size == 0)
    changed = msgspec.structs.replace(
        plan,
        num_gpus=count,
        num_nodes=1,
        device_uuids=(),
        micro_batch_size=rows,
        gradient_accumulation_steps=share // rows,
        sharding="none" if count == 1 else sharding or (plan.sharding if plan.sharding != "none" else "ddp"),
        cpu_offload=plan.cpu_offload and count > 1,
        predicted_peak_bytes=None,
        made_for=None,
    )
    if problems := plan_problems(changed):
        raise PlanRefused("; ".join(problems), fix=tr("take another number of processes, or name --sharding"))
    return changed
