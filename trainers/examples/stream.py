"""The bytes of a file, decompressed where its name says so."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from trainers.errors import ExamplesError
from trainers.examples.rows import unreadable
from trainers.foreign.limits import MOST_TIMES_UNPACKED, is_weighed_first, unpacked_limit_bytes
from trainers.language import tr

BUFFER_BYTES = 1 << 18
UNPACKED: dict[str, Callable[[Path], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
"""Endings of compressed files, behind that of what they hold, and what opens them."""
DAMAGED = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)
"""What reading raises where a compressed file is damaged or cut short."""


def open_bytes(path: Path) -> IO[bytes]:
    """The file's bytes, decompressed."""
    unpack = UNPACKED.get(path.suffix.lower())
    return io.BufferedReader(_Counted(path, unpack(path))) if unpack else path.open("rb", buffering=BUFFER_BYTES)


def refuse_a_bomb(path: Path) -> None:
    """Raises ExamplesError for a small compressed file that unpacks to far more than any dataset of its size.

    A larger one is counted while it is read.
    """
    if path.suffix.lower() in UNPACKED and is_weighed_first(path.stat().st_size):
        with open_bytes(path) as file:
            while file.read(1 << 20):
                pass


def unpacks_to_too_much(path: Path) -> ExamplesError:
    """What is said of a file that holds more than it may."""
    limit = unpacked_limit_bytes(path.stat().st_size)
    return unreadable(
        path,
        tr(
            "unpacks to more than {limit} GiB, over {times} times its size",
            limit=limit >> 30,
            times=MOST_TIMES_UNPACKED,
        ),
        tr("if you trust it: write its rows once each as JSON lines, and set how often they are seen by the epochs"),
    )


class _Counted(io.RawIOBase):
    """What a compressed file holds, up to as much as it may hold."""

    def __init__(self, path: Path, unpacked: IO[bytes]) -> None:
        self._path, self._unpacked = path, unpacked
        self._left_bytes = unpacked_limit_bytes(path.stat().st_size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._unpacked.read(len(buffer))
        self._left_bytes -= len(piece)
        if self._left_bytes < 0:
            raise unpacks_to_too_much(self._path)
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self._unpacked.close()
        super().close()
