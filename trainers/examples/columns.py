"""The rows of tables by column, parquet and Arrow: in slices that fit into memory, and none of a file that is a bomb.

Such files say a value once and how often it stands there, so that a few hundred bytes may hold gigabytes of rows.
What they hold is weighed where the columns still share it, which costs a hundredth of making rows of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from trainers.errors import ExamplesError
from trainers.examples.rows import Row, unreadable
from trainers.examples.stream import unpacks_to_too_much
from trainers.foreign.limits import is_weighed_first, unpacked_limit_bytes
from trainers.language import tr

_SLICE_ROWS = 5000
_SLICE_BYTES = 32 << 20
_FIRST_ROWS = 50
_HOLDER_BYTES = 64
"""What a row, a list or a structure takes with nothing in it, about as little as Python has for one."""
_VALUE_BYTES = 8
"""What any value takes, an empty one too: a text of JSON writes it between marks."""


def parquet_rows(path: Path) -> Iterator[Row]:
    """The rows of a parquet file. Raises ExamplesError where it cannot be read, or unpacks to too much."""
    import polars

    try:
        scan = polars.scan_parquet(path)
        total = int(scan.select(polars.len()).collect().item())
        yield from _rows(path, lambda start, count: scan.slice(start, count).collect(), total)
    except (polars.exceptions.PolarsError, polars.exceptions.PanicException) as error:
        raise _not_that(path, tr("a parquet"), error) from error


def arrow_rows(path: Path) -> Iterator[Row]:
    """The rows of an Arrow file, which is read whole. Raises ExamplesError as `parquet_rows` does."""
    import polars

    try:
        # `datasets` writes the stream form; other tools write the file form.
        with path.open("rb") as file:
            is_file_form = file.read(6) == b"ARROW1"
        frame = polars.read_ipc(path) if is_file_form else polars.read_ipc_stream(path)
        yield from _rows(path, frame.slice, frame.height)
    except (polars.exceptions.PolarsError, polars.exceptions.PanicException) as error:
        raise _not_that(path, tr("an Arrow"), error) from error


def _rows(path: Path, part: Callable[[int, int], Any], total: int) -> Iterator[Row]:
    size_bytes = path.stat().st_size
    limit = unpacked_limit_bytes(size_bytes)
    if total * _HOLDER_BYTES > limit:
        raise unpacks_to_too_much(path)
    if is_weighed_first(size_bytes):
        for _ in _slices(path, part, total, limit):
            pass
    for start, frame in _slices(path, part, total, limit):
        at_once = _rows_of(_SLICE_BYTES, frame.height, _weight_bytes(frame))
        for number, value in enumerate(frame.iter_rows(named=True, buffer_size=at_once), start + 1):
            yield Row(number, value)


def _slices(path: Path, part: Callable[[int, int], Any], total: int, limit_bytes: int) -> Iterator[tuple[int, Any]]:
    """(number of the first row, frame), each as large as memory has room for, judged by the one before."""
    start, count, weight = 0, _FIRST_ROWS, 0
    while start < total:
        frame = part(start, count)
        here = _weight_bytes(frame)
        weight += here
        if weight > limit_bytes:
            raise unpacks_to_too_much(path)
        yield start, frame
        start += count
        count = min(_SLICE_ROWS, 2 * count, _rows_of(_SLICE_BYTES, count, here))


def _rows_of(room_bytes: int, rows: int, weight_bytes: int) -> int:
    """How many such rows have room, one at least."""
    return max(1, rows * room_bytes // max(1, weight_bytes))


def _weight_bytes(frame: Any) -> int:
    rows: int = frame.height
    return rows * _HOLDER_BYTES + sum(map(_weight_of, frame.iter_columns()))


def _weight_of(column: Any) -> int:
    """Bytes that a column's values take outside of it, each counted as often as it stands there."""
    import polars

    count: int
    kind, count = column.dtype, len(column)
    if kind == polars.Struct:
        return count * _HOLDER_BYTES + sum(map(_weight_of, column.struct.unnest().iter_columns()))
    if kind in (polars.List, polars.Array):
        return count * _HOLDER_BYTES + _weight_of(column.drop_nulls().explode(empty_as_null=False))
    if kind in (polars.Categorical, polars.Enum):
        return _weight_of(column.cast(polars.String))
    held = 0
    if kind == polars.String:
        held = int(column.str.len_bytes().sum())
    if kind == polars.Binary:
        held = int(column.bin.size().sum())
    return count * _VALUE_BYTES + held


def _not_that(path: Path, kind: str, error: BaseException) -> ExamplesError:
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return unreadable(
        path, tr("is not {kind} file that can be read: {first}", kind=kind, first=first), tr("write it again")
    )
