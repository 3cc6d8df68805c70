"""Several datasets as one: `a.jsonl:0.7 b.jsonl:0.3`, each read by its own layout, some of them more than once.

A weight is a dataset's share of the usable rows of one pass over the mixture, which has as many as all datasets
together; without weights every row counts once. A row that comes again is marked as a copy: it trains, and is no
duplicate that somebody forgot. The files of a folder that are of several layouts are a mixture too.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from trainers.errors import ExamplesError
from trainers.examples.example import RowError
from trainers.examples.reader import Reader, joined_reader
from trainers.examples.rows import Row
from trainers.examples.source import Source, has_columns, open_source, reader_of
from trainers.language import tr
from trainers.paths import find_local

_WEIGHTED = re.compile(r"(?P<name>.+):(?P<weight>\d*\.?\d+)$")
EXAMPLE = '--dataset "a.jsonl:0.7 b.jsonl:0.3"'


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One dataset of a mixture."""

    source: Source
    reader: Reader
    epochs: float = 1.0
    """How often each of its usable rows comes in one pass over the mixture."""


class Mixture(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a mixture, and the one reader of their rows."""

    parts: tuple[Part, ...]
    reader: Reader

    def rows(self) -> Iterator[Row]:
        """The rows of all parts, each usable one as often as its part's share asks for, numbered throughout."""
        number = 0
        for place, part in enumerate(self.parts):
            usable = 0
            for row in part.source.rows():
                times = 1
                if part.epochs != 1.0 and _is_usable(row, part.reader):
                    usable += 1
                    times = int(usable * part.epochs + 1e-9) - int((usable - 1) * part.epochs + 1e-9)
                problem = (
                    tr("{name}, line {line}: {problem}", name=part.source.name, line=row.line, problem=row.problem)
                    if row.problem
                    else ""
                )
                for copy in range(times):
                    number += 1
                    yield Row(number, row.value, problem, row.note, is_copy=copy > 0, part=place)


def pieces_of(text: str) -> list[tuple[str, float | None]]:
    """(name, weight) of each dataset that a text names; [] when it names one alone."""
    if find_local(text) is not None:
        return []
    try:
        names = shlex.split(text)
    except ValueError:
        return []
    found: list[tuple[str, float | None]] = []
    for name in names:
        match = _WEIGHTED.match(name) if find_local(name) is None else None
        found.append((match["name"], float(match["weight"])) if match else (name, None))
    return found if len(found) > 1 else []


def open_mixture(text: str, split: str, columns: Mapping[str, str], fetch: Callable[[str], Path]) -> Source:
    """The source of several datasets. Reads them once more where there are weights, to count usable rows.

    `columns` are those that the user named; they hold for each dataset that has all of them. Raises ExamplesError
    when one dataset cannot be read, none has the columns, or only some have a weight.
    """
    pieces = pieces_of(text)
    weights = [weight for _, weight in pieces if weight]
    if weights and len(weights) < len(pieces):
        raise ExamplesError(
            tr("{text} gives a weight above 0 to some datasets and not to others", text=text),
            why=tr("shares are of all"),
            fix=EXAMPLE,
        )
    sources = [open_source(name, split, fetch) for name, _ in pieces]
    readers = _readers(sources, columns)
    if weights:
        parts, notes = _weighted(sources, readers, weights)
    else:
        parts = [Part(source=source, reader=reader) for source, reader in zip(sources, readers, strict=True)]
        notes = [tr("{name}: every row once", name=source.name) for source in sources]
    notes += [
        tr("{name}: the set beside it is not used", name=source.name) for source in sources if source.eval_files
    ]
    files = tuple(file for source in sources for file in source.files)
    return Source(name=text, split=split, files=files, notes=tuple(notes), mixture=_mixture(parts))


def by_layout(source: Source, columns: Mapping[str, str]) -> Source:
    """The source itself; or, where its files are of several layouts, a mixture of them.

    Raises ExamplesError when a file cannot be read or is of no known layout.
    """
    if len(source.files) < 2 or source.mixture:
        return source
    # One part a file, named as the user finds it.
    alone = [Source(name=str(file), split=source.split, files=(file,), base=source.base) for file in source.files]
    readers = _readers(alone, columns)
    if len({(reader.layout.name, tuple(reader.mapping)) for reader in readers}) == 1:
        return source
    parts = [Part(source=one, reader=reader) for one, reader in zip(alone, readers, strict=True)]
    told = ", ".join(
        f"{file.name} as {one.layout.name}" for file, one in zip(source.files[:5], readers, strict=False)
    )
    notes = (*source.notes, tr("each file is read by its own layout: {told}", told=told))
    return msgspec.structs.replace(source, notes=notes, mixture=_mixture(parts))


def _mixture(parts: list[Part]) -> Mixture:
    return Mixture(parts=tuple(parts), reader=joined_reader(tuple(part.reader for part in parts)))


def _readers(sources: list[Source], columns: Mapping[str, str]) -> list[Reader]:
    """The reader of each; the columns that were named are taken where they are."""
    mapped = [bool(columns) and has_columns(source, columns) for source in sources]
    if columns and not any(mapped):
        # It says which column is not there.
        reader_of(sources[0], columns=columns)
    pairs = zip(sources, mapped, strict=True)
    return [reader_of(source, columns=columns if is_mapped else None) for source, is_mapped in pairs]


def _weighted(sources: list[Source], readers: list[Reader], weights: list[float]) -> tuple[list[Part], list[str]]:
    """The parts with their epochs, and what is said of each."""
    pairs = list(zip(sources, readers, strict=True))
    counts = [sum(_is_usable(row, reader) for row in source.rows()) for source, reader in pairs]
    total = sum(counts)
    parts, notes = [], []
    for (source, reader), count, weight in zip(pairs, counts, weights, strict=True):
        epochs = weight / sum(weights) * total / max(1, count)
        parts.append(Part(source=source, reader=reader, epochs=epochs))
        share = epochs * count / max(1, total)
        notes.append(
            tr(
                "{name}: {share:.0%} of the rows, {epochs:.2g} epochs of its {count:,}",
                name=source.name,
                share=share,
                epochs=epochs,
                count=count,
            )
        )
    return parts, notes


def _is_usable(row: Row, reader: Reader) -> bool:
    try:
        reader.example(row)
    except RowError:
        return False
    return True
