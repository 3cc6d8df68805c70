"""Where the source and the pages lie."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("advisor", "rules", "trainers")


def sources() -> Iterator[Path]:
    """Every Python file of the three packages."""
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))
