"""The sets that a plan names, as they lie on this machine: the files that were checked, and nothing found anew.

sets = sets_of(plan.dataset)
sets.train, sets.eval          sources; eval is None when a part of the training set is kept back
sets.changed()                 files whose bytes are no longer those that were checked
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from trainers.errors import ExamplesError
from trainers.examples.files import checked
from trainers.examples.hub import fetch_dataset
from trainers.examples.mixture import by_layout, open_mixture, pieces_of
from trainers.examples.reader import LOOKED_AT
from trainers.examples.source import Source, globbed, is_hub_id, open_source
from trainers.examples.splits import held_split
from trainers.language import tr
from trainers.paths import find_local
from trainers.plan import DataFile, DatasetRef

Fetch = Callable[[str], Path]
TRAIN = "train"


class Sets(msgspec.Struct, frozen=True, kw_only=True):
    """The training and the evaluation set of a plan."""

    train: Source
    eval: Source | None
    named: DatasetRef

    def changed(self) -> list[str]:
        """Names of the files whose bytes are not those that the plan was made from. Reads all of them."""
        found = []
        for stated, source in ((self.named.files, self.train), (self.named.eval_files, self.eval)):
            if source is not None and stated:
                pairs = zip(stated, source.files, strict=True)
                found += [str(file) for one, file in pairs if one.sha256 and one.sha256 != sha256_of(file)]
        return found

    def files(self) -> tuple[Path, ...]:
        """Every file of both sets."""
        return (*self.train.files, *(self.eval.files if self.eval else ()))


def sets_of(named: DatasetRef, fetch: Fetch = fetch_dataset) -> Sets:
    """The sets of a plan: the files that it names, else what its source names today.

    Raises ExamplesError when something is not there or cannot be read, and what `fetch` raises.
    """
    if pieces_of(named.source):
        train = _mixture(named, fetch)
    elif named.files:
        train = _stated(named.source, named.split, named.files, fetch)
    else:
        train = open_source(named.source, named.split, fetch)
    train = by_layout(train, named.columns)
    return Sets(train=train, eval=_evaluation(named, train, fetch), named=named)


def places_of(named: DatasetRef, fetch: Fetch) -> list[Path]:
    """Every file and folder that the sources of a plan name, with those of the hub fetched; none of them is read.

    From then on `sets_of` needs no network: what was fetched lies in the cache. Raises what `fetch` raises.
    """
    texts = [text for text in (named.source, named.eval_source) if text and text.strip()]
    names = [name for text in texts for name in [one for one, _ in pieces_of(text)] or [text]]
    found: list[Path] = []
    for name in names:
        local = find_local(name)
        found += [local] if local else globbed(name) or ([fetch(name)] if is_hub_id(name) else [])
    return found


def _mixture(named: DatasetRef, fetch: Fetch) -> Source:
    """The mixture, when its files are those that the plan states."""
    source = open_mixture(named.source, named.split, named.columns, fetch)
    found = {_relative(file, source.base) for file in source.files}
    if named.files and found != {file.path for file in named.files}:
        raise ExamplesError(
            tr("{source} no longer names the files that were checked", source=named.source),
            why=tr("the plan trains on what was checked and on nothing else"),
            fix=tr("plan again with --dataset"),
        )
    return source


def _evaluation(named: DatasetRef, train: Source, fetch: Fetch) -> Source | None:
    if named.eval_files:
        held = _stated(named.eval_source or named.source, named.split, named.eval_files, fetch)
        return msgspec.structs.replace(held, split=_held_split(held))
    if named.eval_source:
        held = _opened_to_evaluate(named.eval_source, named.columns, fetch)
        return msgspec.structs.replace(held, has_eval=False, eval_files=(), split=_held_split(held))
    if (train.split or TRAIN) == TRAIN and not train.mixture and (inside := _held_split(train)):
        name = tr("the split {inside!r} of {name}", inside=inside, name=train.name)
        return Source(name=name, split=inside, files=train.files, base=train.base)
    if train.eval_files and not named.files:
        first, *more = train.eval_files
        name, base = (f"{train.name} (evaluation)", train.base) if more else (str(first), first.parent)
        return Source(name=name, split="", files=train.eval_files, base=base)
    return None


def _opened_to_evaluate(name: str, columns: Mapping[str, str], fetch: Fetch) -> Source:
    try:
        return by_layout(open_source(name, fetch=fetch), columns)
    except ExamplesError as error:
        error.of_evaluation = True
        raise


def _held_split(source: Source) -> str:
    """Of a source whose rows are of several splits the one that evaluates; "" when all its rows do."""
    return held_split(source.rows(), LOOKED_AT)


def stated_files(source: Source) -> tuple[DataFile, ...]:
    """The files of a source as a plan names them, with digests. Reads all of them."""
    base = source.base
    return tuple(DataFile(path=_relative(file, base), sha256=sha256_of(file)) for file in source.files)


def sha256_of(path: Path) -> str:
    """Digest of a file's bytes."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _relative(file: Path, base: Path) -> str:
    return file.relative_to(base).as_posix() if file.is_relative_to(base) else file.as_posix()


def _stated(name: str, split: str, files: tuple[DataFile, ...], fetch: Fetch) -> Source:
    base = _base(name, fetch)
    found = tuple(base / file.path for file in files)
    for file in found:
        if not file.is_file():
            raise ExamplesError(
                tr("{file}, which the plan trains on, is not there", file=file),
                why=tr("the plan names the files that were checked, so that no other is trained on"),
                fix=tr("put it back, or plan again with --dataset"),
            )
    local = find_local(name)
    if local is not None and local.is_file() and local not in found:
        raise ExamplesError(
            tr(
                "the plan names {name}, and as its files {files}",
                name=name,
                files=", ".join(file.path for file in files),
            ),
            why=tr("dataset.source was changed and dataset.files was not"),
            fix=tr("plan again with --dataset, or remove files and eval_files from the plan's [dataset] table"),
        )
    return Source(name=name, split=split, files=tuple(checked(file) for file in found), base=base)


def _base(name: str, fetch: Fetch) -> Path:
    path = find_local(name)
    if path is not None:
        return path if path.is_dir() else path.parent
    return fetch(name) if is_hub_id(name) else Path()
