"""Letters: what looks like a name is read as that name, what a terminal would act on is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.base.errors import InputError
from advisor.probe import hardware_from_text
from advisor.probe.places.spelling import plain


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("\uff32\uff34\uff38\uff14\uff10\uff19\uff10", "RTX4090"),  # full-width
        ("2\u0445 RTX 4090", "2x RTX 4090"),  # Cyrillic x
        ("\u041d100", "H100"),  # Cyrillic N that looks like H
        ("\u0391100", "A100"),  # Greek Alpha
        ("A100\u201380GB", "A100-80GB"),  # an en dash
        ("H\u200b100", "H100"),  # an invisible space
        ("\u201cRTX 4090\u201d", "RTX 4090"),
        ("8\u5361A100", "8x A100"),
        ("4090\u53cc\u5361", "4090 x2"),
        ("Colab Pro+ A100", "Colab Pro A100"),
    ],
)
def test_what_looks_like_a_name_is_that_name(typed: str, meant: str) -> None:
    assert plain(typed) == meant


@given(st.from_regex(r"[A-Za-z0-9]+( [A-Za-z0-9]+)*", fullmatch=True))
def test_plain_words_stay_as_they_are(words: str) -> None:
    assert plain(words) == words


@pytest.mark.parametrize("text", ["RTX\x1b[31m 4090", "H100\x07", "9" * 5000, "H100 x" + "8" * 3000, "A" * 1000])
def test_control_characters_and_endless_words_are_refused_in_a_short_line(text: str) -> None:
    with pytest.raises(InputError) as caught:
        hardware_from_text(text)
    assert len(caught.value.problems[0].what) < 700
    assert "\x1b" not in str(caught.value) and "\x07" not in str(caught.value)
