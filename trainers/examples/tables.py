"""The rows of a delimited text file, whatever the delimiter."""

from __future__ import annotations

import contextlib
import csv
import re
from collections import Counter
from collections.abc import Iterator
from typing import IO, Any

from trainers.language import tr

DELIMITERS = (",", ";", "\t", "|")
_SAMPLE_CHARACTERS = 1 << 16
_SAMPLE_ROWS = 30
_STATED = re.compile(r"[\"']?sep=(.)[\"']?", re.IGNORECASE)
"""The first line in which Excel states the delimiter."""


def delimiter_of(file: IO[str], usual: str) -> str:
    """The delimiter that gives most rows as many cells as the header; `usual` when none gives two columns."""
    lines = file.read(_SAMPLE_CHARACTERS).splitlines(keepends=True)
    if stated := _STATED.fullmatch(lines[0].strip() if lines else ""):
        return stated[1]
    best, best_score = usual, (0.0, 0, False)
    for delimiter in DELIMITERS:
        widths = [len(row) for row in _rows(lines, delimiter)]
        if not widths or widths[0] < 2:
            continue
        share = sum(width == widths[0] for width in widths) / len(widths)
        score = (share, widths[0], delimiter == usual)
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _rows(lines: list[str], delimiter: str) -> list[list[str]]:
    found: list[list[str]] = []
    # What comes before damage is sample enough; reading the file says what is wrong with it.
    with contextlib.suppress(csv.Error):
        for row in csv.reader(lines, delimiter=delimiter):
            if row:
                found.append(row)
            if len(found) > _SAMPLE_ROWS:
                break
    return found


def cells(file: IO[str], delimiter: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """(line, row) for each row, a text saying what is wrong in the place of one that is none.

    A cell that is missing at the end of a row is None. Of two columns of one name the second gets a number.
    """
    lines = _without_statement(file)
    reader = csv.DictReader(lines, delimiter=delimiter)
    if reader.fieldnames:
        reader.fieldnames = _told_apart(list(reader.fieldnames))
    for row in reader:
        # DictReader files surplus cells under None.
        surplus: Any = row.pop(None, None)
        if surplus and any(cell.strip() for cell in surplus):
            yield reader.line_num, tr("more cells than the header has columns")
        else:
            yield reader.line_num, dict(row)


def _without_statement(file: IO[str]) -> Iterator[str]:
    first = file.readline()
    if first and not _STATED.fullmatch(first.strip()):
        yield first
    yield from file


def _told_apart(names: list[str]) -> list[str]:
    """The names, each once: a second `completion` becomes `completion_2`."""
    found: list[str] = []
    taken: set[str] = set()
    seen: Counter[str] = Counter()
    for name in names:
        new = name
        seen[name] += 1
        while new in taken and name.strip():
            new = f"{name}_{max(2, seen[name])}"
            seen[name] += new in taken
        found.append(new)
        taken.add(new)
    return found
