"""The list on a terminal: typing filters, arrows move, Enter takes, Esc leaves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from advisor.commands.wizard.browse import Browser, Line, browse, drawn
from tests.commands.wizard.driving import DOWN, ENTER, typed

LINES = [Line(f"drawn {name}", name) for name in ("qwen 32B", "llama 8B", "qwen 8B", "gemma 4B")]


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        (ENTER, 0),
        (DOWN + ENTER, 1),
        ("qwen" + DOWN + ENTER, 2),
        ("8b qwen" + ENTER, 2),
        ("gemmax\x7f" + ENTER, 3),
        (DOWN * 9 + ENTER, 3),
        ("nothing" + ENTER, None),
        ("\x03", None),
    ],
)
def test_keys_find_a_line(keys: str, place: int | None) -> None:
    with typed(keys):
        assert browse("title", ["head"], LINES, ["legend"]) == place


@given(st.lists(st.sampled_from([-15, -1, 1, 15]), max_size=20), st.integers(1, 6))
def test_the_line_that_is_pointed_at_is_always_shown(steps: list[int], height: int) -> None:
    browser = Browser(LINES * 5)
    for step in steps:
        browser.move(step)
    shown = browser.window(height)
    assert len(shown) == height and sum(here for here, _ in shown) == 1


def test_a_table_is_drawn_as_its_head_and_one_line_a_row() -> None:
    table = Table("name", "size")
    for line in LINES:
        table.add_row(line.words, "1")
    table.show_edge = False
    head, lines = drawn(table, len(LINES), 80)
    assert any("name" in line for line in head)
    assert [line.words in drawn_line for line, drawn_line in zip(LINES, lines, strict=True)] == [True] * 4
