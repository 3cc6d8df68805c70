"""What is said of candidates against their own figures: no reason contradicts them, more memory is never slower."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from advisor.decide.decision import Decision, Inputs, decide, seconds_of
from advisor.decide.recommendation import Candidate
from advisor.model import resolve_model
from advisor.probe import hardware_from_text
from rules.engine import RuleBook
from trainers.plan import Dtype

FIXTURE = Path(__file__).parents[1] / "fixtures" / "decisions" / "comparisons.toml"
CASES: list[dict[str, Any]] = tomllib.loads(FIXTURE.read_text("utf-8"))["case"]
NAMES = [f"{case['model']} on {case['hardware']}" for case in CASES]
MORE = (1.1, 1.25, 1.5, 2.0)


def decided(case: dict[str, Any], book: RuleBook, memory: float = 1.0) -> Decision:
    hardware = hardware_from_text(case["hardware"])
    gpus = tuple(
        msgspec.structs.replace(gpu, free_bytes=int((gpu.free_bytes or 0) * memory)) for gpu in hardware.gpus
    )
    inputs = Inputs(
        answers=case["answers"],
        hardware=msgspec.structs.replace(hardware, gpus=gpus),
        model=resolve_model(case["model"]),
        data=None,
        book=book,
    )
    return decide(inputs, traced=False)


def by_method(decision: Decision) -> dict[str, Candidate]:
    return {candidate.method: candidate for candidate in (*decision.ranked, *decision.rejected)}


def fired(candidate: Candidate) -> set[str]:
    return {trace.rule_id for trace in (*candidate.reasons, *candidate.warnings, *candidate.vetoes)}


@pytest.mark.parametrize("memory", (1.0, *MORE))
@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_no_reason_contradicts_the_figures_of_the_candidates(
    book: RuleBook, case: dict[str, Any], memory: float
) -> None:
    decision = decided(case, book, memory)
    found = by_method(decision)
    lora, qlora = found["lora"], found["qlora"]
    if "HW-09" in fired(qlora):  # only 4-bit weights fit
        assert not lora.fits or lora.plan.cpu_offload
        message = next(trace.message for trace in qlora.reasons if trace.rule_id == "HW-09")
        assert ("does not fit on the device" in message) == (not lora.fits)
    if "HW-08" in fired(qlora):  # 4-bit weights win little or no time
        assert lora.fits
        assert not lora.vetoes
        slow, fast = seconds_of(lora), seconds_of(qlora)
        assert slow is None or fast is None or fast >= 0.9 * slow
    best = decision.best
    for other in decision.ranked[1:]:
        assert best is not None
        mine, its = seconds_of(best), seconds_of(other)
        if (
            other.score == best.score
            and mine is not None
            and its is not None
            and "wish.method" not in case["answers"]
        ):
            assert mine <= its


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_more_memory_never_makes_a_form_of_a_method_slower(book: RuleBook, case: dict[str, Any]) -> None:
    least: dict[tuple[str, Dtype, str, bool], float] = {}
    for memory in (1.0, *MORE):
        for candidate in by_method(decided(case, book, memory)).values():
            seconds = seconds_of(candidate)
            if seconds is None or not candidate.fits or candidate.vetoes:
                continue
            plan = candidate.plan
            form = (plan.method, plan.weights_dtype, plan.optimizer, plan.cpu_offload)
            assert seconds <= 1.02 * least.get(form, seconds)
            least[form] = min(seconds, least.get(form, seconds))


def test_four_bit_data_parallel_beats_16_bit_shards_over_pcie_where_it_is_predicted_to(book: RuleBook) -> None:
    best = decided(CASES[0], book).best
    assert best is not None
    assert (best.method, best.plan.sharding) == ("qlora", "ddp")


def test_unequal_cards_wait_for_the_slowest_and_the_larger_alone_is_tried(book: RuleBook) -> None:
    chats = {"data.kind": "chat", "data.examples": 5_000, "data.total_tokens": 3_500_000, "data.len_p95": 1_200}
    pair = {"hardware": "1x RTX 3090 + 1x RTX 4060 Ti 16GB", "model": "Qwen3-8B", "answers": chats}
    decision = decided(pair, book)
    best = decision.best
    assert best is not None
    assert (best.method, best.plan.num_gpus) == ("lora", 1)
    assert "leaves out NVIDIA GeForce RTX 4060 Ti" in decision.device_notes[0]
    both = {"wish.method": "qlora"}
    mixed = decided(pair | {"answers": chats | both}, book).best
    slower = decided({"hardware": "2x RTX 4060 Ti 16GB", "model": "Qwen3-8B", "answers": chats | both}, book).best
    assert mixed is not None
    assert slower is not None
    assert seconds_of(mixed) <= seconds_of(slower)
