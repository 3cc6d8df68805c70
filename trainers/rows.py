"""Rows of a dataset, one at a time: JSONL, JSON, CSV, parquet, a folder saved by `datasets`, or a hub id.

    for number, row in read_rows("chats.jsonl"):      # number is 1-based: the line, or the row
        ...

A row that cannot be read is a `str` (what is wrong with it) in place of a dict. Memory stays constant, except for
one `.json` file that holds a list, which has to be read whole.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from trainers.errors import EnvironmentLacking, PlanRefused

Row = dict[str, Any] | str
NOT_UTF8 = "holds bytes that are not UTF-8"

FILE_KINDS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}


def read_rows(source: str, split: str = "train") -> Iterator[tuple[int, Row]]:
    """(number, row) for every row of `source`. Raises PlanRefused when there is nothing readable at all."""
    path = Path(source).expanduser()
    if path.is_file():
        return _read_file(path)
    if path.is_dir():
        return _read_folder(path, split)
    if path.suffix in FILE_KINDS or source.startswith((".", "/", "~")):
        raise PlanRefused(f"the dataset {source} is not there", fix="check the path, or give a dataset id of the hub")
    return _read_hub(source, split)


def _read_file(path: Path) -> Iterator[tuple[int, Row]]:
    suffixes = [suffix for suffix in path.suffixes if suffix != ".gz"]
    kind = FILE_KINDS.get(suffixes[-1] if suffixes else "")
    if kind is None:
        raise PlanRefused(
            f"cannot tell what kind of file {path} is",
            why=f"its name ends in none of {', '.join(FILE_KINDS)}",
            fix=f"rename it, for example to {path.with_suffix('.jsonl').name}",
        )
    if path.stat().st_size == 0:
        raise PlanRefused(f"the dataset {path} is empty", fix="give a file with at least two examples")
    if kind == "parquet":
        return _parquet_rows(path)
    if kind in ("csv", "tsv"):
        return _whole(path, _csv_rows(path, "\t" if kind == "tsv" else ","))
    return _whole(path, _jsonl_rows(path) if kind == "jsonl" else _json_rows(path))


def _whole(path: Path, rows: Iterator[tuple[int, Row]]) -> Iterator[tuple[int, Row]]:
    """The rows. Raises PlanRefused where a compressed file ends too early or is damaged."""
    try:
        yield from rows
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise PlanRefused(f"{path} is damaged or cut short", why=str(error), fix="copy it again, whole") from error


def _open_text(path: Path) -> IO[str]:
    # A byte that is not UTF-8 breaks its own row, not a run of a million rows: it comes through as a lone surrogate.
    if path.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(path), encoding="utf-8-sig", errors="surrogateescape", newline="")
    return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _jsonl_rows(path: Path) -> Iterator[tuple[int, Row]]:
    with _open_text(path) as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, _parsed(line)


def _parsed(line: str) -> Row:
    if not _is_utf8(line):
        return NOT_UTF8
    try:
        row = json.loads(line)
    except ValueError as error:
        return f"not valid JSON: {error}"
    return row if isinstance(row, dict) else f"a {type(row).__name__} where an object was expected"


def _json_rows(path: Path) -> Iterator[tuple[int, Row]]:
    with _open_text(path) as file:
        text = file.read()
    try:
        whole = json.loads(text)
    except ValueError:
        yield from ((n, _parsed(line)) for n, line in enumerate(text.splitlines(), 1) if line.strip())
        return
    if not _is_utf8(text):
        raise PlanRefused(f"{path} cannot be read", why=NOT_UTF8, fix="save it as UTF-8")
    if isinstance(whole, dict):
        lists = [value for value in whole.values() if isinstance(value, list)]
        whole = lists[0] if len(lists) == 1 else [whole]
    whole = whole if isinstance(whole, list) else [whole]
    for number, row in enumerate(whole, 1):
        yield number, row if isinstance(row, dict) else f"a {type(row).__name__} where an object was expected"


def _csv_rows(path: Path, delimiter: str) -> Iterator[tuple[int, Row]]:
    csv.field_size_limit(1 << 30)
    with _open_text(path) as file:
        reader = csv.DictReader(file, delimiter=delimiter)
        for row in reader:
            # DictReader files surplus cells under None.
            wrong = "more cells than the header has columns" if None in row else None
            if not wrong and not all(_is_utf8(cell) for cell in row.values() if cell):
                wrong = NOT_UTF8
            yield reader.line_num, wrong or dict(row)


def _parquet_rows(path: Path) -> Iterator[tuple[int, Row]]:
    import pyarrow
    import pyarrow.parquet

    try:
        batches = pyarrow.parquet.ParquetFile(path).iter_batches(batch_size=1000)
    except pyarrow.ArrowInvalid as error:
        raise PlanRefused(f"{path} is not a parquet file that can be read", why=str(error)) from error
    number = 0
    for batch in batches:
        for row in batch.to_pylist():
            number += 1
            yield number, row


def _read_folder(path: Path, split: str) -> Iterator[tuple[int, Row]]:
    import datasets

    if not ((path / "dataset_info.json").is_file() or (path / "dataset_dict.json").is_file()):
        files = _data_files(path, split)
        if not files:
            raise PlanRefused(
                f"the folder {path} holds no data file for the split {split!r}",
                why=f"no name ends in one of {', '.join(FILE_KINDS)}, and it was not saved by `datasets`",
                fix="give one file of it (JSONL, JSON, CSV or parquet)",
            )
        return enumerate((row for file in files for _, row in _read_file(file)), 1)
    return enumerate(_split_of(datasets.load_from_disk(str(path)), str(path), split), 1)


def _data_files(folder: Path, split: str) -> list[Path]:
    """The files of a split by their names, as the advisor chooses them (advisor/data/source.py)."""
    files = sorted(
        file
        for file in folder.rglob("*")
        if file.is_file()
        and any(suffix in FILE_KINDS for suffix in file.suffixes)
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )
    named = [file for file in files if split in str(file.relative_to(folder)).lower()]
    if named or split != "train":
        return named
    held = ("eval", "valid", "dev", "test")
    return [file for file in files if not any(word in str(file.relative_to(folder)).lower() for word in held)]


def _split_of(found: Any, source: str, split: str) -> Any:
    import datasets

    if not isinstance(found, datasets.DatasetDict):
        return found
    if split not in found:
        raise PlanRefused(
            f"{source} has no split {split!r}", why=f"it has {', '.join(found)}", fix="set dataset.split in the plan"
        )
    return found[split]


def _read_hub(source: str, split: str) -> Iterator[tuple[int, Row]]:
    import datasets
    from huggingface_hub.errors import HfHubHTTPError

    try:
        found = datasets.load_dataset(source, split=split, streaming=True)
    except (OSError, ValueError, HfHubHTTPError, datasets.exceptions.DatasetNotFoundError) as error:
        raise EnvironmentLacking(
            f"the dataset {source} is neither a file here nor readable from the hub",
            why=str(error).splitlines()[0],
            fix="check the name and the network, or download it and give the file",
        ) from error
    return enumerate(found, 1)
