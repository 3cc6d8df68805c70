"""The map as a picture: every model a column, each line whole, the words of the table those of the terminal."""

from __future__ import annotations

import pytest

from advisor.decide.model_map import ModelMap, model_map
from advisor.probe import hardware_from_text
from advisor.report.model_map import cell, headline
from advisor.report.page.model_map import GUTTER, WIDTH, Picture, picture
from advisor.report.page.report import render
from rules.engine import load_rule_book
from tests.report import made_by_hand as made

BOOK = load_rule_book()


@pytest.fixture(scope="module")
def found() -> ModelMap:
    machine = "8 GiB"
    return model_map(hardware_from_text(machine), machine, {}, BOOK, words=("llama-3",), unfit=True)


@pytest.fixture(scope="module")
def drawn(found: ModelMap) -> Picture:
    return picture(found, found.rows[0].model.name.rpartition("/")[2])


def test_every_line_is_whole_and_holds_each_model_once(found: ModelMap, drawn: Picture) -> None:
    assert len(drawn.lines) == len(found.methods) * len(found.lengths) == len({y for y, _ in drawn.lines})
    for y, _ in drawn.lines:
        runs = [run for run in drawn.runs if run.y == y]
        ends = [GUTTER] + [run.x + run.width for run in runs]
        assert [run.x for run in runs] == pytest.approx(ends[:-1], abs=0.1)
        assert ends[-1] == pytest.approx(WIDTH, abs=0.1)
    assert {run.verdict for run in drawn.runs} >= {"fits", "no"}


def test_columns_go_from_the_smallest_model_to_the_largest_and_the_chosen_one_is_marked(
    found: ModelMap, drawn: Picture
) -> None:
    names = [column.title.split(",")[0] for column in drawn.columns]
    assert names == [row.model.name for row in reversed(found.rows)]
    assert [column.is_chosen for column in drawn.columns] == [False] * (len(names) - 1) + [True]


def test_a_pointer_shows_the_longest_sequence_of_each_method(found: ModelMap, drawn: Picture) -> None:
    smallest, largest = drawn.columns[0].title, drawn.columns[-1].title
    assert "LoRA ≤" in smallest and smallest.count("LoRA ≤") == 2  # QLoRA is the other
    assert largest.endswith(": does not fit")


def test_the_table_says_what_the_terminal_says(found: ModelMap, drawn: Picture) -> None:
    fitting = [row for row in found.rows if row.fits]
    assert 0 < len(fitting) < len(found.rows)
    assert [name for name, _, _ in drawn.rows] == [row.model.name for row in fitting]
    for (_, _, cells), row in zip(drawn.rows, fitting, strict=True):
        assert [text for _, text in cells] == [cell(reach).plain for reach in row.cells]


def test_the_report_shows_it_where_it_was_made(found: ModelMap) -> None:
    without, page = (
        render(made.recommendation(), BOOK, "2026-01-31"),
        render(made.recommendation(), BOOK, "2026-01-31", found),
    )
    assert headline(found) in page and page.count('z"><title>') + page.count('class="chosen"') == len(found.rows)
    assert headline(found) not in without and 'class="models"' not in without


def test_a_machine_that_trains_nothing_has_a_picture_too() -> None:
    nothing = model_map(hardware_from_text("1 GiB"), "1 GiB", {}, BOOK, words=("llama-3.1-70b",), unfit=True)
    assert {run.verdict for run in picture(nothing, "").runs} == {"no"} and not picture(nothing, "").rows
