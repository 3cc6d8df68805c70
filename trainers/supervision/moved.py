"""A run that goes on elsewhere: from another folder, host or container, or over another number of processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from trainers.errors import PlanRefused
from trainers.examples.source import is_hub_id
from trainers.language import later, tr
from trainers.paths import absolute
from trainers.plan import Sharding, TrainingPlan, plan_problems
from trainers.run_folder.fingerprint import content_sha256, model_sha256, started_with

ABOVE, TAIL = 4, 3
"""Folders above the run that are searched, and the most last parts of the old path that are looked for in each."""


class _Part(NamedTuple):
    """Something that a run needs and that may lie elsewhere now."""

    content: str
    """The field of the run's fingerprint that has its digest."""
    digest: Callable[[Path], str | None]
    found: str
    gone: str
    fix: str = later("put it back there, or into {folder}")


MODEL = _Part(
    "model.content",
    model_sha256,
    later("the base model was found in {absolute}"),
    later("the base model is no longer at {source}"),
    later("say where it is: sft-advisor runs resume {run_dir} --model PATH"),
)
ADAPTER = _Part(
    "start_adapter_content",
    model_sha256,
    later("the adapter to go on from was found in {absolute}"),
    later("the adapter to go on from is no longer at {source}"),
)
DATA = _Part(
    "dataset.content",
    content_sha256,
    later("the training data were found in {absolute}"),
    later("the training data are no longer at {source}"),
    later("say where they are: sft-advisor runs resume {run_dir} --dataset PATH"),
)
HELD_BACK = _Part(
    "dataset.eval_content",
    content_sha256,
    later("the rows to judge by were found in {absolute}"),
    later("the rows to judge by are no longer at {source}"),
)


def with_files(
    plan: TrainingPlan, run_dir: Path, *, dataset: str | None = None, model: str | None = None
) -> tuple[TrainingPlan, str]:
    """The plan with its model and data where they are now, and a sentence that says so where they were moved.

    They are looked for where the plan says, then under the end of that path in the current folder, the run's, and
    those around it, as if all had been moved together; what is found must have the content that the run was started
    with. `dataset` and `model` are where the rows to train on and the base are, taken without a search; the start of
    the run compares their content. Raises PlanRefused when something is not found.
    """
    said: list[str] = []

    def now(source: str, part: _Part) -> str:
        if _is_there(source):
            return source
        place = _moved_to(source, run_dir, part)
        if place is None:
            raise _not_found(source, run_dir, part)
        said.append(tr(part.found, absolute=place))
        return str(place)

    base, adapter, data = plan.model.name, plan.start_adapter, plan.dataset
    if model is not None:
        base = absolute(model)
        said.append(tr("the base model is taken from {absolute}", absolute=base))
    elif Path(base).is_absolute():  # a plan that was started has its folders so, and hub ids as they are
        base = now(base, MODEL)
    if adapter and Path(adapter).is_absolute():
        adapter = now(adapter, ADAPTER)
    if data is not None and dataset is not None:
        data = msgspec.structs.replace(data, source=absolute(dataset))
        said.append(tr("the training data are taken from {absolute}", absolute=data.source))
    elif data is not None:
        data = msgspec.structs.replace(data, source=now(data.source, DATA))
    if data is not None and data.eval_source:
        data = msgspec.structs.replace(data, eval_source=now(data.eval_source, HELD_BACK))
    moved = msgspec.structs.replace(plan.model, name=base)
    return msgspec.structs.replace(plan, model=moved, start_adapter=adapter, dataset=data), "; ".join(said)


def _is_there(source: str) -> bool:
    return Path(source).expanduser().exists() or "*" in source or is_hub_id(source)


def _moved_to(source: str, run_dir: Path, part: _Part) -> Path | None:
    """Where a file or folder of the run's start is now; None where nobody knows."""
    digest, parts = started_with(run_dir, part.content), Path(source).parts
    tails = [Path(*parts[-count:]) for count in range(1, min(TAIL, len(parts)) + 1)]
    places = (folder / tail for folder in _folders(run_dir) for tail in tails)
    return next((place for place in places if digest and part.digest(place) == digest), None)


def _not_found(source: str, run_dir: Path, part: _Part) -> PlanRefused:
    return PlanRefused(
        tr(part.gone, source=source),
        why=tr("nor, with the same content, in {folders}", folders=", ".join(map(str, _folders(run_dir)))),
        fix=tr(part.fix, run_dir=run_dir, folder=run_dir.resolve()),
    )


def _folders(run_dir: Path) -> list[Path]:
    here = run_dir.resolve()
    return list(dict.fromkeys((Path.cwd(), here, *here.parents[:ABOVE])))


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
