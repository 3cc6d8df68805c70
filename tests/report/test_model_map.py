"""The map in the terminal: lines of fixed columns, names cut where there is no room, no rule for who wants words."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.text import Text

from advisor.report.model_map import NAME_WIDTH, Grid
from advisor.report.screen import Screen

ROWS = [
    [Text(name), Text("8B"), Text("1.5h", style="green"), Text("-", style="dim red")] for name in ("模型" * 20, "b")
]
TITLES = [("", "model"), ("", "size"), ("LoRA", "2k"), ("", "8k")]


def lines(width: int, *, plain: bool = False) -> list[str]:
    screen = Screen(file=io.StringIO(), width=width, plain=plain)
    with screen.capture() as captured:
        screen.print(Grid(TITLES, ROWS))
    return captured.get().splitlines()


@pytest.mark.parametrize("width", [20, 40, 100])
def test_every_line_is_as_wide_as_the_others(width: int) -> None:
    drawn = lines(width)
    assert len({cell_len(line) for line in drawn}) == 1 and len(drawn) == 3 + len(ROWS)


def test_a_name_is_cut_where_there_is_no_room_and_nothing_else_is() -> None:
    narrow, wide = lines(NAME_WIDTH + 18)[3], lines(100)[3]
    assert "…" in narrow and narrow.startswith("模型" * 2) and narrow.endswith("1.5h     -")
    assert "…" not in wide and wide.startswith("模型" * 20)


def test_who_wants_words_gets_no_rule() -> None:
    assert any("─" in line for line in lines(60)) and not any("─" in line for line in lines(60, plain=True))
