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


MIXED = "1x RTX 3090 + 1x RTX 4060 Ti 16GB, 1024GB RAM"
FOUND: dict[str, Case] = {
    "fuzz 101 1794": Case(
        hardware=MIXED,
        model="ernie-4.5-0.3b-pt",
        answers={"data.examples": 128_678, "data.total_tokens": 19_559_056, "data.completion_tokens": 15_129_814},
    ),
    "fuzz 101 2493": Case(
        hardware=MIXED,
        model="qwen3-4b-instruct-2507",
        answers={
            "data.examples": 741_865, "data.total_tokens": 2_818_345_135, "data.completion_tokens": 2_127_757_042,
            "data.len_p95": 4_218, "task.priority": "quality", "data.new_language": True, "wish.max_seq_len": 128,
        },
    ),
    "fuzz 20264016 478": Case(
        hardware="2x NVIDIA T4G, 16GB RAM",
        model="llava-1.5-13b-hf",
        answers={
            "data.examples": 1_772_559, "data.total_tokens": 5_252_092_317, "data.completion_tokens": 1_642_117_720,
            "data.len_p95": 5_482, "data.kind": "chat", "task.shift": "large", "task.priority": "cost",
            "task.switch_per_request": True, "deploy.engine": "sglang", "deploy.weights": "gguf",
            "storage.budget_bytes": 512 << 20,
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FOUND)
def test_a_case_that_broke_a_promise_breaks_none(book: RuleBook, name: str) -> None:
    assert not list(broken_promises(FOUND[name], book))


def test_a_decision_is_the_same_with_and_without_its_traces(book: RuleBook) -> None:
    """A plan that fits by what the allocator gives back fitted only in the traced one: `changes` said otherwise."""
    case = Case(
        hardware="8x NVIDIA GeForce GTX 1060 6GB",
        model="mistral-7b-v0.1",
        answers={"data.examples": 492_675, "task.count": 30, "deploy.engine": "llama_cpp", "wish.max_seq_len": 3968},
    )
    traced, quick = (decide(case.inputs(book), traced=traced).ranked for traced in (True, False))
    assert [candidate.method for candidate in traced] == [candidate.method for candidate in quick] == ["qlora"]


@pytest.mark.parametrize("mib", [32, 512, 10_240])
def test_more_storage_never_asks_for_a_rank_that_memory_does_not_hold(book: RuleBook, mib: int) -> None:
    """On a Jetson of 4 GB a larger budget let the rank grow past the memory, and LoRA was gone."""
    case = Case(
        hardware="Jetson Orin Nano 4GB",
        model="pythia-1b",
        answers={
            "data.examples": 900_000, "data.total_tokens": 900_000_000, "data.completion_tokens": 700_000_000,
            "storage.budget_bytes": mib << 20,
        },
    )  # fmt: skip
    decision = decide(case.inputs(book))
    assert decision.best is not None
    assert not list(broken_promises(case, book))


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
