"""Finding what a user typed on the local disk, and tolerating text that is not a path."""

from __future__ import annotations

from pathlib import Path


def find_local(text: str) -> Path | None:
    """The file or folder of that name, `~` expanded; None when there is none, or when it cannot be a path at all."""
    try:
        path = Path(text).expanduser()
        return path if path.exists() else None
    except (OSError, RuntimeError, ValueError):
        # A name too long for the system, a `~user` that does not exist, a NUL character.
        return None


def absolute(text: str) -> str:
    """What a path or a pattern of files names, as it reads from any folder; a hub id or a missing path as it is."""
    path = find_local(text)
    if path is None and any(mark in text for mark in "*?["):
        path = Path(text).expanduser()
    if path is None:
        return text
    return str(path.resolve() if ".." in path.parts else path.absolute())
