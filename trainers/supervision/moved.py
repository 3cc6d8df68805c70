"""A run that goes on elsewhere: from another folder, host or container, or over another number of processes."""

from __future__ import annotations

from pathlib import Path

import msgspec

from trainers.errors import PlanRefused
from trainers.examples.source import is_hub_id
from trainers.language import tr
from trainers.paths import absolute
from trainers.plan import Sharding, TrainingPlan, plan_problems
from trainers.run_folder.fingerprint import content_sha256, started_with

ABOVE, TAIL = 4, 3
"""Folders above the run that are searched, and the most last parts of the old path that are looked for in each."""


def with_data(plan: TrainingPlan, run_dir: Path, dataset: str | None = None) -> tuple[TrainingPlan, str]:
    """The plan with its data where they are now, and a sentence that says so where they were moved.

    They are looked for where the plan says, then under the end of that path in the current folder, the run's, and
    those around it, as if all had been moved together; what is found must have the content that the run was started
    with. `dataset` is where the rows to train on are, taken without a search; the start of the run compares its
    content. Raises PlanRefused when nothing is found.
    """
    reference, said = plan.dataset, []
    if reference is None:
        return plan, ""
    if dataset is not None:
        reference = msgspec.structs.replace(reference, source=absolute(dataset))
        said.append(tr("the training data are taken from {absolute}", absolute=reference.source))
    elif now := _moved_to(reference.source, run_dir, "dataset.content"):
        reference = msgspec.structs.replace(reference, source=str(now))
        said.append(tr("the training data were found in {absolute}", absolute=now))
    elif not _is_there(reference.source):
        raise PlanRefused(
            tr("the training data are no longer at {source}", source=reference.source),
            why=_not_there(run_dir),
            fix=tr("say where they are: sft-advisor runs resume {run_dir} --dataset PATH", run_dir=run_dir),
        )
    held = reference.eval_source
    if held and (now := _moved_to(held, run_dir, "dataset.eval_content")):
        reference = msgspec.structs.replace(reference, eval_source=str(now))
        said.append(tr("the rows to judge by were found in {absolute}", absolute=now))
    elif held and not _is_there(held):
        raise PlanRefused(
            tr("the rows to judge by are no longer at {source}", source=held),
            why=_not_there(run_dir),
            fix=tr("put them back there, or into {folder}", folder=run_dir.resolve()),
        )
    return msgspec.structs.replace(plan, dataset=reference), "; ".join(said)


def _is_there(source: str) -> bool:
    return Path(source).expanduser().exists() or "*" in source or is_hub_id(source)


def _moved_to(source: str, run_dir: Path, content: str) -> Path | None:
    """Where a file or folder of the run's start is now; None where it has not moved, or nobody knows whereto."""
    digest = None if _is_there(source) else started_with(run_dir, content)
    parts = Path(source).parts
    tails = [Path(*parts[-count:]) for count in range(1, min(TAIL, len(parts)) + 1)]
    places = (folder / tail for folder in _folders(run_dir) for tail in tails)
    return next((place for place in places if digest and content_sha256(place) == digest), None)


def _folders(run_dir: Path) -> list[Path]:
    here = run_dir.resolve()
    return list(dict.fromkeys((Path.cwd(), here, *here.parents[:ABOVE])))


def _not_there(run_dir: Path) -> str:
    return tr("nor, with the same content, in {folders}", folders=", ".join(map(str, _folders(run_dir))))


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
