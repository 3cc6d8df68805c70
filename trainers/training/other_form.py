"""A checkpoint of other processes: written by one and gone on with by several, in shards or not, or the reverse.

Whole weights are the same in each form; what differs is the file they lie in, and how the optimizer's state is keyed:
by position (one process, DDP) or by name (FSDP2, the whole state in one file). DeepSpeed's own form holds one part a
process, and is read by as many processes of DeepSpeed only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch

from trainers.errors import PlanRefused
from trainers.language import tr
from trainers.run_folder.checkpoint import written_by
from trainers.training.gather import plain_name

if TYPE_CHECKING:
    from trainers.plan import TrainingPlan

FSDP_WEIGHTS, FSDP_STATE, PLAIN_STATE = "pytorch_model_fsdp.bin", "optimizer.bin", "optimizer.pt"
"""Names that transformers and accelerate give their files."""

State = dict[str, Any]


def is_in_shards(checkpoint: Path) -> bool:
    """Whether FSDP wrote it."""
    return (checkpoint / FSDP_WEIGHTS).is_file()


def require_readable(checkpoint: Path, plan: TrainingPlan) -> None:
    """Raise PlanRefused for a checkpoint that this plan's processes cannot read: DeepSpeed's, by anything else."""
    theirs = any(checkpoint.glob("global_step*"))
    ours = plan.sharding in ("zero2", "zero3")
    processes = written_by(checkpoint)
    if theirs == ours and (not theirs or processes in (None, plan.num_gpus)):
        return
    kinds = tr("DeepSpeed over {count} processes", count=processes or "?"), tr("processes without DeepSpeed")
    raise PlanRefused(
        tr("{name} was written by {kind}", name=checkpoint.name, kind=kinds[0] if theirs else kinds[1]),
        why=tr("DeepSpeed keeps a part for each process, which only as many processes of DeepSpeed can read"),
        fix=tr("put sharding and num_gpus back, or start into a new --run-dir"),
    )


@contextmanager
def without_shards(checkpoint: Path) -> Iterator[Path]:
    """The checkpoint as a folder of links in which nothing says that FSDP wrote it."""
    with TemporaryDirectory(prefix="checkpoint-") as name:
        folder = Path(name)
        for file in checkpoint.iterdir():
            if file.name != FSDP_WEIGHTS:
                (folder / file.name).symlink_to(file.resolve())
        yield folder


@contextmanager
def state_in_form(
    checkpoint: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, *, in_shards: bool
) -> Iterator[Path]:
    """A folder with the checkpoint's scheduler, and its optimizer state as a run in shards, or one without, reads it.

    `optimizer` is the one that is to take it, over the parameters of `model`.
    """
    names = _names(model, optimizer)
    with TemporaryDirectory(prefix="checkpoint-") as name:
        folder = Path(name)
        (folder / "scheduler.pt").symlink_to((checkpoint / "scheduler.pt").resolve())
        if in_shards:
            state = by_name(_read(checkpoint / PLAIN_STATE), names)
            torch.save(state, folder / FSDP_STATE)
        else:
            state = by_position(_read(checkpoint / FSDP_STATE), names)
            torch.save(state, folder / PLAIN_STATE)
        yield folder


def by_name(state: State, names: list[list[str]]) -> State:
    """State that is keyed by position as the same keyed by name. `names`: of each group's parameters, in order."""
    flat = [name for group in names for name in group]
    return {
        "state": {flat[place]: held for place, held in state["state"].items()},
        "param_groups": [
            {**group, "params": called} for group, called in zip(state["param_groups"], names, strict=True)
        ],
    }


def by_position(state: State, names: list[list[str]]) -> State:
    """The reverse of `by_name`."""
    flat = [name for group in names for name in group]
    places = {name: place for place, name in enumerate(flat)}
    return {
        "state": {places[name]: held for name, held in state["state"].items()},
        "param_groups": [
            {**group, "params": [places[name] for name in called]}
            for group, called in zip(state["param_groups"], names, strict=True)
        ],
    }


def said_of_change(checkpoint: Path, plan: TrainingPlan) -> str | None:
    """A sentence for a run that goes on over another number of processes than wrote the checkpoint; else None."""
    processes = written_by(checkpoint)
    if processes is None or processes == plan.num_gpus:
        return None
    return tr(
        "written by {before}, gone on with by {now}: each step learns from the same examples as before; only dropout "
        "draws other numbers",
        before=_processes(processes),
        now=_processes(plan.num_gpus),
    )


def _processes(count: int) -> str:
    return tr("one process") if count == 1 else tr("{count} processes", count=count)


def _names(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> list[list[str]]:
    called = {id(parameter): plain_name(name) for name, parameter in model.named_parameters()}
    return [[called[id(parameter)] for parameter in group["params"]] for group in optimizer.param_groups]


def _read(path: Path) -> State:
    held: State = torch.load(path, map_location="cpu", weights_only=True)
    return held
