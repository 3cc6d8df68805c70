"""Where the rows come from: JSONL, JSON, CSV, parquet, a folder saved by `datasets`, or a hub id.

    source = open_source("chats.jsonl")
    for row in source.rows():        # row.line is 1-based; row.value is a dict, or row.problem says what is wrong

Memory stays constant, except for one .json file that holds a list and for one shard of a saved folder.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from advisor.errors import InputError, Problem, nearest
from advisor.model.paths import find_local

READABLE = ".jsonl, .json, .csv, .tsv or .parquet (the text ones may be .gz)"
SLICE_ROWS = 5000
_KINDS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".arrow": "arrow",
}
_TRAIN_WORDS = ("train",)
_EVAL_WORDS = ("eval", "valid", "dev", "test")
_MAX_JSON_BYTES = 2 << 30


class Row(msgspec.Struct, frozen=True):
    """One row: its value, or what is wrong with it."""

    line: int
    value: dict[str, Any] | None
    problem: str = ""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset that was found, not yet read."""

    name: str
    """As the user wrote it."""
    split: str
    files: tuple[Path, ...]
    has_eval: bool = False
    eval_files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def num_bytes(self) -> int:
        """Size of the files on disk."""
        return sum(file.stat().st_size for file in self.files)

    def rows(self) -> Iterator[Row]:
        """Every row, numbered through all files. Raises InputError when a file cannot be read at all."""
        return _numbered(self.files)

    def eval_rows(self) -> Iterator[Row]:
        """Every row of the evaluation split that lies beside this one."""
        return _numbered(self.eval_files)

    def sha256(self) -> str:
        """Digest of the bytes of all files, in order."""
        digest = hashlib.sha256()
        for file in self.files:
            with file.open("rb") as content:
                while block := content.read(1 << 20):
                    digest.update(block)
        return digest.hexdigest()


def open_source(text: str, split: str = "train") -> Source:
    """The files that `text` names: a file, a folder, or a hub id (fetched into the hub cache).

    Raises InputError (nothing there, empty, unknown kind) or MachineError (the hub cannot be reached).
    """
    path = find_local(text) if text.strip() else None
    if path and path.is_dir():
        return _folder_source(path, text, split)
    if path:
        return Source(name=text, split=split, files=(_checked_file(path),))
    if not is_hub_id(text):
        raise _missing(Path(text), text)
    from advisor.data.hub import fetch_dataset

    folder = fetch_dataset(text)
    return _folder_source(folder, text, split)


def is_hub_id(text: str) -> bool:
    """Whether a text can only name a dataset of the hub: nothing here has that name, and it is no path."""
    is_path = _kind(Path(text)) or text.startswith((".", "/", "~")) or text.count("/") > 1
    return bool(text.strip()) and not is_path and find_local(text) is None


def _numbered(files: tuple[Path, ...]) -> Iterator[Row]:
    if len(files) == 1:
        yield from _read(files[0])
        return
    number = 0
    for file in files:
        for row in _read(file):
            number += 1
            yield Row(number, row.value, row.problem)


def _read(path: Path) -> Iterator[Row]:
    kind = _kind(path) or "jsonl"
    readers: dict[str, Callable[[Path], Iterator[Row]]] = {
        "jsonl": _jsonl_rows,
        "json": _json_rows,
        "csv": lambda file: _csv_rows(file, ","),
        "tsv": lambda file: _csv_rows(file, "\t"),
        "parquet": _parquet_rows,
        "arrow": _arrow_rows,
    }
    try:
        yield from readers[kind](path)
    except OSError as error:
        raise InputError(_problem(path, f"cannot be read: {error.strerror or error}", "Check the file.")) from error
    except (EOFError, zlib.error) as error:
        raise InputError(_problem(path, f"is damaged or cut short: {error}", "Copy it again, whole.")) from error


def _jsonl_rows(path: Path) -> Iterator[Row]:
    decode = msgspec.json.Decoder().decode
    with _open_bytes(path) as file:
        for number, line in enumerate(file, 1):
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if line.strip():
                yield _decoded(decode, line, number)


def _decoded(decode: Callable[[bytes], Any], line: bytes, number: int) -> Row:
    try:
        value = decode(line.rstrip(b"\r\n"))
    except msgspec.DecodeError as error:
        return Row(number, None, _json_problem(line, str(error)))
    except UnicodeDecodeError as error:
        return Row(number, None, f"not UTF-8 text (byte {error.start} of the line)")
    except RecursionError:
        return Row(number, None, "nested too deeply")
    return _as_row(value, number)


def _as_row(value: Any, number: int) -> Row:
    if isinstance(value, dict):
        return Row(number, value)
    return Row(number, None, f"a {_json_name(value)} where an object was expected")


