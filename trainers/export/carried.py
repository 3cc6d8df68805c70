"""What a plan reads from this disk, brought into a folder that travels, and the plan as it reads from there.

A hub id is left to the place where the job runs. A small file is copied; a large one shares its blocks with the
original where both are on one disk (a hard link), and is copied where they are not.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from trainers.examples.mixture import pieces_of
from trainers.examples.sets import sets_of, stated_files
from trainers.examples.source import is_hub_id, open_source
from trainers.foreign.text import shell
from trainers.paths import find_local
from trainers.plan import DataFile, DatasetRef, ModelRef, TrainingPlan

DATA, EVALUATION, MODEL, ADAPTER = "data", "evaluation", "model", "adapter"
"""Folders of a job for the training files, a separate evaluation set, a model that is no hub id, and an adapter that
is gone on with."""
COPIED_BYTES = 256 * 1024**2
"""Up to here a copy costs less than to wonder who still writes to the original."""


def bring(plan: TrainingPlan, folder: Path) -> TrainingPlan:
    """Put data and model of the plan into `folder`. Return the plan with paths that hold inside it.

    Raises ExamplesError when the dataset is not there.
    """
    dataset = _bring_dataset(plan.dataset, folder) if plan.dataset else None
    adapter = _bring_folder(plan.start_adapter, folder, ADAPTER) if plan.start_adapter else None
    return msgspec.structs.replace(
        plan, model=_bring_model(plan.model, folder), dataset=dataset, start_adapter=adapter
    )


def put(source: Path, target: Path) -> None:
    """One file to its place; what lies there is replaced, unless it is that file itself."""
    source = source.resolve()
    if target.exists() and target.samefile(source):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    if source.stat().st_size > COPIED_BYTES:
        try:
            target.hardlink_to(source)
        except OSError:  # another disk, or one that knows no links
            pass
        else:
            return
    shutil.copyfile(source, target)


def _bring_model(model: ModelRef, folder: Path) -> ModelRef:
    local = find_local(model.name)
    if local is None:
        return model
    inside = folder / MODEL
    if local.is_file():
        put(local, inside / local.name)
        return msgspec.structs.replace(model, name=f"./{MODEL}/{local.name}")
    return msgspec.structs.replace(model, name=_bring_folder(model.name, folder, MODEL))


def _bring_folder(text: str, folder: Path, name: str) -> str:
    """What a folder of this disk holds, under `name`; how it is called there. Anything else as it is."""
    local = find_local(text)
    if local is None or not local.is_dir():
        return text
    for file in sorted(local.rglob("*")):
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(local).parts):
            put(file, folder / name / file.relative_to(local))
    return f"./{name}"


def _bring_dataset(dataset: DatasetRef, folder: Path) -> DatasetRef:
    if is_hub_id(dataset.source):
        moved = dataset
    elif pieces_of(dataset.source):
        source, files = _bring_mixture(dataset, folder)
        moved = msgspec.structs.replace(dataset, source=source, files=files)
    else:
        moved = _bring_files(dataset, folder)
    if dataset.eval_source and find_local(dataset.eval_source) is not None:
        held = _bring_files(DatasetRef(source=dataset.eval_source, files=dataset.eval_files), folder, EVALUATION)
        moved = msgspec.structs.replace(moved, eval_source=held.source, eval_files=held.files)
    return moved


def _bring_files(dataset: DatasetRef, folder: Path, name: str = DATA) -> DatasetRef:
    """The files that the plan states, else those that its source names today, with those beside it that evaluate."""
    alone = {"eval_source": None, "eval_files": ()} if dataset.eval_source else {}
    sets = sets_of(msgspec.structs.replace(dataset, **alone))
    local = find_local(dataset.source)
    source = f"./{name}/{local.name}" if local and local.is_file() else f"./{name}"
    files = _put_all(sets.train.files, dataset.files or stated_files(sets.train), folder / name)
    moved = msgspec.structs.replace(dataset, source=source, files=files)
    if dataset.eval_source or sets.eval is None or sets.eval.files == sets.train.files:
        return moved
    beside = _put_all(sets.eval.files, dataset.eval_files or stated_files(sets.eval), folder / name)
    held = f"./{name}/{beside[0].path}" if local and local.is_file() else None
    return msgspec.structs.replace(moved, eval_source=held, eval_files=beside)


def _put_all(sources: tuple[Path, ...], stated: tuple[DataFile, ...], folder: Path) -> tuple[DataFile, ...]:
    moved = []
    for number, (source, file) in enumerate(zip(sources, stated, strict=True)):
        path = Path(file.path)
        inside = f"{number}-{path.name}" if path.is_absolute() or ".." in path.parts else path.as_posix()
        put(source, folder / inside)
        moved.append(msgspec.structs.replace(file, path=inside))
    return tuple(moved)


def _bring_mixture(dataset: DatasetRef, folder: Path) -> tuple[str, tuple[DataFile, ...]]:
    """Each dataset of a mixture in a folder of its own, under its weight; the names of all files."""
    names, files = [], []
    for number, (text, weight) in enumerate(pieces_of(dataset.source)):
        if is_hub_id(text):
            name = text
        else:
            place = f"{DATA}/{number}"
            source = open_source(text, dataset.split)
            moved = _put_all(source.files, stated_files(source), folder / place)
            local = find_local(text)
            name = f"./{place}/{local.name}" if local and local.is_file() else f"./{place}"
            files += [msgspec.structs.replace(file, path=f"{place}/{file.path}") for file in moved]
        names.append(shell(name if weight is None else f"{name}:{weight:g}"))
    return " ".join(names), tuple(files) if dataset.files else ()
