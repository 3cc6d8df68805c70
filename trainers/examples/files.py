"""The rows of one file, each with its line: JSON lines, JSON, delimited text, parquet, Arrow, or plain documents.

    for row in read_file(Path("chats.jsonl")):     # row.value is a dict, or row.problem says what is wrong

Memory stays constant but for a .json file that is one object (not a list), which is read whole up to WHOLE_BYTES, and
one Arrow shard. Sizes are counted after decompression, so a small file that unpacks to a huge one is refused, not
swallowed.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from trainers.errors import ExamplesError
from trainers.examples import scripts
from trainers.examples.columns import arrow_rows, parquet_rows
from trainers.examples.disguises import disguise_of
from trainers.examples.encoding import encoding_of, guessed, open_text
from trainers.examples.jsonfiles import json_rows, jsonl_rows
from trainers.examples.people import NOTE as TALKS
from trainers.examples.people import is_phone_chat, talks, told_on_phone
from trainers.examples.rows import ROW_BYTES, WITH_COMMENTS, Note, Row, unreadable, without_comments
from trainers.examples.stream import DAMAGED, UNPACKED, refuse_a_bomb
from trainers.examples.tables import cells, delimiter_of
from trainers.foreign.files import require_plain_file
from trainers.language import later, tr

READABLE = later(
    ".jsonl, .json, .csv, .tsv, .parquet, .arrow, .txt, .md, .srt or .vtt (the text ones may be .gz, .bz2 or .xz)"
)
KINDS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".jsonlines": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".txt": "document",
    ".md": "document",
    ".srt": "subtitles",
    ".vtt": "subtitles",
}
PIECE_CHARACTERS = 16_000
"""A plain document is read in pieces of about this size, cut between paragraphs."""
_HEAD_CHARACTERS = 4096


def kind_of(path: Path) -> str:
    """What a file's ending says that it is; "" when it says nothing. Upper and lower case are the same."""
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in UNPACKED]
    return KINDS.get(suffixes[-1], "") if suffixes else ""


def read_file(path: Path) -> Iterator[Row]:
    """Every row. Raises ExamplesError when the file cannot be read at all."""
    readers: dict[str, Callable[[Path], Iterator[Row]]] = {
        "jsonl": jsonl_rows,
        "json": json_rows,
        "csv": lambda file: _table_rows(file, ","),
        "tsv": lambda file: _table_rows(file, "\t"),
        "parquet": parquet_rows,
        "arrow": arrow_rows,
        "document": _document_rows,
        "subtitles": _document_rows,
    }
    try:
        refuse_a_bomb(path)
        yield from readers[kind_of(path) or "jsonl"](path)
    except DAMAGED as error:
        raise unreadable(
            path, tr("is damaged or cut short: {error}", error=error), tr("copy it again, whole")
        ) from error
    except OSError as error:
        raise unreadable(
            path, tr("cannot be read: {strerror}", strerror=error.strerror or error), tr("check the file")
        ) from error


def checked(path: Path) -> Path:
    """The file, when there is something in it that can be read. Raises ExamplesError."""
    try:
        require_plain_file(path)
    except OSError as error:
        raise unreadable(
            path, tr("cannot be read: {strerror}", strerror=error.strerror), tr("give the file itself")
        ) from error
    disguise = disguise_of(path)
    if disguise:
        raise unreadable(path, *disguise)
    if not kind_of(path):
        what = tr("cannot tell what kind of file {path} is", path=path)
        fix = tr("rename it, for example to {name}", name=path.with_suffix(".jsonl").name)
        if path.suffix.lower() in WITH_COMMENTS:
            fix = without_comments(str(path))
        raise ExamplesError(what, why=tr("datasets end in {readable}", readable=tr(READABLE)), fix=fix)
    if path.stat().st_size == 0:
        raise unreadable(path, tr("is empty"), tr("give a file with at least two examples"))
    return path


def _table_rows(path: Path, usual: str) -> Iterator[Row]:
    csv.field_size_limit(ROW_BYTES)
    encoding, words = encoding_of(path)
    with open_text(path, encoding) as file:
        delimiter = delimiter_of(file, usual)
    notes = [guessed(encoding, words)]
    if delimiter != usual:
        notes.append(Note(tr("columns are set apart by {delimiter!r}", delimiter=delimiter)))
    note = _joined([one for one in notes if one])
    with open_text(path, encoding) as file:
        try:
            for line, row in cells(file, delimiter):
                yield _table_row(line, row, note)
                note = None
        except csv.Error as error:
            raise unreadable(
                path, tr("is not valid CSV: {error}", error=error), tr("save it again as CSV in UTF-8")
            ) from error


def _joined(notes: list[Note]) -> Note | None:
    if not notes:
        return None
    return Note("; ".join(note.text for note in notes), any(note.is_doubtful for note in notes))


def _table_row(line: int, row: dict[str, Any] | str, note: Note | None) -> Row:
    if isinstance(row, str):
        return Row(line, None, row, note)
    if not all(text is None or _is_utf8(text) for cell in row.items() for text in cell):
        return Row(line, None, tr("not UTF-8 text"), note)
    return Row(line, row, note=note)


def _is_utf8(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _document_rows(path: Path) -> Iterator[Row]:
    """A plain document in pieces of whole paragraphs."""
    encoding, words = encoding_of(path)
    note = guessed(encoding, words)
    with open_text(path, encoding) as file:
        head = file.read(_HEAD_CHARACTERS)
    if is_phone_chat(head):
        with open_text(path, encoding) as file:
            for number, talk in enumerate(talks(told_on_phone(file)), 1):
                yield Row(number, talk, note=Note(tr(TALKS)) if number == 1 else None)
        return
    if scripts.is_script(head):
        with open_text(path, encoding) as file:
            for number, talk in enumerate(scripts.conversations(_bounded(file)), 1):
                yield Row(number, talk, note=Note(tr(scripts.NOTE)) if number == 1 else None)
        return
    piece: list[str] = []
    size = start = 0
    with open_text(path, encoding) as file:
        lines = _bounded(file)
        lines = scripts.without_times(lines) if kind_of(path) == "subtitles" else lines
        for number, line in enumerate(lines, 1):
            piece, size, start = (piece, size, start) if piece else ([], 0, number)
            piece.append(line)
            size += len(line)
            if size > PIECE_CHARACTERS and not line.strip():
                yield _piece(start, piece, note)
                piece, note = [], None
    if "".join(piece).strip():
        yield _piece(start, piece, note)


def _bounded(file: IO[str]) -> Iterator[str]:
    """The lines, those of any length in parts that fit into memory."""
    return iter(lambda: file.readline(ROW_BYTES), "")


def _piece(line: int, piece: list[str], note: Note | None) -> Row:
    text = "".join(piece).strip()
    if not _is_utf8(text):
        return Row(line, None, tr("not UTF-8 text"), note)
    return Row(line, {"text": text}, note=note)
