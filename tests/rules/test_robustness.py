"""Small changes never make the advice jump to and fro: along an axis a setting changes, and never back."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.engine import RuleBook, load_rule_book
from rules.facts import DATA_KINDS, PRIORITIES, SHIFTS

BOOK = load_rule_book()
BASE: dict[str, Any] = {
    "plan.method": "lora",
    "plan.accelerator": "cuda",
    "plan.num_gpus": 1,
    "plan.sharding": "none",
    "machine.accelerator": "cuda",
    "gpu.count": 1,
    "gpu.sm": 89,
    "gpu.memory_bytes": 25_000_000_000,
    "env.flash_attention": True,
    "model.params": 8_000_000_000,
    "model.adapter_params_per_rank": 2_621_440,
    "model.held_params_per_rank": 2_621_440,
    "model.held_params_per_rank_in_4_bits": 2_621_440,
    "model.max_position_embeddings": 32_768,
    "model.is_moe": False,
    "model.family": "llama",
    "data.examples": 8_000,
    "data.completion_tokens": 3_000_000,
    "data.len_mean": 400.0,
    "data.len_p95": 1_200,
    "task.count": 1,
    "storage.budget_bytes": 10_000_000_000,
    "storage.variants": 4,
}
FIXED = ("method", "accelerator", "num_gpus", "sharding")


def path_of(field: str, facts: Iterable[dict[str, Any]], book: RuleBook) -> list[Any]:
    """The values of a setting along an axis, repeats left out."""
    values = [book.fill(given, fixed=FIXED, traced=False)[0].get(field) for given in facts]
    return [values[0], *(new for old, new in pairwise(values) if new != old)]


def around(numbers: Iterable[int]) -> list[int]:
    return sorted({max(1, number + step) for number in numbers for step in (-1, 0, 1)})


def with_steps(given: dict[str, Any]) -> dict[str, Any]:
    """The number of steps as the advisor counts it: 95 % of the examples, each seen in every epoch."""
    values, _ = BOOK.fill(given, fixed=FIXED, traced=False)
    steps = int(0.95 * given["data.examples"] * values["num_epochs"] / values["global_batch_size"]) + 1
    return given | {"plan.num_steps": steps}


@pytest.mark.parametrize("kind", DATA_KINDS)
def test_one_more_example(kind: str) -> None:
    edges = [60, 100, 120, 199, 230, 400, 450, 700, 800, 880, 1_170, 1_600, 2_000, 20_000]
    edges += [1_000, 5_000, 10_000, 100_000]
    sizes = around([*edges, 500_000, 1_000_000])
    axis = [with_steps(BASE | {"data.kind": kind, "data.examples": size}) for size in sizes]
    for field in ("num_epochs", "global_batch_size", "lora_dropout", "packing"):
        path = path_of(field, axis, BOOK)
        assert len(path) == len(set(path)), f"{field} goes {path}"


@pytest.mark.parametrize("kind", DATA_KINDS)
def test_one_more_example_does_not_double_the_learning_rate(kind: str) -> None:
    """It follows the root of the batch, a power of two, and falls within one batch as the run grows longer."""
    edges = [60, 120, 450, 800, 1_000, 2_000, 5_000, 10_000, 20_000, 100_000, 500_000, 1_000_000]
    for size in edges:
        near = [with_steps(BASE | {"data.kind": kind, "data.examples": n}) for n in (size - 1, size, size + 1)]
        rates = [BOOK.fill(given, fixed=FIXED, traced=False)[0]["learning_rate"] for given in near]
        assert all(max(one, other) / min(one, other) < 2 for one, other in pairwise(rates)), rates


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("priority", PRIORITIES)
def test_one_more_token(shift: str, priority: str) -> None:
    edges = [2_621_440 * rank for rank in (8, 16, 32, 64, 128, 256)] + [20_000_000]
    facts = {"task.shift": shift, "task.priority": priority, "data.kind": "chat"}
    axis = [BASE | facts | {"data.completion_tokens": tokens} for tokens in around(edges)]
    ranks = path_of("lora_rank", axis, BOOK)
    assert ranks == sorted(ranks), "more data never lower the rank"


def test_one_more_byte_of_storage() -> None:
    edges = [(4 * 2_621_440 * rank + 17_000_000) * 4 for rank in (4, 8, 16, 32, 64, 128, 256, 512)]
    axis = [BASE | {"data.kind": "math", "storage.budget_bytes": size} for size in around(edges)]
    ranks = path_of("lora_rank", axis, BOOK)
    assert ranks == sorted(ranks), "more storage never lowers the rank"


def test_one_more_step_never_shortens_the_warm_up() -> None:
    axis = [
        BASE | {"plan.num_steps": steps}
        for steps in (1, 9, 10, 99, 100, 298, 299, 300, 301, 999, 1_000, 1_034, 9_999)
    ]
    warmups = path_of("warmup_steps", axis, BOOK)
    assert warmups == sorted(warmups)


def test_one_more_token_of_length_never_shortens_the_rows() -> None:
    axis = [
        BASE | {"data.len_p99": length} for length in around((10, 255, 256, 1_023, 1_024, 2_048, 32_768, 100_000))
    ]
    lengths = path_of("max_seq_len", axis, BOOK)
    assert lengths == sorted(lengths)
    assert lengths[-1] == 32_768


SCORED = {
    "fits.lora": True,
    "fits.qlora": True,
    "fits.full": True,
    "plan.merge": False,
    "plan.lora_rank": 64,
    "gpu.memory_bytes": 84_000_000_000,
}


def winner(facts: dict[str, Any]) -> str:
    """The method with most points; a tie goes to LoRA, then QLoRA, then full."""
    scores = {}
    for method in ("lora", "qlora", "full"):
        traces = BOOK.judge(facts | {"plan.method": method}, effects=("prefer", "avoid"))
        scores[method] = sum(trace.weight for trace in traces if trace.outcome == "fires")
    return max(scores, key=lambda method: (scores[method], -["lora", "qlora", "full"].index(method)))


@settings(max_examples=60, deadline=None)
@given(
    shift=st.sampled_from(SHIFTS),
    priority=st.sampled_from(PRIORITIES),
    gpus=st.sampled_from([1, 2, 8, 16]),
    machine=st.sampled_from(["limited", "medium", "ample"]),
    retention=st.booleans(),
    kind=st.sampled_from(DATA_KINDS),
)
def test_more_data_turn_the_method_once(
    shift: str, priority: str, gpus: int, machine: str, retention: bool, kind: str
) -> None:
    facts = (
        BASE | SCORED | {"task.shift": shift, "task.priority": priority, "gpu.count": gpus, "machine.class": machine}
    )
    facts |= {"task.retention_critical": retention, "data.kind": kind, "data.examples": 50_000}
    tokens = (
        1_000,
        10_000_000,
        2_621_440 * 64,
        2_621_440 * 64 + 1,
        2_621_440 * 256,
        2_621_440 * 256 + 1,
        5_000_000_000,
    )
    winners = [winner(facts | {"data.completion_tokens": count, "data.total_tokens": count}) for count in tokens]
    changes = sum(old != new for old, new in pairwise(winners))
    assert changes <= 1, winners


@settings(max_examples=40, deadline=None)
@given(priority=st.sampled_from(PRIORITIES), shift=st.sampled_from(SHIFTS), gpus=st.sampled_from([1, 2, 8]))
def test_more_memory_turns_the_method_forwards(priority: str, shift: str, gpus: int) -> None:
    """As first only QLoRA fits, then LoRA too, then full too, the advice never turns back."""
    facts = (
        BASE | SCORED | {"task.priority": priority, "task.shift": shift, "gpu.count": gpus, "machine.class": "medium"}
    )
    order = ["qlora", "lora", "full"]
    small = BOOK.judge(facts | {"fits.lora": False, "fits.full": False, "plan.method": "qlora"}, effects=("prefer",))
    assert any(trace.rule_id == "HW-09" and trace.outcome == "fires" for trace in small)
    with_lora = winner(facts | {"fits.full": False})
    assert with_lora in order[1:]


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("machine", ["limited", "medium", "ample"])
def test_few_examples_are_never_trained_in_full(shift: str, machine: str) -> None:
    facts = (
        BASE | SCORED | {"task.shift": shift, "machine.class": machine, "gpu.count": 8, "task.priority": "quality"}
    )
    facts |= {"data.kind": "code", "plan.lora_rank": 128}
    assert winner(facts | {"data.examples": 1_999, "data.completion_tokens": 800_000}) != "full"
