"""The bytes of a file, decompressed where its name says so."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import IO

BUFFER_BYTES = 1 << 18


def open_bytes(path: Path) -> IO[bytes]:
    """The file's bytes, decompressed."""
    if path.suffix.lower() == ".gz":
        return io.BufferedReader(gzip.open(path))
    return path.open("rb", buffering=BUFFER_BYTES)
