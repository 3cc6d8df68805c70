"""What a plan reads from this disk, brought into a folder that travels, and the plan as it reads from there.

A hub id is left to the place where the job runs. A small file is copied; a large one shares its blocks with the
original where both are on one disk (a hard link), and is copied where they are not.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec

from trainers.errors import PlanRefused
from trainers.examples.example import RowError
from trainers.examples.mixture import pieces_of
from trainers.examples.pictures import is_address
from trainers.examples.reader import Reader
from trainers.examples.sets import sets_of, stated_files
from trainers.examples.source import Source, is_hub_id, open_source, reader_of
from trainers.foreign.text import shell
from trainers.language import tr
from trainers.paths import find_local
from trainers.pictures.opening import folder_of, path_of
from trainers.plan import DataFile, DatasetRef, ModelRef, TrainingPlan

DATA, EVALUATION, MODEL, ADAPTER = "data", "evaluation", "model", "adapter"
"""Folders of a job for the training files, a separate evaluation set, a model that is no hub id, and an adapter that
is gone on with."""
COPIED_BYTES = 256 * 1024**2
"""Up to here a copy costs less than to wonder who still writes to the original."""


def bring(plan: TrainingPlan, folder: Path) -> TrainingPlan:
    """Put data and model of the plan into `folder`. Return the plan with paths that hold inside it.

    Raises ExamplesError when the dataset is not there, PlanRefused for pictures that no job folder can hold.
    """
    dataset = _bring_dataset(plan.dataset, folder, plan.reads_images) if plan.dataset else None
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


def _bring_dataset(dataset: DatasetRef, folder: Path, pictures: bool) -> DatasetRef:
    if is_hub_id(dataset.source):
        moved = dataset
    elif pieces_of(dataset.source):
        source, files = _bring_mixture(dataset, folder, pictures)
        moved = msgspec.structs.replace(dataset, source=source, files=files)
    else:
        moved = _bring_files(dataset, folder, DATA, pictures)
    if dataset.eval_source and find_local(dataset.eval_source) is not None:
        apart = DatasetRef(source=dataset.eval_source, files=dataset.eval_files)
        held = _bring_files(apart, folder, EVALUATION, pictures)
        moved = msgspec.structs.replace(moved, eval_source=held.source, eval_files=held.files)
    return moved


def _bring_files(dataset: DatasetRef, folder: Path, name: str, pictures: bool) -> DatasetRef:
    """The files that the plan states, else those that its source names today, with those beside it that evaluate."""
    alone = {"eval_source": None, "eval_files": ()} if dataset.eval_source else {}
    sets = sets_of(msgspec.structs.replace(dataset, **alone))
    local = find_local(dataset.source)
    source = f"./{name}/{local.name}" if local and local.is_file() else f"./{name}"
    files = _put_all(sets.train.files, dataset.files or stated_files(sets.train), folder / name)
    if pictures:
        _put_pictures(sets.train, dataset, files, folder / name)
    moved = msgspec.structs.replace(dataset, source=source, files=files)
    if dataset.eval_source or sets.eval is None or sets.eval.files == sets.train.files:
        return moved
    beside = _put_all(sets.eval.files, dataset.eval_files or stated_files(sets.eval), folder / name)
    if pictures:
        _put_pictures(sets.eval, dataset, beside, folder / name)
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


def _put_pictures(source: Source, dataset: DatasetRef, files: tuple[DataFile, ...], folder: Path) -> None:
    """The pictures that rows name, to where the same names find them beside the moved `files`."""
    places = {Path(file.path).parent for file in files}
    base = folder / places.pop() if len(places) == 1 else folder
    reader = reader_of(source, dataset.format, dataset.columns)
    named = {picture for row in source.rows() for picture in _pictures_of(reader, row)}
    for one in sorted(named):
        path = path_of(one, folder_of(source))
        if path is None or not path.is_file():
            continue  # held by the row, or not there: the run says so
        if Path(one).is_absolute() or ".." in Path(one).parts or one.startswith("file:"):
            raise PlanRefused(
                tr("the picture {named:.200} lies outside the folder of the data", named=one),
                why=tr("a job's folder holds its data with the pictures beside it, under the names in the rows"),
                fix=tr("name the pictures relative to the folder of the data"),
            )
        put(path, base / one)


def _pictures_of(reader: Reader, row: Any) -> tuple[str, ...]:
    try:
        return tuple(one for one in reader.example(row).images if not is_address(one))
    except RowError:
        return ()  # the run leaves it out


def _bring_mixture(dataset: DatasetRef, folder: Path, pictures: bool) -> tuple[str, tuple[DataFile, ...]]:
    """Each dataset of a mixture in a folder of its own, under its weight; the names of all files."""
    names, files = [], []
    for number, (text, weight) in enumerate(pieces_of(dataset.source)):
        if is_hub_id(text):
            name = text
        else:
            place = f"{DATA}/{number}"
            source = open_source(text, dataset.split)
            moved = _put_all(source.files, stated_files(source), folder / place)
            if pictures:
                _put_pictures(source, dataset, moved, folder / place)
            local = find_local(text)
            name = f"./{place}/{local.name}" if local and local.is_file() else f"./{place}"
            files += [msgspec.structs.replace(file, path=f"{place}/{file.path}") for file in moved]
        names.append(shell(name if weight is None else f"{name}:{weight:g}"))
    return " ".join(names), tuple(files) if dataset.files else ()
