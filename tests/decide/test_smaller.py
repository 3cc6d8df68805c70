"""Where nothing fits, a model is named that does: of the family, of its line, of the catalogue."""

from __future__ import annotations

import pytest

from advisor.decide.decision import Inputs, decide
from advisor.decide.smaller import largest_that_fits
from advisor.model.catalog import from_catalog
from advisor.probe import hardware_from_text
from rules.engine import RuleBook

DATA = {"data.examples": 5_000, "wish.max_seq_len": 2048}


def inputs(book: RuleBook, model: str, machine: str) -> Inputs:
    spec = from_catalog(model)
    assert spec is not None
    return Inputs(answers=dict(DATA), hardware=hardware_from_text(machine), model=spec, data=None, book=book)


@pytest.mark.parametrize(
    ("model", "machine", "family"),
    [
        ("Qwen/Qwen3-32B", "8 GiB", "Qwen3"),
        ("meta-llama/Llama-3.3-70B-Instruct", "8 GiB", "Llama"),
        ("EleutherAI/gpt-j-6b", "4 GiB", ""),
    ],
)
def test_the_largest_that_fits_is_named_and_fits(book: RuleBook, model: str, machine: str, family: str) -> None:
    found = largest_that_fits(inputs(book, model, machine))
    assert found is not None
    best = decide(inputs(book, found.name, machine), traced=False).best
    assert best is not None and best.method == found.method
    asked, named = from_catalog(model), from_catalog(found.name)
    assert asked is not None and named is not None and named.num_params < asked.num_params
    assert found.family == family


def test_nothing_is_named_where_nothing_fits(book: RuleBook) -> None:
    assert largest_that_fits(inputs(book, "Qwen/Qwen3-8B", "1 GiB")) is None