def _json_problem(line: bytes, error: str) -> str:
    try:
        line.decode()
    except UnicodeDecodeError as bad:
        return f"not UTF-8 text (byte {bad.start} of the line)"
    return "cut short: " + error if "truncated" in error else f"not valid JSON: {error}"


def _json_rows(path: Path) -> Iterator[Row]:
    if path.stat().st_size > _MAX_JSON_BYTES:
        fix = f"Write one object a line instead: jq -c '.[]' {path} > {path.with_suffix('.jsonl')}"
        raise InputError(_problem(path, "holds one JSON list too large to be read whole", fix))
    with _open_bytes(path) as file:
        content = file.read().removeprefix(b"\xef\xbb\xbf")
    try:
        whole = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        lines = content.splitlines()
        if sum(line.lstrip().startswith(b"{") and line.rstrip().endswith(b"}") for line in lines[:20]) < min(
            2, len(lines)
        ):
            fix = "Repair it, or write one object a line into a .jsonl file."
            raise InputError(_problem(path, _json_problem(content, str(error)), fix)) from error
        # One object a line under the name .json.
        decode = msgspec.json.Decoder().decode
        yield from (_decoded(decode, line, number) for number, line in enumerate(lines, 1) if line.strip())
        return
    yield from (_as_row(value, number) for number, value in enumerate(_row_list(whole, path), 1))


def _row_list(whole: Any, path: Path) -> list[Any]:
    if isinstance(whole, dict):
        lists = [value for value in whole.values() if isinstance(value, list)]
        whole = lists[0] if len(lists) == 1 and lists[0] and isinstance(lists[0][0], dict) else [whole]
    if isinstance(whole, list):
        return whole
    raise InputError(
        _problem(path, f"holds a {_json_name(whole)}, not a list of examples", "Give a list of objects.")
    )


def _csv_rows(path: Path, delimiter: str) -> Iterator[Row]:
    csv.field_size_limit(1 << 30)
    with io.TextIOWrapper(_open_bytes(path), encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter=delimiter)
        try:
            for row in reader:
                # DictReader files surplus cells under None, and fills missing ones with None.
                if None in row:
                    yield Row(reader.line_num, None, "more cells than the header has columns")
                elif None in row.values():
                    yield Row(reader.line_num, None, "fewer cells than the header has columns")
                else:
                    yield Row(reader.line_num, dict(row))
        except UnicodeDecodeError as error:
            raise InputError(_not_utf8(path)) from error
        except csv.Error as error:
            fix = "Save it again as CSV in UTF-8."
            raise InputError(_problem(path, f"is not valid CSV near line {reader.line_num}: {error}", fix)) from error


def _parquet_rows(path: Path) -> Iterator[Row]:
    import polars

    try:
        scan = polars.scan_parquet(path)
        total = int(scan.select(polars.len()).collect().item())
        for start in range(0, total, SLICE_ROWS):
            part = scan.slice(start, SLICE_ROWS).collect()
            for number, value in enumerate(part.iter_rows(named=True), start + 1):
                yield Row(number, value)
    except polars.exceptions.PolarsError as error:
        raise InputError(
            _problem(path, f"is not a parquet file that can be read: {_first(error)}", "Write it again.")
        ) from error


def _arrow_rows(path: Path) -> Iterator[Row]:
    import polars

    try:
        # `datasets` writes the stream form; other tools write the file form.
        with path.open("rb") as file:
            is_file_form = file.read(6) == b"ARROW1"
        frame = polars.read_ipc(path) if is_file_form else polars.read_ipc_stream(path)
        for number, value in enumerate(frame.iter_rows(named=True), 1):
            yield Row(number, value)
    except polars.exceptions.PolarsError as error:
        raise InputError(
            _problem(path, f"is not an Arrow file that can be read: {_first(error)}", "Write it again.")
        ) from error


def _folder_source(folder: Path, name: str, split: str) -> Source:
    splits = _saved_splits(folder)
    if splits:
        if split not in splits:
            fix = f"Give one of its splits: {', '.join(f'{folder}/{one}' for one in sorted(splits))}"
            raise InputError(_problem(folder, f"has no split '{split}'", fix))
        others = [one for one in splits if one != split and any(word in one for word in _EVAL_WORDS)]
        beside = splits[others[0]] if others else ()
        return Source(name=name, split=split, files=splits[split], has_eval=bool(others), eval_files=beside)
    files = sorted(p for p in folder.rglob("*") if p.is_file() and _kind(p) and not _is_side_file(p, folder))
    if not files:
        raise InputError(_problem(folder, "holds no data file", f"Give a folder with files that end in {READABLE}."))
    train = [file for file in files if any(word in _relative(file, folder) for word in _TRAIN_WORDS)]
    held = [
        file for file in files if file not in train and any(word in _relative(file, folder) for word in _EVAL_WORDS)
    ]
    chosen = train or [file for file in files if file not in held]
    if not chosen:
        raise InputError(_problem(folder, "holds evaluation files only", "Name the training file itself."))
    if len({_kind(file) for file in chosen}) > 1:
        listed = ", ".join(file.name for file in chosen[:5])
        raise InputError(_problem(folder, f"holds data of several kinds: {listed}", "Name one file."))
    for file in chosen:
        _checked_file(file)
    notes = (f"{len(chosen)} files read as one dataset",) if len(chosen) > 1 else ()
    return Source(
        name=name, split=split, files=tuple(chosen), has_eval=bool(held), eval_files=tuple(held), notes=notes
    )


