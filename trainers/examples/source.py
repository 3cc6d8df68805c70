"""Which files a dataset's name stands for: a file, a folder, a folder saved by `datasets`, or a hub id.

source = open_source("chats.jsonl")
for row in source.rows():        # row.line is 1-based; row.value is a dict, or row.problem says what is wrong
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Protocol

import msgspec

from trainers.errors import ExamplesError
from trainers.examples.configurations import configurations
from trainers.examples.files import READABLE, checked, kind_of, read_file
from trainers.examples.hub import fetch_dataset
from trainers.examples.reader import LOOKED_AT, Reader, missing_columns, reader_for
from trainers.examples.rows import Row, unreadable
from trainers.examples.splits import TRAIN, same_split, split_of
from trainers.examples.threads import joined
from trainers.language import tr
from trainers.paths import find_local

STANDARD_INPUT = "-"
"""How other tools name what is piped into them."""
_TRAIN_WORDS = frozenset({"train", "training", "sft"})
_EVAL_WORDS = ("validation", "valid", "val", "eval", "evaluation", "dev", "test", "heldout")
"""Words in a name that say that a file evaluates, the one that suits best first."""
_ABOUT_FILES = ("readme", "license", "licence", "changelog", "contributing", "requirements", "notice", "citation")
_EVAL = frozenset(_EVAL_WORDS)
_SIDE_FILES = frozenset(
    {
        "dataset_infos.json",
        "dataset_info.json",
        "dataset_dict.json",
        "config.json",
        "state.json",
        "tokenizer.json",
        "package.json",
    }
)


class Parts(Protocol):
    """Several datasets read as one (trainers/examples/mixture.py)."""

    @property
    def reader(self) -> Reader:
        """The one reader of their rows."""

    def rows(self) -> Iterator[Row]:
        """The rows of all, in order, numbered throughout."""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset that was found, not yet read."""

    name: str
    """As the user wrote it."""
    split: str
    files: tuple[Path, ...]
    has_eval: bool = False
    eval_files: tuple[Path, ...] = ()
    base: Path = Path()
    """The folder that the names of the files are relative to."""
    notes: tuple[str, ...] = ()
    configurations: tuple[str, ...] = ()
    """Parts of a folder that are often variants of the same rows (main, socratic), where more than one is read."""
    mixture: Parts | None = None
    """Several datasets read as one; None: the rows of the files, in order, all of one layout."""

    @property
    def num_bytes(self) -> int:
        """Size of the files on disk."""
        return sum(file.stat().st_size for file in self.files)

    def rows(self) -> Iterator[Row]:
        """Every row, numbered through all files. Raises ExamplesError when a file cannot be read at all."""
        return self.mixture.rows() if self.mixture else numbered(self.files)

    def eval_rows(self) -> Iterator[Row]:
        """Every row of the evaluation split that lies beside this one."""
        return numbered(self.eval_files)

    def sha256(self) -> str:
        """Digest of the bytes of all files, in order."""
        digest = hashlib.sha256()
        for file in self.files:
            with file.open("rb") as content:
                while block := content.read(1 << 20):
                    digest.update(block)
        return digest.hexdigest()


def reader_of(source: Source, name: str | None = None, columns: Mapping[str, str] | None = None) -> Reader:
    """The reader for a source, by a look at its first rows. Raises ExamplesError as `reader_for` does."""
    if source.mixture:
        return source.mixture.reader
    return reader_for(list(islice(source.rows(), LOOKED_AT)), source.name, name, columns, source.split or None)


def has_columns(source: Source, mapping: Mapping[str, str]) -> bool:
    """Whether the first rows of a source have every column that a mapping names."""
    rows = [row.value for row in islice(source.rows(), LOOKED_AT) if row.value is not None]
    return not missing_columns(rows, mapping)


