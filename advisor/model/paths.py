"""Finding what a user typed on the local disk, without stumbling over text that is no path."""

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
