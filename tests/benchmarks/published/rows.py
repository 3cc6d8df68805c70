"""The table itself: its rows, where each comes from, and how well it is specified."""

from __future__ import annotations

import csv
import re
from pathlib import Path

GIB = 1024**3
GRADE_A = ("fms", "fms-lig", "fms-gr", "litgpt-rt", "tune-flags", "fsdpq", "titan")
GRADE_B = ("peft-mm", "tune-hw", "tune-tut", "tune-old", "qwen", "swift1", "hfdoc-bert")
WEAK = frozenset(("litgpt-ch-021", "litgpt-ch-024", "litgpt-ch-034", "uns-nb-041", "axo-007"))


class NotExpressed(Exception):  # noqa: N818
    """Why a row has no expression."""


class NotStated(NotExpressed):
    """The row leaves out something without which no run can be predicted."""


def read_rows(path: Path) -> list[dict[str, str]]:
    """All rows of a table."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def source_of(row_id: str) -> str:
    """The prefix that names the source: fms-lig-021 -> fms-lig."""
    return re.sub(r"-\d+$", "", row_id)


def grade_of(row: dict[str, str]) -> str:
    """A or B as memory_measurements.md grades the source, else C."""
    sampled = re.search(r"nightly|sampled (once|at)", row["note"].lower())
    if row["id"] in WEAK or sampled:
        return "C"  # a counter read once at some step is no peak
    source = source_of(row["id"])
    if source in GRADE_A:
        return "A"
    return "B" if source in GRADE_B or row["id"] == "uns-nb-033" else "C"


def number(text: str, what: str) -> int:
    """A column that must be a whole number."""
    plain = re.fullmatch(r"(\d{1,3}(?:,\d{3})+|\d+)\s*([kM]?)", text.strip())
    if plain is None:
        raise NotStated(f"{what} unknown")
    return int(plain[1].replace(",", "")) * {"": 1, "k": 1024, "M": 1024**2}[plain[2]]


def says(row: dict[str, str], pattern: str) -> bool:
    """Whether the row's note says this, and not that it is off."""
    affirmed = re.sub(r"\b(no|not|without) [^,;]*", "", row["note"].lower())
    return re.search(pattern, affirmed) is not None
