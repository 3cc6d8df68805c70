"""A slip of the finger leads to the card of that number, never to one that only sounds alike."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.base.errors import InputError
from advisor.probe import hardware_from_text
from advisor.probe.places.nearest import nearest_labels


@pytest.mark.parametrize(
    ("typed", "first"),
    [
        ("nvida a100", "A100"),
        ("rxt 4090", "RTX 4090"),
        ("gefroce rtx 3080", "RTX 3080"),
        ("rtx 409", "RTX 4090"),
        ("rtx 4091", "RTX 4090"),
        ("rtx 4909", "RTX 4090"),
        ("rtx 5909", "RTX 5090"),
        ("telsa t4", "T4"),
        ("h10", "A10"),
    ],
)
def test_the_nearest_has_the_number(typed: str, first: str) -> None:
    assert nearest_labels(typed)[0].startswith(first)
    with pytest.raises(InputError, match="not understood"):
        hardware_from_text(typed)


@given(st.from_regex(r"[a-z ]{1,30}", fullmatch=True))
def test_letters_alone_name_nothing(words: str) -> None:
    assert nearest_labels(words) == ()


@given(st.integers(100, 9999))
def test_every_answer_is_at_most_one_digit_away(number: int) -> None:
    for label in nearest_labels(f"card {number}"):
        assert any(abs(len(own) - len(str(number))) <= 1 for own in re.findall(r"\d+", label))
