"""The doors: a sound input of each kind, how it is changed, and the commands that meet it.

A door writes its input into a folder and gives the command lines that read it. Kept failures have the door's
name in theirs (`fuzz-DOOR-...`) and are fed in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.fuzz.doors import data, machines, models, plans
from tests.fuzz.doors.base import Door

DOORS: dict[str, Door] = {**models.DOORS, **data.DOORS, **plans.DOORS, **machines.DOORS}


def kept(folder: Path) -> Iterator[tuple[str, Path]]:
    """Door and file of every failure that was once found."""
    for file in sorted(folder.glob("fuzz-*")):
        door = file.name.split("-")[1]
        if door in DOORS:
            yield door, file
