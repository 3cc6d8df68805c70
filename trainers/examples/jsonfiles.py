"""The rows of JSON files: one object a line, or documents that hold rows in any of their usual ways."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

import msgspec

from trainers.errors import ExamplesError
from trainers.examples import rows as limits
from trainers.examples.conversation import is_conversation
from trainers.examples.documents import are_wrapped, rows_of_document, splits_of, unwrapped
from trainers.examples.encoding import encoding_of, guessed, open_text
from trainers.examples.rows import Note, Row, as_row, json_name, unreadable, without_comments
from trainers.examples.stream import open_bytes
from trainers.examples.turns import decoded
from trainers.examples.values import BrokenTextError, Value, ValueReader
from trainers.language import later, tr

_NO_JSON = re.compile(r'"(?:\\.|[^"\\])*"|(?P<found>//|/\*|,\s*[]}])', re.DOTALL)
"""A comment, or a comma before a closing bracket, outside any text."""
_BOM = b"\xef\xbb\xbf"
_HEAD_CHARACTERS = 1 << 20
LOOKED_AT = 4
"""Items of a list that tell whether it is a conversation or rows."""


def jsonl_rows(path: Path) -> Iterator[Row]:
    """The rows of a file with one object a line. Raises OSError and `stream.DAMAGED` as reading does."""
    encoding, words = encoding_of(path)
    note = guessed(encoding, words)
    decode = msgspec.json.Decoder().decode
    if _goes_over_lines(path, encoding):
        with open_text(path, encoding) as text:
            try:
                for row in _numbered(ValueReader(text).documents()):
                    yield msgspec.structs.replace(row, note=note) if note else row
                    note = None
            except BrokenTextError as error:
                raise unreadable(
                    path,
                    tr("holds objects over several lines, one of which is broken: {error}", error=error),
                    tr(_REPAIR),
                ) from error
        return
    with open_bytes(path) if encoding == "utf-8" else _Recoded(path, encoding) as file:
        for number, line in _lines(file):
            if line is None:
                yield Row(number, None, tr("longer than {row_bytes} MiB", row_bytes=limits.ROW_BYTES >> 20))
                continue
            # Nearly every line is one object; what else it may be is found out where it is none.
            value = _object(decode, line)
            if value is not None:
                yield Row(number, value, note=note)
                note = None
            elif line.strip():
                for row in _rows_of_line(decode, line, number):
                    yield row if note is None else Row(row.line, row.value, row.problem, note)
                    note = None


def _object(decode: Callable[[bytes], Any], line: bytes) -> dict[str, Any] | None:
    """The object of a line; None where it is anything else."""
    try:
        value = decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return value if type(value) is dict else None


def _goes_over_lines(path: Path, encoding: str) -> bool:
    """Whether the first object of a file is written over several lines, as `indent=2` does."""
    with open_text(path, encoding) as file:
        reader = ValueReader(file)
        if reader.first() not in ("{", "["):
            return False
        line = file_line(path, encoding)
        if _is_value(line):
            return False
        try:
            return next(reader.documents()).value is not None
        except BrokenTextError:
            return False


def file_line(path: Path, encoding: str) -> str:
    """The first line that is not blank."""
    with open_text(path, encoding) as file:
        return next((line for line in iter(lambda: file.readline(limits.ROW_BYTES), "") if line.strip()), "")


def _is_value(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


class _Recoded:
    """A text file of another encoding as the lines of UTF-8 that it would be."""

    def __init__(self, path: Path, encoding: str) -> None:
        self.text = open_text(path, encoding)

    def __enter__(self) -> _Recoded:
        return self

    def __exit__(self, *_: object) -> None:
        self.text.close()

    def readline(self, limit: int) -> bytes:
        """The next line, at most `limit` characters of it."""
        return self.text.readline(limit).encode("utf-8", "replace")


def _lines(file: IO[bytes] | _Recoded) -> Iterator[tuple[int, bytes | None]]:
    """(number, line), None in the place of a line longer than limits.ROW_BYTES."""
    number = 0
    while line := file.readline(limits.ROW_BYTES):
        number += 1
        if number == 1:
            line = line.removeprefix(_BOM)
        if len(line) < limits.ROW_BYTES or line.endswith(b"\n"):
            yield number, line
            continue
        skipped = len(line)
        while line and not line.endswith(b"\n"):
            line = file.readline(limits.ROW_BYTES)
            skipped += len(line)
            if skipped > limits.LINE_BYTES:
                raise ExamplesError(
                    tr(
                        "line {number} goes on for more than {line_bytes} MiB",
                        number=number,
                        line_bytes=limits.LINE_BYTES >> 20,
                    ),
                    why=tr("no row is that long; the file is damaged, or made to take time"),
                    fix=tr("look at the end of the line before it, and write the file again"),
                )
        yield number, None


def _rows_of_line(decode: Callable[[bytes], Any], line: bytes, number: int) -> Iterator[Row]:
    row = _decoded(decode, line, number)
    if isinstance(row, Row):
        yield row
    elif is_conversation(row):
        yield Row(number, {"messages": row})
    elif row and all(isinstance(one, dict) for one in row):
        # A whole list of rows in one line.
        yield from (Row(number, one) for one in row)
    else:
        yield as_row(row, number)


def _decoded(decode: Callable[[bytes], Any], line: bytes, number: int) -> Row | list[Any]:
    try:
        value = decode(line.rstrip(b"\r\n"))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _decoded_leniently(line, number, str(error))
    except RecursionError:
        return Row(number, None, tr("nested too deeply"))
    if isinstance(value, str) and isinstance(inner := decoded(value), dict):
        return Row(number, inner, note=Note(tr("each row is JSON inside a JSON text")))
    return value if isinstance(value, list) else as_row(value, number)


def from_python(line: bytes) -> dict[str, Any] | None:
    """The object of a line that was printed by Python: `{'prompt': 'Hi', 'n': None}`; None for any other."""
    found = decoded(line.decode("utf-8", "replace").strip())
    try:
        return found if isinstance(found, dict) and json.dumps(found, ensure_ascii=False).encode() else None
    except (TypeError, ValueError):
        return None


def _decoded_leniently(line: bytes, number: int, problem: str) -> Row | list[Any]:
    """The row of a line that is JSON but for NaN and Infinity, which data frames write for an empty cell."""
    try:
        value = _lenient(line.decode())
    except UnicodeDecodeError as bad:
        return Row(number, None, tr("not UTF-8 text (byte {start} of the line)", start=bad.start))
    except UnicodeEncodeError:
        return Row(number, None, tr("holds half a character (a lone surrogate), which no tokenizer takes"))
    except RecursionError:
        return Row(number, None, tr("nested too deeply"))
    except ValueError:
        found = from_python(line)
        if found is not None:
            return Row(number, found, note=Note(tr("rows are written as Python prints them, not as JSON")))
        return Row(number, None, (tr("cut short: ") if "truncated" in problem else tr("not valid JSON: ")) + problem)
    return value if isinstance(value, list) else as_row(value, number)


def _lenient(text: str) -> Any:
    """JSON with NaN and Infinity as null. Raises ValueError (also for half characters) and RecursionError."""
    value = json.loads(text, parse_constant=lambda _: None)
    json.dumps(value, ensure_ascii=False).encode()
    return value


def json_rows(path: Path) -> Iterator[Row]:
    """The rows of a JSON document: a list item by item, an object whole, or objects one behind the other.

    Raises ExamplesError when it holds no rows, is no JSON, or is one object that is too large; and what reading does.
    """
    encoding, words = encoding_of(path)
    note = guessed(encoding, words)
    with open_text(path, encoding) as file:
        first = ValueReader(file).first()
    if first != "[" and _is_lines(path, encoding):
        rows: Iterator[Row] = jsonl_rows(path)
    else:
        rows = _items(path, encoding) if first == "[" else _rows_of_object(path, encoding)
    for row in rows:
        yield msgspec.structs.replace(row, note=row.note or note) if row.note or note else row
        note = None


def _is_lines(path: Path, encoding: str) -> bool:
    """Whether a file holds one object a line: so do its first two lines that are not blank."""
    found: list[bool] = []
    with open_text(path, encoding) as file:
        while len(found) < 2 and (line := file.readline(limits.ROW_BYTES)):
            if line.strip():
                found.append(line.lstrip().startswith("{") and line.rstrip().endswith("}"))
    return len(found) == 2 and all(found)


def _items(path: Path, encoding: str) -> Iterator[Row]:
    """The rows of a file that begins with a list; a list of turns is one conversation."""
    number = 0
    with open_text(path, encoding) as file:
        reader = ValueReader(file)
        try:
            while reader.first():
                items = reader.items() if reader.first() == "[" else reader.documents()
                start = list(islice(items, LOOKED_AT))
                values = [one.value for one in start]
                if is_conversation(values):
                    number += 1
                    yield from _conversation(number, values, items)
                    continue
                unwrap = are_wrapped(values)
                for one in chain(start, items):
                    number += 1
                    value = unwrapped(one.value) if unwrap else one.value
                    yield Row(number, None, one.problem) if one.problem else as_row(value, number)
        except BrokenTextError as error:
            raise unreadable(
                path,
                tr("is no valid JSON behind row {number}: {error}", number=number, error=error),
                _mended(path, encoding),
            ) from error


def _conversation(number: int, turns: list[Any], more: Iterator[Value]) -> Iterator[Row]:
    turns = [*turns, *(one.value for one in more)]
    yield Row(number, {"messages": turns}, note=Note(tr("each list of the document is one conversation")))


def _rows_of_object(path: Path, encoding: str) -> Iterator[Row]:
    """The rows of a file that begins with an object."""
    content = _whole(path)
    if encoding != "utf-8":
        content = content.decode(encoding, "replace").removeprefix("\ufeff").encode("utf-8", "replace")
    try:
        whole = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        how = str(error)
        with open_text(path, encoding) as file:
            try:
                found = list(ValueReader(file).documents())
            except BrokenTextError as broken:
                kind = tr("is cut short: ") if broken.is_cut else tr("is not valid JSON: ")
                if isinstance(error, UnicodeDecodeError):
                    kind, how = (
                        tr("holds bytes that are no text in UTF-8: "),
                        tr("the first at {start}", start=error.start),
                    )
                raise unreadable(path, kind + how, _mended(path, encoding)) from error
        if len(found) == 1 and found[0].problem:
            raise unreadable(
                path, tr("holds text that is damaged: {problem}", problem=found[0].problem), tr(_REPAIR)
            ) from error
        if len(found) != 1:
            yield from _numbered(iter(found))
            return
        whole = found[0].value
    yield from _rows_of_whole(path, whole)


_REPAIR = later("repair it, or write one object a line into a .jsonl file")


def _mended(path: Path, encoding: str) -> str:
    """What to do about a document that is no JSON: the command that takes comments out where it holds some."""
    with open_text(path, encoding) as file:
        head = file.read(_HEAD_CHARACTERS)
    is_nearly_json = any(found["found"] for found in _NO_JSON.finditer(head))
    return without_comments(str(path)) if is_nearly_json else tr(_REPAIR)


def _numbered(values: Iterator[Value]) -> Iterator[Row]:
    for number, one in enumerate(values, 1):
        yield Row(number, None, one.problem) if one.problem else as_row(one.value, number)


def _rows_of_whole(path: Path, whole: Any) -> Iterator[Row]:
    number = 0
    for split, part in splits_of(whole).items():
        values, note = rows_of_document(part)
        if not values and not isinstance(part, list):
            raise unreadable(
                path,
                tr("holds a {kind}, not a list of examples", kind=tr(json_name(part))),
                tr("give a list of objects"),
            )
        for value in values:
            number += 1
            row = as_row(value, number)
            yield Row(number, row.value, row.problem, note, split=split)
            note = None


def _whole(path: Path) -> bytes:
    """All bytes, decompressed. They are counted first, so that a file that unpacks to too many fills no memory."""
    size = 0
    with open_bytes(path) as file:
        while block := file.read(1 << 20):
            size += len(block)
            if size > limits.WHOLE_BYTES:
                fix = tr(
                    "write one object a line instead: jq -c '{rows}' {path} > {new}",
                    rows='.[] | if type == "array" then .[] else . end',
                    path=path,
                    new=path.with_suffix(".jsonl"),
                )
                how = tr(
                    "unpacks to more than {whole_bytes} MiB of JSON in one object",
                    whole_bytes=limits.WHOLE_BYTES >> 20,
                )
                raise unreadable(path, how, fix)
    with open_bytes(path) as file:
        return file.read().removeprefix(_BOM)
