"""A few random cases of those that `python -m tests.decide.random_cases` tries by the thousand; some by name."""

from __future__ import annotations

import random

import msgspec
import pytest

from advisor.decide.decision import decide
from rules.engine import RuleBook
from tests.decide.random_cases import Case, broken_promises, random_case


@pytest.mark.parametrize("number", range(12))
def test_a_random_case_breaks_no_promise(book: RuleBook, number: int) -> None:
    case = random_case(random.Random(f"tried always {number}"))
    assert not list(broken_promises(case, book)), case


def test_a_case_is_the_same_each_time() -> None:
    assert random_case(random.Random("1")) == random_case(random.Random("1"))


def test_pure_bf16_is_not_what_wins_unasked_where_an_adapter_can_be_used(book: RuleBook) -> None:
    text = {"data.kind": "raw_text", "data.new_language": True, "data.examples": 1_594, "data.total_tokens": 99_000}
    case = Case(hardware="M3 Max 64GB", model="powerlm-3b", answers=text)
    best = decide(case.inputs(book)).best
    assert best is not None
    assert (best.method, best.plan.weights_dtype) != ("full", "bf16")
    wished = msgspec.structs.replace(case, answers=text | {"wish.method": "full"})
    asked = decide(wished.inputs(book)).best
    assert asked is not None
    assert (asked.method, asked.plan.weights_dtype) == ("full", "bf16")
