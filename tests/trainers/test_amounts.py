"""Amounts in words: one form for reports, rules and the trainer's own lines, and nobody divides by hand."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.messages import format_value
from trainers import amounts

ROOT = Path(__file__).parents[2]
# rules may not import trainers: its own wording is held against that of trainers.amounts below.
WORDED_IN = ("trainers/amounts.py", "rules/messages.py")
UNITS = {*("KIB", "MIB", "GIB", "1024 ** 2", "1024 ** 3", "2 ** 20", "2 ** 30", "1 << 20", "1 << 30"), "1000000000.0"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (amounts.percent(0), "0%"),
        (amounts.percent(0.004), "0.4%"),
        (amounts.percent(0.974), "97%"),
        (amounts.percent(199 / 200), "99.5%"),
        (amounts.percent(1), "100%"),
        (amounts.size(None), "unknown"),
        (amounts.size(0), "0 bytes"),
        (amounts.size(84 * amounts.MIB), "84 MiB"),
        (amounts.size(15.3 * amounts.GIB), "15.3 GiB"),
        (amounts.gib(amounts.GIB // 4, 2), "0.25 GiB"),
        (amounts.mib(2000 * amounts.MIB), "2,000 MiB"),
        (amounts.kib(65_536), "64 KiB"),
        (amounts.size_of_flag(3 * amounts.GIB), "3GiB"),
        (amounts.size_of_flag(1250 * amounts.MIB - 1), "1250MiB"),
        (str(amounts.whole_gib(3 * amounts.GIB - 1)), "2"),
        (amounts.duration(None), "unknown"),
        (amounts.duration(40), "40 s"),
        (amounts.duration(9_360), "2 h 36 min"),
        (amounts.duration(5 * 86_400), "5.0 days"),
        (amounts.clock(59.9), "0:59"),
        (amounts.clock(3_725), "1:02:05"),
        (amounts.count(None), "unknown"),
        (amounts.count(5_000), "5,000"),
        (amounts.count(8.19e9), "8.19B"),
    ],
)
def test_an_amount_reads_as_a_person_writes_it(text: str, expected: str) -> None:
    assert text == expected


AMOUNTS = st.none() | st.integers(0, 10**16) | st.floats(0, 1e16)


@given(AMOUNTS)
def test_sizes_read_alike_in_a_rule_and_everywhere_else(num_bytes: float | None) -> None:
    assert amounts.size(num_bytes) == format_value(num_bytes, "bytes")


@given(st.none() | st.integers(0, 3 * 86_400 - 1) | st.floats(0, 3 * 86_400, exclude_max=True))
def test_times_read_alike_in_a_rule_and_everywhere_else(seconds: float | None) -> None:
    assert amounts.duration(seconds) == format_value(seconds, "seconds")


@given(AMOUNTS)
def test_counts_read_alike_in_a_rule_and_everywhere_else(number: float | None) -> None:
    assert amounts.count(number) == format_value(number, "short" if number and number >= 1e6 else "count")


def worded_by_hand(source: str) -> Iterator[str]:
    """Every division by a unit of size that an f-string shows, at once or through a name of the same function."""
    tree = ast.parse(source)
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.Module)):
        divided = {
            target.id
            for node in ast.walk(function)
            if isinstance(node, ast.Assign) and _divides(node.value) and not isinstance(function, ast.Module)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for shown in (node for node in ast.walk(function) if isinstance(node, ast.FormattedValue)):
            names = {node.id for node in ast.walk(shown.value) if isinstance(node, ast.Name)}
            if _divides(shown.value) or names & divided:
                yield f"line {shown.lineno}: {ast.unparse(shown.value)}"


def _divides(expression: ast.expr) -> bool:
    """Whether its value is such a quotient; what goes into a call of anything but a rounding function is not."""
    if isinstance(expression, ast.Call) and ast.unparse(expression.func) not in ("round", "int", "min", "max"):
        return False
    return any(
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Div | ast.FloorDiv)
        and ast.unparse(node.right).rsplit(".", 1)[-1] in UNITS
        for node in ast.walk(expression)
    )


@pytest.mark.parametrize("room", ["advisor", "rules", "trainers"])
def test_nobody_else_divides_bytes_to_show_them(room: str) -> None:
    found = [
        f"{file.relative_to(ROOT)} {place}"
        for file in sorted((ROOT / room).rglob("*.py"))
        if file.relative_to(ROOT).as_posix() not in WORDED_IN
        for place in worded_by_hand(file.read_text(encoding="utf-8"))
    ]
    assert not found, "show them with trainers.amounts: " + "; ".join(found)


@pytest.mark.parametrize(
    "line", ["f'{size / 2**30:.1f} GiB'", "f'{size // hardware.GIB} GiB'", "f'{round(size / MIB)} MiB'"]
)
def test_the_search_finds_a_division_at_once_and_through_a_name(line: str) -> None:
    shown = line.removeprefix("f'{").split("}")[0].split(":")[0]
    assert list(worded_by_hand(f"text = {line}"))
    assert list(worded_by_hand(f"def show(size):\n    left = {shown}\n    return f'{{left}} in all'"))
    assert not list(worded_by_hand(f"def share(size):\n    left = {shown}\n    return left"))
