"""The map of models as a picture for inline SVG: a column a model, the smallest left; a line a method and length."""

from __future__ import annotations

from itertools import groupby
from typing import NamedTuple

from advisor.ask.amounts import length_in_short
from advisor.base.language import tr
from advisor.decide.model_map import MapRow, ModelMap
from advisor.report.model_map import NAMES, cell, headline, legend
from trainers.amounts import count
from trainers.method import METHODS, Method

WIDTH, GUTTER, LINE_HEIGHT = 1000.0, 130.0, 20.0
"""Of the viewBox; the gutter holds the names of the lines."""
TOP = 4.0
SIZES = (1e9, 3e9, 8e9, 14e9, 32e9, 70e9, 200e9, 600e9)
LEAST_APART = 55.0
"""Between two sizes on the axis, in the units of the viewBox."""


class Run(NamedTuple):
    """Neighbouring models of one verdict on one line."""

    x: float
    y: float
    width: float
    verdict: str


class Column(NamedTuple):
    """One model over all lines: what a pointer shows."""

    x: float
    title: str
    is_chosen: bool


class Picture(NamedTuple):
    """Everything that the template draws."""

    headline: str
    said: str
    """The picture in words."""
    height: float
    column_width: float
    runs: list[Run]
    columns: list[Column]
    lines: list[tuple[float, str]]
    """Upper edge and name."""
    sizes: list[tuple[float, str]]
    titles: list[str]
    """Of the table's columns behind name and size."""
    rows: list[tuple[str, str, list[tuple[str, str]]]]
    """Name, size and (verdict, text) of each cell, of the models that can be trained, the largest first."""
    notes: list[str]


def picture(found: ModelMap, chosen: str) -> Picture:
    """The picture of a map; `chosen` is the name of the model that the answer is about."""
    models = found.rows[::-1]
    width = (WIDTH - GUTTER) / max(1, len(models))
    names = [f"{_name(method)} {length_in_short(length)}" for method in found.methods for length in found.lengths]
    return Picture(
        headline=headline(found),
        said=tr("{headline}; each is a column, the smallest left", headline=headline(found)),
        height=TOP + LINE_HEIGHT * len(names) + 22,
        column_width=round(width, 2),
        runs=[run for place in range(len(names)) for run in _runs(models, place, width)],
        columns=[_column(row, GUTTER + place * width, chosen) for place, row in enumerate(models)],
        lines=[(TOP + LINE_HEIGHT * place, name) for place, name in enumerate(names)],
        sizes=_sizes(models, width),
        titles=names,
        rows=[_row(row) for row in found.rows if row.fits],
        notes=legend(found),
    )


def _runs(models: tuple[MapRow, ...], line: int, width: float) -> list[Run]:
    runs, x = [], GUTTER
    for verdict, alike in groupby(models, lambda row: row.cells[line].verdict):
        across = len(list(alike)) * width
        runs.append(Run(round(x, 2), TOP + LINE_HEIGHT * line, round(across, 2), verdict))
        x += across
    return runs


def _column(row: MapRow, x: float, chosen: str) -> Column:
    """Its title names the longest sequence of each method; the hours stand in the table beneath."""
    longest = {reach.method: reach.max_seq_len for reach in row.cells if reach.verdict in ("fits", "tight")}
    reached = ", ".join(f"{_name(method)} ≤{length_in_short(length)}" for method, length in longest.items())
    title = f"{row.model.name}, {count(row.model.params)}: {reached or tr('does not fit')}"
    return Column(round(x, 2), title, row.model.name.rpartition("/")[2] == chosen)


def _name(method: Method) -> str:
    return NAMES.get(method, METHODS[method].title)


def _sizes(models: tuple[MapRow, ...], width: float) -> list[tuple[float, str]]:
    """Where models of a round size begin, none too near to the one before."""
    found: list[tuple[float, str]] = []
    for size in SIZES:
        place = next((place for place, row in enumerate(models) if row.model.params >= size), None)
        if place is None:
            continue
        x = round(GUTTER + place * width, 2)
        if (not found or x - found[-1][0] >= LEAST_APART) and x <= WIDTH - LEAST_APART:
            found.append((x, count(int(size))))
    return found


def _row(row: MapRow) -> tuple[str, str, list[tuple[str, str]]]:
    return row.model.name, count(row.model.params), [(reach.verdict, cell(reach).plain) for reach in row.cells]