def open_source(text: str, split: str = "train", fetch: Callable[[str], Path] = fetch_dataset) -> Source:
    """The files that `text` names: a file, a folder, or a hub id that `fetch` brings into a folder.

    Raises ExamplesError (nothing there, empty, unknown kind), and what `fetch` raises.
    """
    if text.strip() == STANDARD_INPUT:
        raise ExamplesError(
            tr("examples are not read from standard input"),
            why=tr("they are read more than once: to be checked, counted and trained on"),
            fix=tr("write them to a file first, such as data.jsonl, and give that file"),
        )
    path = find_local(text) if text.strip() else None
    if path and path.is_dir():
        return _folder_source(path, text, split)
    if path:
        return _file_source(checked(path), text, split)
    found = globbed(text)
    if found:
        files = tuple(checked(file) for file in found)
        return Source(
            name=text,
            split=split,
            files=files,
            notes=(tr("{num_files} files read as one dataset", num_files=len(files)),),
        )
    if not is_hub_id(text):
        raise _missing(Path(text), text)
    return _folder_source(fetch(text), text, split)


def is_hub_id(text: str) -> bool:
    """Whether a text can only name a dataset of the hub: nothing here has that name, and it is not a path."""
    is_path = kind_of(Path(text)) or text.startswith((".", "/", "~")) or text.count("/") > 1 or text == STANDARD_INPUT
    return bool(text.strip()) and not is_path and not {"*", " "} & set(text) and find_local(text) is None


def numbered(files: tuple[Path, ...]) -> Iterator[Row]:
    """The rows of all files: lines of the one file, or numbers that run through all of them."""
    if len(files) == 1:
        yield from joined(read_file(files[0]))
        return
    number = 0
    for file in files:
        for row in joined(read_file(file)):
            number += 1
            yield msgspec.structs.replace(row, line=number)


def globbed(text: str) -> list[Path]:
    """Files that a pattern names, in order."""
    if not any(mark in text for mark in "*?["):
        return []
    pattern = Path(text).expanduser()
    base = Path(pattern.anchor) if pattern.is_absolute() else Path()
    return sorted(path for path in base.glob(str(pattern.relative_to(base))) if path.is_file())


def _file_source(path: Path, name: str, split: str) -> Source:
    if not same_split(split, TRAIN[0]):
        # Nothing beside it evaluates what is no training split.
        if not any(same_split(said, split) for said in map(split_of, numbered((path,))) if said):
            fix = tr("leave --split out, or name the file that holds it")
            raise unreadable(path, tr("has no split {split!r}: no column and no key names it", split=split), fix)
        return Source(name=name, split=split, files=(path,), base=path.parent)
    beside = _evaluating(path)
    if beside is None:
        return Source(name=name, split=split, files=(path,), base=path.parent)
    note = tr("{name} beside it evaluates", name=beside.name)
    return Source(
        name=name,
        split=split,
        files=(path,),
        has_eval=True,
        eval_files=(checked(beside),),
        base=path.parent,
        notes=(note,),
    )


def _evaluating(path: Path) -> Path | None:
    """The file beside a training file whose name differs in nothing but the word for its split."""
    place = path.name.lower().find("train")
    if place < 0 or "train" not in _words(path.name):
        return None
    for word in _EVAL_WORDS:
        beside = path.with_name(path.name[:place] + word + path.name[place + len("train") :])
        if beside.is_file() and beside.stat().st_size:
            return beside
    return None


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z]+", name.lower())


def _folder_source(folder: Path, name: str, split: str) -> Source:
    splits = _saved_splits(folder)
    if splits:
        if split not in splits:
            fix = tr(
                "give one of its splits: {splits}", splits=", ".join(f"{folder}/{one}" for one in sorted(splits))
            )
            raise unreadable(folder, tr("has no split '{split}'", split=split), fix)
        others = [one for one in splits if one != split and not _EVAL.isdisjoint(_words(one))]
        beside = splits[others[0]] if others else ()
        return Source(
            name=name, split=split, files=splits[split], has_eval=bool(others), eval_files=beside, base=folder
        )
    files = sorted(p for p in folder.rglob("*") if p.is_file() and kind_of(p) and not _is_side_file(p, folder))
    if not files:
        raise unreadable(
            folder,
            tr("holds no data file"),
            tr("give a folder with files that end in {readable}", readable=tr(READABLE)),
        )
    if any(kind_of(file) != "document" for file in files):
        # Text beside data is about the data.
        files = [file for file in files if kind_of(file) != "document"]
    if not same_split(split, TRAIN[0]):
        return _of_split(files, folder, name, split)
    train = [file for file in files if not _TRAIN_WORDS.isdisjoint(_words(_relative(file, folder)))]
    held = [file for file in files if file not in train and not _EVAL.isdisjoint(_words(_relative(file, folder)))]
    chosen = train or [file for file in files if file not in held]
    if not chosen:
        raise unreadable(folder, tr("holds evaluation files only"), tr("name the training file itself"))
    if len({kind_of(file) for file in chosen}) > 1:
        listed = ", ".join(file.name for file in chosen[:5])
        raise unreadable(folder, tr("holds data of several kinds: {listed}", listed=listed), tr("name one file"))
    for file in chosen:
        checked(file)
    held = _best_split(held, folder)
    notes: tuple[str, ...] = (
        (tr("{num_chosen} files read as one dataset", num_chosen=len(chosen)),) if len(chosen) > 1 else ()
    )
    notes += (tr("{held} beside it evaluates", held=", ".join(file.name for file in held[:3])),) if held else ()
    return Source(
        name=name,
        split=split,
        files=tuple(chosen),
        has_eval=bool(held),
        eval_files=tuple(held),
        base=folder,
        notes=notes,
        configurations=configurations(folder, chosen),
    )