def _saved_splits(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Splits of a folder written by `datasets.save_to_disk`; {} when it is none."""
    if (folder / "dataset_dict.json").is_file():
        found = {sub.name: _shards(sub) for sub in sorted(folder.iterdir()) if (sub / "state.json").is_file()}
        return {name: shards for name, shards in found.items() if shards}
    if (folder / "state.json").is_file():
        shards = _shards(folder)
        if not shards:
            raise InputError(
                _problem(folder, "was saved by `datasets`, but its .arrow files are missing", "Save it again.")
            )
        return {"train": shards}
    return {}


def _shards(folder: Path) -> tuple[Path, ...]:
    try:
        state = msgspec.json.decode((folder / "state.json").read_bytes())
        names = [entry["filename"] for entry in state["_data_files"]]
    except (OSError, msgspec.DecodeError, KeyError, TypeError) as error:
        raise InputError(_problem(folder / "state.json", "is damaged", "Save the dataset again.")) from error
    shards = tuple(folder / name for name in names)
    missing = [shard.name for shard in shards if not shard.is_file()]
    if missing:
        raise InputError(_problem(folder, f"lacks its part {missing[0]}", "Copy the folder again, whole."))
    return shards


def _is_side_file(path: Path, folder: Path) -> bool:
    names = {"dataset_infos.json", "dataset_info.json", "config.json", "state.json", "tokenizer.json", "package.json"}
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return hidden or path.name in names or (path.suffix == ".arrow" and path.name.startswith("cache-"))


def _relative(file: Path, folder: Path) -> str:
    return str(file.relative_to(folder)).lower()


def _kind(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    return _KINDS.get(suffixes[-1], "") if suffixes else ""


def _open_bytes(path: Path) -> IO[bytes]:
    if path.suffix.lower() == ".gz":
        return io.BufferedReader(gzip.open(path))
    return path.open("rb")


def _checked_file(path: Path) -> Path:
    """The file, when there is something in it that can be read. Raises InputError."""
    if not _kind(path):
        what = f"cannot tell what kind of file {path} is"
        fix = f"Rename it, for example to {path.with_suffix('.jsonl').name}."
        raise InputError(Problem(what=what, why=f"Datasets end in {READABLE}.", fix=fix, where="--dataset"))
    if path.stat().st_size == 0:
        raise InputError(_problem(path, "is empty", "Give a file with at least two examples."))
    with path.open("rb") as file:
        start = file.read(4)
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InputError(_not_utf8(path, "UTF-16"))
    if start[:2] == b"\x1f\x8b" and path.suffix.lower() != ".gz":
        raise InputError(_problem(path, "is compressed with gzip", f"Rename it to {path.name}.gz."))
    if start[:2] == b"PK":
        raise InputError(_problem(path, "is a ZIP archive or an Excel sheet", "Unpack it, or save the sheet as CSV."))
    return path


def _missing(path: Path, text: str) -> InputError:
    folder = find_local(str(path.parent))
    beside = [one.name for one in folder.iterdir() if _kind(one)] if folder and folder.is_dir() else []
    close = nearest(path.name, beside)
    fix = f"Did you mean {path.parent / close}?" if close else "Check the path, or give a hub id (owner/name)."
    what = f"the dataset {text} is not there" if text.strip() else "the dataset's name is empty"
    return InputError(
        Problem(what=what, why=f"There is no such file or folder in {path.parent}.", fix=fix, where="--dataset")
    )


def _not_utf8(path: Path, encoding: str = "another encoding") -> Problem:
    target = path.with_stem(path.stem + "-utf8")
    code = encoding if encoding.startswith("UTF") else "LATIN1"
    return _problem(
        path, f"is not UTF-8 text but {encoding}", f"Convert it: iconv -f {code} -t UTF-8 {path} > {target}"
    )


def _problem(path: Path, how: str, fix: str) -> Problem:
    return Problem(what=f"{path} {how}", why="The examples are read from it.", fix=fix, where="--dataset")


def _json_name(value: Any) -> str:
    names = {bool: "true or false", int: "number", float: "number", str: "text", list: "list", type(None): "null"}
    return names.get(type(value), type(value).__name__)


def _first(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
