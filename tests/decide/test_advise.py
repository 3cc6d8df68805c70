"""The decision as a whole: rank, wishes, vetoes, reasons, and the properties that keep it steady."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.decide.advise import advise
from advisor.decide.facts import GIB
from advisor.decide.reasons import CHOSEN_BY
from advisor.estimate.runtime import Calibration
from advisor.model import resolve_model
from advisor.probe import hardware_from_text
from advisor.probe.hardware import Gpu, Hardware
from advisor.report.plan import plan_groups
from rules.engine import RuleBook
from rules.facts import DATA_KINDS, ENGINES, PRIORITIES, SHIFTS
from tests.data.conftest import save_model
from tests.decide.conftest import CHATS, Advise
from trainers.plan import plan_from_dict, plan_problems, plan_to_dict


def test_a_small_model_on_one_consumer_card_gets_lora_not_qlora(recommend: Advise) -> None:
    result = recommend("RTX 4090", "Qwen3-8B")
    assert result.best is not None
    assert result.best.method == "lora"
    assert result.best.plan.lora_rank == 16
    assert result.best.plan.learning_rate == 1.06e-4
    assert result.best.memory.device.high <= (result.best.available_bytes or 0)


def test_every_method_is_judged_by_the_need_that_stands_beside_its_reasons(recommend: Advise) -> None:
    result = recommend("RTX 4090", "Qwen3-14B")
    refused = {candidate.method: candidate for candidate in result.rejected}
    lora = refused["lora"]
    assert any("replay" in word for word in lora.memory.known_by.values())
    assert f"{lora.memory.device.high / GIB:.1f} GiB" in lora.why_not[0]


def test_a_plan_that_nobody_would_wait_for_says_so_in_the_headline(recommend: Advise) -> None:
    data = {"data__examples": 20_000, "data__total_tokens": 20_000_000, "data__completion_tokens": 10_000_000}
    slow = recommend("cpu, 8 cores, 64GB RAM", "Qwen3-8B", **data)
    assert slow.best is not None
    assert slow.best.time is not None
    assert (slow.best.time.total_seconds or 0) > 3 * 86_400
    assert "though this CPU is predicted to take" in slow.headline
    assert "days" in slow.headline
    assert "though" not in recommend("RTX 4090", "Qwen3-8B", **data).headline


def test_a_model_that_fits_only_in_four_bits_gets_qlora(recommend: Advise) -> None:
    result = recommend("RTX 3090", "Qwen3-14B")
    assert result.best is not None
    assert result.best.method == "qlora"
    assert result.best.plan.quantization == "nf4"
    lora = next(candidate for candidate in result.rejected if candidate.method == "lora")
    assert lora.vetoes
    assert "GiB" in lora.why_not[0]


def test_much_data_on_a_cluster_gets_full_fine_tuning(recommend: Advise) -> None:
    result = recommend(
        "8x A100-80GB",
        "Llama-3.1-8B",
        data__examples=1_000_000,
        data__completion_tokens=600_000_000,
        data__total_tokens=900_000_000,
    )
    assert result.best is not None
    assert result.best.method == "full"
    assert result.best.plan.sharding == "fsdp"
    assert result.best.plan.packing
    assert result.best.plan.global_batch_size == 64  # packed rows, of about two examples each


def test_nothing_fits_names_every_reason_and_a_remedy(recommend: Advise) -> None:
    result = recommend("T4", "Llama-3.1-70B")
    assert result.verdict == "nothing_fits"
    assert result.best is None
    assert {candidate.method for candidate in result.rejected} == {"full", "lora", "qlora"}
    assert all(candidate.why_not for candidate in result.rejected)
    assert any("GPU" in remedy or "GB" in remedy for remedy in result.remedies)


def test_a_gate_says_do_not_and_still_shows_the_plan(recommend: Advise) -> None:
    result = recommend("RTX 4090", "Qwen3-8B", data__examples=20, data__completion_tokens=4_000)
    assert result.verdict == "do_not_fine_tune"
    assert result.gates
    assert result.best is not None


def test_a_legal_wish_is_honoured_and_its_cost_is_said(recommend: Advise) -> None:
    result = recommend("RTX 4090", "Qwen3-8B", wish__method="qlora")
    assert result.best is not None
    assert result.best.method == "qlora"
    assert result.wish_cost


def test_a_wish_that_is_impossible_is_refused_with_the_reason(recommend: Advise) -> None:
    result = recommend("T4", "Llama-3.1-8B", wish__method="full")
    assert result.best is None or result.best.method != "full"
    assert result.wish_cost
    assert "cannot" in result.wish_cost[0]


NO_REASON_NEEDED = {
    "schema",
    "model",
    "dataset",
    "output_dir",
    "delivery",
    "predicted_peak_bytes",
    "made_for",
    "set_by",
}
"""What the user named, and what is no setting; the parts of `delivery` have a reason each."""


@pytest.mark.parametrize("hardware", ["RTX 4090", "cpu", "8x A100-80GB", "T4"])
@pytest.mark.parametrize("wish", [None, "prefix", "adapter"])
def test_every_setting_of_every_plan_names_what_chose_it(
    recommend: Advise, book: RuleBook, hardware: str, wish: str | None
) -> None:
    result = recommend(hardware, "Llama-3.2-1B", wish__method=wish)
    known = {rule.id for rule in book.rules} | CHOSEN_BY.keys()
    candidates = [*([result.best] if result.best else []), *result.alternatives, *result.rejected]
    assert len(candidates) == (3 if wish is None else 4)
    for plan in (candidate.plan for candidate in candidates):
        assert set(plan.set_by.values()) <= known
        used = {name for name in plan.__struct_fields__ if getattr(plan, name) not in (None, ())}
        assert used - NO_REASON_NEEDED <= plan.set_by.keys(), plan.method
        assert {"delivery.artifact", "delivery.weights", "delivery.engine", "global_batch_size"} <= plan.set_by.keys()
        assert all(row.set_by for _, rows in plan_groups(plan) for row in rows)
        assert plan.set_by["method"] == ("wish.method" if plan.method == wish else "compared-methods")


def test_the_same_inputs_give_the_same_answer(recommend: Advise) -> None:
    first, second = recommend("2x A100-40GB", "Qwen3-8B"), recommend("2x A100-40GB", "Qwen3-8B")
    assert msgspec.json.encode(first) == msgspec.json.encode(second)


def test_changes_are_true_when_they_are_made(recommend: Advise) -> None:
    result = recommend("RTX 4090", "Qwen3-8B", search_changes=True)
    assert result.changes
    smaller = next(change for change in result.changes if "16 GB" in change.what)
    again = recommend("1x 16GiB", "Qwen3-8B")
    assert again.best is not None
    assert again.best.method == smaller.method == "qlora"


def test_new_tokens_of_a_local_model_train_and_those_of_the_hub_are_asked_for(
    recommend: Advise, tmp_path: Path
) -> None:
    from tokenizers import Tokenizer

    folder = save_model(tmp_path / "model")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_tokens(["<call>", "</call>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    added = tuple(tokenizer.token_to_id(token) for token in ("<call>", "</call>"))
    result = recommend("RTX 4090", str(folder), data__new_tokens=2)
    plans = {c.method: c.plan for c in (result.best, *result.alternatives) if c is not None}
    assert plans["lora"].trainable_token_indices == added
    assert plans["full"].trainable_token_indices == ()
    assert not any("would not train" in warning.message for warning in result.warnings)

    unnamed = recommend("RTX 4090", "Qwen3-8B", data__new_tokens=2)
    assert unnamed.best is not None
    assert unnamed.best.plan.trainable_token_indices == ()
    assert any("would not train" in warning.message for warning in unnamed.warnings)


def test_overrides_are_kept_and_shown_as_the_users_own(book: RuleBook) -> None:
    result = advise(
        CHATS, hardware_from_text("RTX 4090"), resolve_model("Qwen3-8B"), None, book, overrides={"lora_rank": 4}
    )
    assert result.best is not None
    assert result.best.plan.lora_rank == 4
    assert result.best.plan.set_by["lora_rank"] == "user"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_valid_facts_give_a_verdict_with_reasons_and_a_lawful_plan(
    recommend: Advise, data: st.DataObject
) -> None:
    draw = data.draw
    examples = draw(st.integers(1, 3_000_000))
    length = draw(st.integers(20, 4_000))
    result = recommend(
        draw(st.sampled_from(["RTX 4090", "T4", "8x H100", "2x RTX 3090", "4x V100 32GB", "2x 24GiB"])),
        draw(st.sampled_from(["Qwen3-8B", "Llama-3.2-1B", "Qwen3-30B-A3B", "gpt-oss-20b", "SmolLM2-135M"])),
        data__examples=examples,
        data__completion_tokens=examples * length // 2,
        data__total_tokens=examples * length,
        data__len_p95=length,
        data__kind=draw(st.sampled_from(DATA_KINDS)),
        task__count=draw(st.integers(1, 50)),
        task__switch_per_request=draw(st.booleans()),
        task__priority=draw(st.sampled_from(PRIORITIES)),
        task__shift=draw(st.sampled_from(SHIFTS)),
        task__retention_critical=draw(st.booleans()),
        deploy__latency_critical=draw(st.booleans()),
        deploy__engine=draw(st.sampled_from(ENGINES)),
        storage__budget_bytes=draw(st.integers(1, 4_000)) * GIB,
    )
    everyone = [*([result.best] if result.best else []), *result.alternatives, *result.rejected]
    assert len(everyone) == 3
    assert result.verdict in ("recommended", "nothing_fits", "do_not_fine_tune")
    if result.best is not None:
        assert not result.best.vetoes
        assert result.best.fits
        assert plan_problems(result.best.plan) == []
        assert plan_from_dict(plan_to_dict(result.best.plan)) == result.best.plan
    for candidate in everyone[1:] if result.best else everyone:
        assert candidate.why_not
    for candidate in everyone:
        assert sum(candidate.memory.peak_parts.values()) == candidate.memory.device.likely


@pytest.mark.parametrize("gib", [15.9, 23.5, 39.5, 79.0])
def test_a_little_more_memory_never_makes_the_advice_jump(recommend: Advise, book: RuleBook, gib: float) -> None:
    model = resolve_model("Qwen3-8B")
    methods = []
    for extra in range(0, 200, 10):
        size = int(gib * GIB) + extra * 2**20
        gpu = Gpu(index=0, name="card", total_bytes=size, free_bytes=size, compute_capability="8.9")
        result = advise(
            CHATS, Hardware(state="ok", accelerator="cuda", gpus=(gpu,)), model, None, book, search_changes=False
        )
        methods.append(result.best.method if result.best else "none")
    jumps = sum(a != b for a, b in pairwise(methods))
    assert jumps <= 1, methods


def test_a_measured_correction_reaches_sizing_and_is_said(book: RuleBook) -> None:
    calibration = Calibration(factor=1.5, spread=0.05, runs=3, basis="three runs")
    arguments = (CHATS, hardware_from_text("RTX 4090"), resolve_model("Qwen3-8B"), None, book)
    plain = advise(*arguments, search_changes=False)
    corrected = advise(*arguments, calibrations={"lora": calibration}, search_changes=False)
    assert plain.best is not None
    assert corrected.best is not None
    assert corrected.best.memory.device.likely != plain.best.memory.device.likely
    assert corrected.best.memory.device.high <= (corrected.best.available_bytes or 0)
    assert corrected.best.memory.calibrated_by
    assert plain.best.memory.calibrated_by is None


@pytest.mark.parametrize(
    ("hardware", "model"),
    [
        ("4x A100-40GB", "Llama-3.1-8B"),
        ("8x H100", "Qwen3-32B"),
        ("8x H200", "Llama-3.1-70B"),
        ("2 nodes of 8x H100", "Llama-3.1-70B"),
    ],
)
def test_full_fine_tuning_over_several_cards_keeps_to_an_optimizer_that_was_seen_to_step_on_shards(
    recommend: Advise, hardware: str, model: str
) -> None:
    best = recommend(hardware, model, wish__method="full").best
    assert best is not None
    assert (best.method, best.plan.sharding, best.plan.optimizer) == ("full", "fsdp", "adamw_torch_fused")


def test_a_cpu_is_not_said_to_have_an_unknown_gpu(recommend: Advise) -> None:
    rejected = recommend("cpu, 64GB RAM, 16 cores", "Llama-3.1-8B").rejected
    said = next(candidate.why_not[0] for candidate in rejected if candidate.method == "full")
    assert "64.0 GiB free on the smallest device" in said
