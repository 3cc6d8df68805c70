"""Files that are written whole or not at all. No torch."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from pathlib import Path

_UNFINISHED = re.compile(r"\.(.+\.)?[0-9a-f]{12}")
"""Names of files that are not yet what they will be, as the functions below give them."""


def write_atomically(path: Path, content: bytes, *, durable: bool = True, private: bool = False) -> None:
    """Replace `path` by `content` in one step, so that a reader never sees half a file, not even after a crash.

    With `private` nobody else may read it; `durable` waits until not even a power cut loses it.
    A new file has the mode that the umask gives; one that is there keeps its mode, and a link stays a link.
    What is no file (a device, a pipe, the standard output) is written to and never replaced.
    """
    if _takes_a_stream(path):
        with path.open("wb", buffering=0) as stream:
            stream.write(content)
        return
    if path.is_symlink():
        path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    # exclusive and not to be guessed: in a folder that others write to, a name laid out beforehand is not followed
    new = path.with_name(f".{path.name[:200]}.{os.urandom(6).hex()}")
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600 if private else 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            with contextlib.suppress(FileNotFoundError):
                if not private:
                    os.fchmod(handle, path.stat().st_mode & 0o777)
            file.write(content)
            file.flush()
            if durable:
                os.fsync(handle)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def clear_unfinished(*folders: Path) -> None:
    """Remove what killed writers left in these folders, not below them. Only while nobody writes there."""
    for folder in folders:
        for file in folder.glob(".*"):
            if _UNFINISHED.fullmatch(file.name) and file.is_file():
                file.unlink(missing_ok=True)


def open_as_usual(folder: Path) -> None:
    """Give files that a library wrote for their owner alone, as safetensors does, the mode that new files get here.

    A server or a container of another user could not read them otherwise.
    """
    new = folder / f".{os.urandom(6).hex()}"
    new.touch()
    usual = stat.S_IMODE(new.stat().st_mode)
    new.unlink()
    for file in folder.rglob("*"):
        if file.is_symlink() or not file.is_file() or usual & ~file.stat().st_mode == 0:
            continue
        with contextlib.suppress(PermissionError):  # on disks without modes, where nobody is kept out
            file.chmod(stat.S_IMODE(file.stat().st_mode) | usual)


def _takes_a_stream(path: Path) -> bool:
    """A device, a pipe, a socket, or an open file by its number (/dev/stdout, /dev/fd/3), whatever that is."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    by_number = path.is_symlink() and "/fd/" in str(path.readlink())
    return by_number or path.parent.as_posix() == "/dev/fd" or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
