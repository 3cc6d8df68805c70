"""What would change the answer, and what would make something fit: each flag, typed back, gives what it says."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.ask.answers import Layer, parse
from advisor.ask.questions import QUESTIONS
from advisor.decide.recommendation import Recommendation
from tests.decide.conftest import CHATS, Advise

KEY_OF_FLAG = {question.flag: question.key for question in QUESTIONS}
CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("1x 12GiB", "gemma-2-9b", {}),
    ("1x 64GiB", "gpt-oss-120b", {}),
    ("M3 Max 64GB", "mistral-7b-v0.3", {"deploy.latency_critical": True, "deploy.artifact": "adapters"}),
    ("4x V100-32GB", "gemma-3-12b-text", {}),
    ("4x NVIDIA A10G, 64GB RAM", "yi-34b", {}),
    ("2x RTX 3060 + 1x RTX 4090", "llama-3.1-8b", {}),
    ("RTX 4090", "Qwen3-8B", {"storage.budget_bytes": 700_000_001, "storage.variants": 20}),
    ("L40S", "Qwen3-4B", {"storage.budget_bytes": 200_000_000, "storage.variants": 20}),
    ("8x MI300X", "olmo-2-7b", {}),
]
NAMES = [f"{model} on {hardware}" for hardware, model, _ in CASES]


def typed(recommend: Advise, hardware: str, model: str, answers: dict[str, Any], flag: str) -> Recommendation:
    """The advice with the flags of `flag` added, read as the command line reads them."""
    words = shlex.split(flag)
    given = dict(zip(words[::2], words[1::2], strict=True))
    hardware, model = given.pop("--hardware", hardware), given.pop("--model", model)
    read, problems = parse(Layer("flag", {KEY_OF_FLAG[name]: value for name, value in given.items()}))
    assert problems == []
    named = dict(read.values)
    return recommend(hardware, named.pop("model", model), **(answers | named))


def told_truly(recommend: Advise, hardware: str, model: str, answers: dict[str, Any]) -> None:
    """Each flag of the answer, typed, is accepted and gives the verdict and the method that it promised."""
    result = recommend(hardware, model, search_changes=True, **answers)
    for change in result.changes:
        again = typed(recommend, hardware, model, answers, change.flag)
        assert (again.verdict, again.best and again.best.method) == (change.verdict, change.method), change.flag
    for remedy in result.remedies:
        promised = re.search(r"\((--.*)\): (\w+) fits", remedy)
        if promised:
            again = typed(recommend, hardware, model, answers, promised[1])
            verdict = "repair_first" if remedy.startswith("after the repair") else "recommended"
            assert (again.verdict, again.best and again.best.method) == (verdict, promised[2]), remedy


@pytest.mark.slow
@pytest.mark.parametrize(("hardware", "model", "answers"), CASES, ids=NAMES)
def test_every_change_and_remedy_is_accepted_when_typed_and_gives_what_it_says(
    recommend: Advise, hardware: str, model: str, answers: dict[str, Any]
) -> None:
    told_truly(recommend, hardware, model, answers)


EXPLORED = settings().max_examples
"""100 in `make test`, many more in `make explore`."""


@settings(
    max_examples=EXPLORED // 33 if EXPLORED <= 100 else EXPLORED,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    cards=st.sampled_from(["1x", "2x", "4x", "8x"]),
    card=st.sampled_from(["RTX 4090", "T4", "V100-32GB", "A100-80GB", "MI300X", "RTX 3060", "24GiB", "L4", "H100"]),
    ram=st.sampled_from(["", ", 32GB RAM", ", 256GB RAM"]),
    model=st.sampled_from(["Llama-3.2-1B", "Qwen3-8B", "Qwen3-32B", "Qwen3-30B-A3B", "gemma-3-12b", "Mixtral-8x7B"]),
    answers=st.fixed_dictionaries(
        {"data.examples": st.sampled_from([30, 400, 20_000, 1_000_000])},
        optional={
            "data.kind": st.sampled_from(["chat", "classification", "math", "raw_text", "facts"]),
            "storage.budget_bytes": st.sampled_from([20_000_000, 700_000_001, 90_000_000_000]),
            "task.count": st.sampled_from([1, 20]),
            "wish.method": st.sampled_from(["full", "lora", "qlora"]),
            "deploy.latency_critical": st.booleans(),
        },
    ),
)
def test_changes_of_any_case_are_true_when_typed(
    recommend: Advise, cards: str, card: str, ram: str, model: str, answers: dict[str, Any]
) -> None:
    told_truly(recommend, f"{cards} {card}{ram}", model, answers)


def test_two_changes_are_named_where_no_single_one_makes_anything_fit(recommend: Advise) -> None:
    result = recommend("1x 12GiB", "llama-3.1-405b")
    promised = re.search(r"\((--.*)\): (\w+) fits", result.remedies[0])
    assert promised is not None
    assert "1x" not in promised[1]
    assert "12GiB" not in promised[1]
    assert typed(recommend, "1x 12GiB", "llama-3.1-405b", {}, promised[1]).verdict == "recommended"


def test_a_smaller_model_on_cards_that_no_torch_runs_on_helps_after_the_repair_only(recommend: Advise) -> None:
    hardware, model, answers = "1x Tesla K20m, 256GB RAM", "gemma-3-1b", {"data.examples": 212_997}
    assert recommend(hardware, model, **answers).verdict == "repair_first"
    assert any(each.startswith("after the repair: ") for each in recommend(hardware, model, **answers).remedies)
    told_truly(recommend, hardware, model, answers)


def test_more_examples_are_what_changes_a_gate(recommend: Advise) -> None:
    changes = recommend("RTX 4090", "Qwen3-8B", search_changes=True, data__examples=30).changes
    assert [(change.verdict, "--data-examples 300" in change.flag) for change in changes] == [("recommended", True)]


def test_the_next_card_is_offered_by_its_name(recommend: Advise) -> None:
    remedies = recommend("1x H100-80GB", "gpt-oss-120b", wish__max_seq_len=8192).remedies
    assert any('(--hardware "1x B200"): qlora fits' in remedy for remedy in remedies)


def test_fewer_cards_are_a_remedy_where_the_ram_holds_no_process_for_each(recommend: Advise) -> None:
    remedies = recommend("8x RTX 4090, 16GB RAM", "Qwen3-8B").remedies
    assert any("4x GeForce RTX 4090, 16GB RAM" in remedy for remedy in remedies)


def test_more_ram_is_a_remedy_where_its_lack_is_what_forbids(recommend: Advise) -> None:
    remedies = recommend("2x RTX 4090, 16GB RAM", "Qwen2.5-72B").remedies
    assert any("GB RAM" in remedy for remedy in remedies)


def test_too_little_storage_is_named_with_the_size_that_is_enough(recommend: Advise) -> None:
    result = recommend("L40S", "Qwen3-4B", storage__budget_bytes=200_000_000, storage__variants=20)
    assert result.verdict == "nothing_fits"
    assert "--storage-budget-bytes" in result.remedies[0]


def test_ten_times_the_storage_is_never_worse(recommend: Advise) -> None:
    given = {"task__count": 2, "deploy__weights": "gguf"}
    small = recommend("cpu", "phi-1_5", storage__budget_bytes=181_610_208, **given)
    large = recommend("cpu", "phi-1_5", storage__budget_bytes=1_816_102_080, **given)
    assert (small.verdict, large.verdict) == ("recommended", "recommended")


def test_host_memory_of_a_merge_never_forbids_training_and_is_said(recommend: Advise) -> None:
    with_offload = recommend("2x RTX 4090, 256GB RAM", "Qwen2.5-72B", deploy__artifact="merged")
    assert with_offload.best is not None
    for machine, model in (("1x A100-80GB, 48GB RAM", "Qwen3-32B"), ("1x RTX 4090, 16GB RAM", "Llama-3.1-8B")):
        best = recommend(machine, model, deploy__artifact="merged").best
        assert best is not None
        assert "HW-44" in {trace.rule_id for trace in best.warnings}


def test_the_data_that_the_cases_share_are_answers_of_questions() -> None:
    assert CHATS.keys() <= set(KEY_OF_FLAG.values())
