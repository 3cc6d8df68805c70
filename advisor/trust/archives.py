"""What an archive would write when it is unpacked, told by its list of names: nothing is unpacked for it."""

from __future__ import annotations

import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from advisor.base.language import tr
from trainers.amounts import gib
from trainers.foreign.limits import unpacked_limit_bytes

TARS = (".tar", ".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz")
ZIP = b"PK\x03\x04"
MOST_MEMBERS = 1_000_000
_LINK_BYTES = 4096
_UNREADABLE = (
    OSError, EOFError, ValueError, RuntimeError, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile
)  # fmt: skip


class Member(NamedTuple):
    """A file in an archive, and where it leads when it is a link."""

    name: str
    target: str = ""


class Unlistable(Exception):  # noqa: N818  names what happened
    """An archive whose names cannot be read, or not all of them; the message says why."""


def is_archive(name: str, head: bytes) -> bool:
    """Whether a file is a zip, which says so itself, or named as tar archives are."""
    return head.startswith(ZIP) or name.lower().endswith((".zip", *TARS))


def members(path: Path) -> Iterator[Member]:
    """The names in a zip or tar file. Raises Unlistable, after what could be read."""
    listed = _of_tar(path) if path.name.lower().endswith(TARS) else _of_zip(path)
    try:
        yield from islice(listed, MOST_MEMBERS)
        if next(listed, None) is not None:
            raise Unlistable(tr("it holds more than {count:,} files; the rest was not looked at", count=MOST_MEMBERS))
    except _UNREADABLE as error:
        raise Unlistable(tr("it cannot be read: {error}", error=error)) from error


def _of_zip(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for one in archive.infolist():
            target = b""
            if stat.S_ISLNK(one.external_attr >> 16):
                with archive.open(one) as link:
                    target = link.read(_LINK_BYTES)
            yield Member(one.filename, target.decode(errors="replace"))


def _of_tar(path: Path) -> Iterator[Member]:
    is_packed = path.suffix.lower() != ".tar"
    limit_bytes = unpacked_limit_bytes(path.stat().st_size)
    # a packed one has to be unpacked up to the name that is read, so it is read once, and no further than is real
    with tarfile.open(path, mode="r|*" if is_packed else "r:") as archive:
        for one in archive:
            yield Member(one.name, one.linkname if one.issym() or one.islnk() else "")
            if is_packed and one.offset_data + one.size > limit_bytes:
                raise Unlistable(tr("it holds more than {size} once it is unpacked", size=gib(limit_bytes)))
