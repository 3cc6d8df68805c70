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

BUFFER_BYTES = 1 << 18
UNPACKED: dict[str, Callable[[Path], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
"""Endings of compressed files, behind that of what they hold, and what opens them."""
DAMAGED = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)
"""What reading raises where a compressed file is damaged or cut short."""


def open_bytes(path: Path) -> IO[bytes]:
    """The file's bytes, decompressed."""
    unpack = UNPACKED.get(path.suffix.lower())
    return io.BufferedReader(unpack(path)) if unpack else path.open("rb", buffering=BUFFER_BYTES)
