"""Tables of facts that come with the package as TOML. Parsed once per user: a copy is read ten times as fast."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import TypeVar

import msgspec

from trainers.folders import cache_folder
from trainers.writing import write_atomically

Row = TypeVar("Row", bound=msgspec.Struct)


def rows(file: Path, table: str, row: type[Row], *, kept_as: str) -> tuple[Row, ...]:
    """The rows of `table` in `file`, in its order. Raises msgspec.ValidationError for a row with an unknown field."""
    content = file.read_bytes()
    kept = f"{kept_as}-{hashlib.sha256(content).hexdigest()[:16]}.msgpack"
    form = tuple[row, ...]  # type: ignore[valid-type]
    with contextlib.suppress(OSError, RuntimeError, msgspec.MsgspecError):
        return msgspec.msgpack.decode((cache_folder() / kept).read_bytes(), type=form)
    parsed: tuple[Row, ...] = msgspec.toml.decode(content, type=dict[str, form])[table]
    with contextlib.suppress(OSError, RuntimeError):  # without a place to keep it, it is parsed again
        write_atomically(cache_folder() / kept, msgspec.msgpack.encode(parsed))
    return parsed