def _of_split(files: list[Path], folder: Path, name: str, split: str) -> Source:
    """The files of a folder whose names say that they are of another split than the training one."""
    found = [file for file in files if any(same_split(word, split) for word in _words(_relative(file, folder)))]
    if not found:
        listed = ", ".join(file.name for file in files[:5])
        raise unreadable(
            folder,
            tr("has no file of the split {split!r}: {listed}", split=split, listed=listed),
            tr("name the file itself"),
        )
    return Source(name=name, split=split, files=tuple(map(checked, found)), base=folder)


def _saved_splits(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Splits of a folder written by `datasets.save_to_disk`; {} when it is none."""
    if (folder / "dataset_dict.json").is_file():
        found = {sub.name: _shards(sub) for sub in sorted(folder.iterdir()) if (sub / "state.json").is_file()}
        return {name: shards for name, shards in found.items() if shards}
    if (folder / "state.json").is_file():
        shards = _shards(folder)
        if not shards:
            raise unreadable(
                folder, tr("was saved by `datasets`, but its .arrow files are missing"), tr("save it again")
            )
        return {"train": shards}
    return {}


def _shards(folder: Path) -> tuple[Path, ...]:
    try:
        state = msgspec.json.decode((folder / "state.json").read_bytes())
        names = [str(entry["filename"]) for entry in state["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise unreadable(folder / "state.json", tr("is damaged"), tr("save the dataset again")) from error
    foreign = [name for name in names if Path(name).name != name]
    if foreign:
        raise unreadable(
            folder / "state.json",
            tr("names a file outside its folder: {foreign}", foreign=foreign[0]),
            tr("save it again"),
        )
    shards = tuple(folder / name for name in names)
    missing = [shard.name for shard in shards if not shard.is_file()]
    if missing:
        raise unreadable(
            folder, tr("lacks its part {missing}", missing=missing[0]), tr("copy the folder again, whole")
        )
    return shards


def _best_split(held: list[Path], folder: Path) -> list[Path]:
    """Of the files that evaluate those of one split: a validation set before a test set."""
    for word in _EVAL_WORDS:
        found = [file for file in held if word in _words(_relative(file, folder))]
        if found:
            return found
    return held


def _is_side_file(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    is_about = kind_of(path) == "document" and path.name.lower().startswith(_ABOUT_FILES)
    return (
        hidden or is_about or path.name in _SIDE_FILES or (path.suffix == ".arrow" and path.name.startswith("cache-"))
    )


def _relative(file: Path, folder: Path) -> str:
    return str(file.relative_to(folder)).lower()


def _missing(path: Path, text: str) -> ExamplesError:
    folder = find_local(str(path.parent))
    beside = [one.name for one in folder.iterdir() if kind_of(one)] if folder and folder.is_dir() else []
    close = difflib.get_close_matches(path.name, beside, n=1, cutoff=0.5)
    fix = (
        tr("did you mean {parent}?", parent=path.parent / close[0])
        if close
        else tr("check the path, or give a hub id (owner/name)")
    )
    what = tr("the dataset {text} is not there", text=text) if text.strip() else tr("the dataset's name is empty")
    return ExamplesError(
        what, why=tr("there is no such file or folder in {absolute}", absolute=path.parent.absolute()), fix=fix
    )
