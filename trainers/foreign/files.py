"""Small files of strangers: read whole, but never more than their kind can hold, and never from what could block.

read_small_file(folder / "config.json", CONFIG_BYTES)
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

from trainers.amounts import MIB, kib, mib

PLAN_BYTES = 1 * MIB
CONFIG_BYTES = 16 * MIB
"""config.json, generation_config.json and the like; the largest in use, with quantisation tables, is below 2 MiB."""
TOKENIZER_CONFIG_BYTES = 64 * MIB
"""tokenizer_config.json and chat templates: added tokens and tool descriptions make them long."""
TOKENIZER_BYTES = 256 * MIB
"""tokenizer.json; the largest in use is below 40 MiB."""
RECORD_BYTES = 64 * MIB
"""run.json, samples.json, trainer_state.json and the other records of a run."""
COUNTED_FILES = 100_000
LOG_BYTES = 1024 * MIB
"""metrics.jsonl: a line a step."""


def read_small_file(path: Path, limit_bytes: int, *, pipes: bool = False) -> bytes:
    """The bytes of a file. With `pipes`, those of a pipe too, such as `<(ssh node sft-advisor probe --json)`.

    Raises OSError whose `strerror` says what is wrong: as the system does, EFBIG for one that holds more than
    `limit_bytes`, and ENOTSUP for a device, a socket, or a pipe nobody asked for. None of them is waited for.
    """
    # a pipe without a writer would block in open, and a terminal could become that of this process
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | (0 if pipes else os.O_NONBLOCK))
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        mode = found.st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not (stat.S_ISREG(mode) or (pipes and stat.S_ISFIFO(mode))):
            raise OSError(errno.ENOTSUP, "it is a pipe or a device, not a file", str(path))
        # read(n) takes n bytes of memory before it reads; a pipe has no size
        size_bytes = found.st_size if stat.S_ISREG(mode) and found.st_size else limit_bytes
        content = file.read(min(size_bytes, limit_bytes) + 1)
    if len(content) > limit_bytes:
        raise OSError(errno.EFBIG, f"it is larger than any such file ({_size(limit_bytes)} at most)", str(path))
    return content


def json_object(path: Path, limit_bytes: int = RECORD_BYTES) -> dict[str, Any] | None:
    """The object that a JSON file holds; None where there is no such file, or none that can be read as one."""
    try:
        content = json.loads(read_small_file(path, limit_bytes))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def repeated_keys(path: Path, limit_bytes: int = RECORD_BYTES) -> list[str]:
    """Keys that a JSON file states more than once in one object: readers differ in which they take."""
    found: list[str] = []

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        counts = Counter(key for key, _ in pairs)
        found.extend(key for key, count in counts.items() if count > 1)
        return dict(pairs)

    try:
        json.loads(read_small_file(path, limit_bytes), object_pairs_hook=once)
    except (OSError, ValueError, RecursionError):
        return []
    return list(dict.fromkeys(found))


def inside(folder: Path, name: str) -> Path | None:
    """The file of this name in `folder`; None for a name that leads out of it, such as ../x or /etc/passwd."""
    if not name or "\0" in name:
        return None
    path = Path(name)
    return None if path.is_absolute() or ".." in path.parts else folder / path


def require_plain_file(path: Path) -> int:
    """Size in bytes of a file that is one. Raises OSError (ENOTSUP) for a pipe, device or folder, which may block."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.ENOTSUP, "it is a pipe, a device or a folder, not a file", str(path))
    return found.st_size


def bytes_at(path: Path) -> int:
    """Size in bytes of a file, or of all files in a folder and below; of a huge folder the first COUNTED_FILES."""
    files = path.rglob("*") if path.is_dir() else iter([path])
    return sum(file.stat().st_size for file in islice(files, COUNTED_FILES) if file.is_file())


def _size(size_bytes: int) -> str:
    return mib(size_bytes) if size_bytes >= MIB else kib(size_bytes)
