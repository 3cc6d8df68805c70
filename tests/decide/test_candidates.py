"""Candidates: the fastest variant that fits and that no rule forbids, else the nearest, and the facts of its plan."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from advisor.decide.batch import RunLength
from advisor.decide.candidates import build_candidate, judge_plan, plan_facts, with_replay, with_time
from advisor.decide.facts import GIB
from advisor.decide.fill import Context, fill_plan, size_plan
from advisor.decide.pace import card_of, predicted_time
from advisor.decide.recommendation import Candidate
from advisor.decide.variants import COMFORTABLE_SHARE, variants
from advisor.estimate import estimate_storage
from advisor.estimate.file_sizes import TOKENIZER_BYTES
from advisor.model.params import trainable_params
from advisor.probe import hardware_from_text, lookup
from advisor.probe.hardware import Hardware, Host, Rates
from rules.facts import BY_PATH
from tests.decide.conftest import Prepare
from trainers.method import Method

replace = msgspec.structs.replace


def with_memory(context: Context, available_bytes: int | None) -> Context:
    return replace(context, devices=replace(context.devices, available_bytes=available_bytes))


def needs(method: Method, context: Context) -> list[int]:
    """Need in bytes of each variant with a micro-batch of 1."""
    found = []
    for variant in variants(method, context.devices):
        tight = with_memory(context, 1)
        found.append(size_plan(fill_plan(variant, tight, RunLength()), variant, tight)[1])
    return found


def facts_of(candidate: Candidate, context: Context) -> dict[str, Any]:
    return plan_facts(candidate.plan, candidate.memory, candidate.storage, candidate.fits, context)


def test_activations_are_kept_where_that_takes_no_more_than_a_comfortable_share(prepare: Prepare) -> None:
    context = prepare("RTX 4090", "Qwen3-8B", data__total_tokens=5_000 * 4_096, data__len_p95=4_096)
    kept, recomputed = needs("lora", context)
    assert recomputed < kept
    enough = -(-kept * 10 // 7)  # the least whole number of bytes of which 70 % hold it
    assert COMFORTABLE_SHARE == 0.7

    comfortable = build_candidate("lora", with_memory(context, enough))
    assert comfortable.plan.gradient_checkpointing is False
    first, second = comfortable.tried_variants
    assert (first.fits, first.note) == (True, "")
    assert second.fits
    assert second.note.startswith("predicted to take 1.")

    less = build_candidate("lora", with_memory(context, enough - 2))
    assert less.plan.gradient_checkpointing is True
    first, second = less.tried_variants
    assert (first.fits, first.note) == (False, "takes more than 70% of the free memory")
    assert first.device_high_bytes == kept
    assert (second.fits, second.note) == (True, "")


def test_a_candidate_that_needs_exactly_what_is_free_fits_and_with_a_byte_less_it_does_not(prepare: Prepare) -> None:
    context = prepare("RTX 4090", "Qwen3-8B")
    least = min(needs("lora", context))
    exactly = build_candidate("lora", with_memory(context, least))
    assert exactly.fits
    assert not exactly.vetoes
    assert exactly.memory.device.high == least == exactly.plan.predicted_peak_bytes
    assert facts_of(exactly, with_memory(context, least))["plan.need_share"] == 1.0
    fixed = msgspec.structs.replace(context, overrides={"lora_rank": exactly.plan.lora_rank})
    less = build_candidate("lora", with_memory(fixed, least - 1))
    assert not less.fits
    assert [tried.note for tried in less.tried_variants] == ["needs more than the free memory"] * 2


def test_where_memory_holds_no_such_rank_the_largest_that_fits_is_taken(prepare: Prepare) -> None:
    """A storage budget that allows more rank must never take the method away (Pythia-1B on a Jetson of 4 GB)."""
    context = prepare("RTX 4090", "Qwen3-8B")
    least = min(needs("lora", context))
    wanted = build_candidate("lora", with_memory(context, least))
    lower = build_candidate("lora", with_memory(context, least - 1))
    assert lower.fits
    assert lower.plan.lora_rank == (wanted.plan.lora_rank or 0) // 2
    assert {trace.rule_id for trace in lower.settings if "rank_limit" in trace.sets} == {"HYP-96"}
    nothing = build_candidate("lora", with_memory(context, least // 2))
    assert not nothing.fits
    assert nothing.plan.lora_rank == wanted.plan.lora_rank


def test_where_nothing_fits_the_leanest_variant_stands_for_the_method(prepare: Prepare) -> None:
    context = prepare("T4", "Llama-3.1-8B")
    candidate = build_candidate("full", context)
    assert not candidate.fits
    assert len(candidate.tried_variants) == 5
    leanest = min(candidate.tried_variants, key=lambda tried: tried.device_high_bytes)
    assert candidate.memory.device.high == leanest.device_high_bytes
    assert candidate.plan.optimizer_in_backward
    assert {tried.note for tried in candidate.tried_variants} == {"needs more than the free memory"}
    assert candidate.vetoes  # judged all the same


def test_a_variant_that_fits_but_is_forbidden_stands_before_one_that_does_not_fit(prepare: Prepare) -> None:
    context = prepare("RTX 4090", "Llama-3.2-1B", deploy__latency_critical=True, deploy__artifact="adapters")
    forbidden = build_candidate("prefix", context)
    assert forbidden.fits
    assert forbidden.vetoes
    assert forbidden.tried_variants[0].note == forbidden.vetoes[0].title
    assert forbidden.tried_variants[0].fits


def test_a_forbidden_variant_that_fits_with_less_memory_is_nearer(prepare: Prepare) -> None:
    context = prepare("RTX 4090", "Llama-3.2-1B", deploy__latency_critical=True, deploy__artifact="adapters")
    kept, recomputed = needs("adapter", context)
    assert recomputed < kept
    candidate = build_candidate("adapter", context)
    assert candidate.vetoes
    tried = candidate.tried_variants
    assert len(tried) == 2
    assert candidate.memory.device.high == min(each.device_high_bytes for each in tried)


def test_prefix_tuning_takes_more_than_the_comfortable_share_where_it_must(prepare: Prepare) -> None:
    context = prepare("RTX 4090", "Qwen3-8B")
    first, second = needs("prefix", context)
    assert first == second  # prefix tuning cannot recompute
    candidate = build_candidate("prefix", with_memory(context, first + GIB))
    assert candidate.fits
    assert [tried.fits for tried in candidate.tried_variants] == [False, True]


def test_without_known_memory_the_fastest_variant_is_taken(prepare: Prepare) -> None:
    context = with_memory(prepare("RTX 4090", "Qwen3-8B"), None)
    candidate = build_candidate("lora", context)
    assert candidate.fits
    assert candidate.available_bytes is None
    first, second = candidate.tried_variants
    assert not candidate.plan.gradient_checkpointing
    assert (first.fits, first.note) == (True, "")
    assert second.note.startswith("predicted to take 1.")
    assert "plan.need_share" not in facts_of(candidate, context)


def test_only_a_traced_candidate_carries_settings_reasons_and_notes(prepare: Prepare) -> None:
    context = prepare("RTX 4090", "Qwen3-8B")
    traced, plain = build_candidate("lora", context), build_candidate("lora", context, traced=False)
    assert traced.settings
    assert traced.plan.set_by
    assert (plain.settings, plain.plan.set_by) == ((), {})
    assert any(tried.note for tried in traced.tried_variants)
    tried = tuple(replace(variant, note="") for variant in traced.tried_variants)
    assert replace(traced, settings=(), plan=replace(traced.plan, set_by={}), tried_variants=tried) == plain


def test_a_judged_plan_carries_its_estimates_and_vetoes_only(prepare: Prepare) -> None:
    context = prepare("T4", "Llama-3.1-8B")
    plan = build_candidate("full", context).plan
    judged = judge_plan(plan, context)
    assert judged.method == "full"
    assert judged.memory == context.estimator(plan).estimate(replayed=False)
    assert judged.storage == estimate_storage(context.model, plan)
    assert judged.plan.predicted_peak_bytes == judged.memory.device.high
    assert judged.available_bytes == context.devices.available_bytes
    assert judged.score == 0
    assert judged.time is None
    assert {(trace.effect, trace.outcome) for trace in judged.vetoes} == {("veto", "fires")}


def test_a_replay_keeps_a_plan_that_fitted_within_what_is_free(prepare: Prepare) -> None:
    context = prepare("RTX 4090", "Qwen3-8B")
    judged = build_candidate("lora", context)
    played = with_replay(judged, context)
    assert played.memory == context.estimator(judged.plan).estimate() != judged.memory
    assert played.fits
    assert played.plan.predicted_peak_bytes == played.memory.device.high <= (played.available_bytes or 0)


def test_the_facts_of_a_plan_are_its_fields_and_what_the_estimators_say(prepare: Prepare) -> None:
    context = prepare("2x RTX 3090", "Qwen3-8B", storage__variants=3)
    candidate = build_candidate("lora", context)
    plan, memory, storage = candidate.plan, candidate.memory, candidate.storage
    facts = facts_of(candidate, context)
    assert facts.keys() <= BY_PATH.keys()
    assert None not in facts.values()
    for name in ("method", "lora_rank", "learning_rate", "sharding", "micro_batch_size", "max_seq_len"):
        assert facts[f"plan.{name}"] == getattr(plan, name)
    assert facts["plan.global_batch_size"] == 16
    assert facts["plan.num_steps"] == 891  # 4,750 examples x 3 epochs / 16
    assert facts["plan.need_bytes"] == memory.device.high
    assert facts["plan.fits"] is candidate.fits
    assert facts["plan.need_share"] == memory.device.high / context.devices.available_bytes  # type: ignore[operator]
    assert facts["plan.host_bytes"] == memory.host_bytes
    assert facts["plan.trainable_params"] == trainable_params(context.model, plan)
    assert facts["plan.artifact_bytes"] == storage.artifact_bytes
    assert facts["plan.variants_bytes"] == 3 * storage.artifact_bytes - 2 * TOKENIZER_BYTES  # one tokenizer for all
    assert facts["plan.checkpoint_bytes"] == storage.checkpoint_bytes
    assert facts["plan.disk_bytes"] == storage.peak_output_bytes
    assert (facts["plan.engine"], facts["plan.weights"]) == ("transformers", "16bit")
    assert "plan.lora_rank" not in facts_of(build_candidate("full", context), context)


@pytest.mark.parametrize(("artifact", "merged"), [("merged", True), ("adapters", False)])
def test_whether_a_plan_merges_follows_from_what_it_delivers(prepare: Prepare, artifact: str, merged: bool) -> None:
    context = prepare("RTX 4090", "Qwen3-8B", deploy__artifact=artifact)
    candidate = build_candidate("lora", context)
    assert (candidate.plan.delivery.artifact == "merged_model") is merged
    assert facts_of(candidate, context)["plan.merge"] is merged


def test_one_variant_is_kept_where_their_number_is_not_known(prepare: Prepare) -> None:
    context = prepare("RTX 4090", "Qwen3-8B", task__count=None)
    facts = facts_of(build_candidate("lora", context), context)
    assert facts["plan.variants_bytes"] == facts["plan.artifact_bytes"]


def test_the_steps_of_a_plan_are_those_asked_for_or_not_known(prepare: Prepare) -> None:
    context = replace(prepare("RTX 4090", "Qwen3-8B"), overrides={"max_steps": 60})
    assert facts_of(build_candidate("lora", context), context)["plan.num_steps"] == 60
    unknown = prepare("RTX 4090", "Qwen3-8B", data__examples=None)
    assert "plan.num_steps" not in facts_of(build_candidate("lora", unknown), unknown)


def test_a_mig_instance_computes_with_its_share_of_the_card() -> None:
    (part,) = hardware_from_text("H100 MIG 3g.40gb").gpus
    whole = lookup("NVIDIA H100 80GB HBM3", 80 * GIB)
    assert whole is not None
    assert part.compute_share == 0.39
    card = card_of(part)
    assert card is not None
    assert card.bf16_dense_tflops == pytest.approx(0.39 * (whole.bf16_dense_tflops or 0))
    assert card.fp16_dense_tflops == pytest.approx(0.39 * (whole.fp16_dense_tflops or 0))
    assert card.memory_bandwidth_gbs == pytest.approx(0.39 * (whole.memory_bandwidth_gbs or 0))
    assert card.name == whole.name


def test_a_whole_card_keeps_its_rates_and_an_unknown_one_has_none() -> None:
    (gpu,) = hardware_from_text("RTX 4090").gpus
    assert card_of(gpu) == lookup(gpu.name, gpu.total_bytes)
    assert card_of(replace(gpu, name="Voodoo 2")) is None
    assert card_of(replace(gpu, name="Voodoo 2", compute_share=0.5)) is None


def test_a_time_follows_for_an_unknown_card_once_it_was_measured(prepare: Prepare) -> None:
    (gpu,) = hardware_from_text("RTX 4090").gpus
    measured = Rates(dtype="bfloat16", matrix_tflops=120.0, copy_gbs=700.0)
    for rates, known in ((None, False), (measured, True)):
        machine = Hardware(accelerator="cuda", gpus=(replace(gpu, name="Voodoo 2", measured=rates),))
        context = prepare(machine, "Qwen3-8B")
        time = predicted_time(build_candidate("lora", context).plan, context)
        assert (time is not None) is known


def test_a_rate_that_is_not_known_stays_so_in_a_share_of_the_card() -> None:
    (gpu,) = hardware_from_text("V100 32GB").gpus
    whole, part = card_of(gpu), card_of(replace(gpu, compute_share=0.5))
    assert whole is not None
    assert part is not None
    assert whole.bf16_dense_tflops is None is part.bf16_dense_tflops
    assert part.fp16_dense_tflops == (whole.fp16_dense_tflops or 0) / 2


def test_a_duration_needs_a_known_card_and_the_amount_of_data(prepare: Prepare) -> None:
    context = prepare("RTX 4090", "Qwen3-8B")
    timed = with_time(build_candidate("lora", context), context)
    assert timed.time is not None
    assert timed.time.total_seconds is not None
    assert timed.time.num_steps is not None
    unknown = prepare("RTX 4090", "Qwen3-8B", data__examples=None)
    without_data = with_time(build_candidate("lora", unknown), unknown).time
    assert without_data is not None
    assert without_data.total_seconds is None
    described = prepare("1x 24GiB", "Qwen3-8B")
    assert with_time(build_candidate("lora", described), described).time is None


def test_a_duration_on_a_cpu_follows_from_its_cores(prepare: Prepare) -> None:
    def seconds(cores: int | None) -> float | None:
        machine = Hardware(host=Host(ram_available_bytes=64 * GIB, cpu_cores=cores))
        context = prepare(machine, "SmolLM2-135M")
        time = with_time(build_candidate("lora", context), context).time
        return time.total_seconds if time else None

    four, eight = seconds(4), seconds(8)
    assert four is not None
    assert eight is not None
    assert four == pytest.approx(2 * eight, rel=0.05)  # what an operation takes to begin, more cores do not shorten
    assert seconds(None) is None


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(hardware="cpu", model="SmolLM2-135M", method="lora", gib=8)
@example(hardware="cpu", model="SmolLM2-135M", method="lora", gib=9)
@given(
    hardware=st.sampled_from(["RTX 4090", "T4", "2x RTX 3090", "8x H100", "cpu", "2x A100-40GB"]),
    model=st.sampled_from(["Llama-3.2-1B", "Qwen3-8B", "SmolLM2-135M", "Qwen3-30B-A3B"]),
    method=st.sampled_from(["lora", "qlora", "full", "prefix", "adapter"]),
    gib=st.integers(1, 120),
)
def test_a_candidate_is_the_one_usable_variant_without_a_note_or_the_nearest(
    prepare: Prepare, hardware: str, model: str, method: Method, gib: int
) -> None:
    context = prepare(hardware, model, available_bytes=gib * GIB)
    candidate = build_candidate(method, context)
    tried = candidate.tried_variants
    names = [variant.name for variant in variants(method, context.devices)]
    assert [each.variant for each in tried] == [name for name in names if name in {each.variant for each in tried}]
    assert candidate.fits == (candidate.memory.device.high <= gib * GIB)
    chosen = [each for each in tried if not each.note]
    if not chosen:
        assert len(tried) == len(names)
        fitting = [each for each in tried if each.device_high_bytes <= gib * GIB]
        nearest = min(fitting or tried, key=lambda each: each.device_high_bytes)
        assert candidate.memory.device.high == nearest.device_high_bytes
    else:
        assert len(chosen) == 1
        assert candidate.fits
        assert not candidate.vetoes
        assert candidate.memory.device.high == chosen[0].device_high_bytes


def test_a_form_that_learns_more_is_taken_before_a_quicker_one(prepare: Prepare) -> None:
    """Weights in fp32 before pure bf16, which steps in less time."""
    full = build_candidate("full", prepare("A100-80GB", "SmolLM2-135M"))
    assert full.plan.weights_dtype == "fp32"


@pytest.mark.parametrize(
    ("hardware", "model", "gib", "offloaded"),
    [
        ("4x RTX A4000", "deepseek-r1-distill-qwen-14b", 20, True),  # FSDP alone holds one row a forward
        ("2x RTX 4090", "Llama-3.1-8B", 23, False),  # two more rows a forward win nothing
    ],
)
def test_host_memory_is_taken_beside_devices_that_hold_the_plan_only_where_it_wins_time(
    prepare: Prepare, hardware: str, model: str, gib: int, offloaded: bool
) -> None:
    candidate = build_candidate("lora", prepare(hardware, model, available_bytes=gib * GIB, **{"data.len_p95": 1500}))
    assert candidate.plan.cpu_offload == offloaded
    assert not candidate.only_offloaded
    assert any(tried.fits and tried.cpu_offload != offloaded for tried in candidate.tried_variants)


def test_a_variant_beside_the_chosen_one_is_tried_later_where_no_speed_is_known(prepare: Prepare) -> None:
    candidate = build_candidate("lora", prepare("1x 80GiB", "SmolLM2-135M"))
    assert [tried.note for tried in candidate.tried_variants] == ["", "tried later"]


def test_a_plan_that_does_not_fit_is_vetoed_by_what_it_needs(prepare: Prepare) -> None:
    candidate = build_candidate("lora", prepare("RTX 4090", "Llama-3.3-70B-Instruct"))
    assert "HW-02" in [veto.rule_id for veto in candidate.vetoes]


def test_an_optimizer_that_cannot_step_on_shards_is_vetoed_there_alone(prepare: Prepare) -> None:
    context = prepare("2x A100-80GB", "Qwen3-8B")
    plan = replace(build_candidate("lora", context).plan, optimizer="adamw_8bit", num_gpus=2)
    vetoed = {
        sharding: "HW-42" in [veto.rule_id for veto in judge_plan(replace(plan, sharding=sharding), context).vetoes]
        for sharding in ("ddp", "fsdp")
    }
    assert vetoed == {"ddp": False, "fsdp": True}


def test_the_memory_of_a_merge_is_a_fact_only_where_there_is_one(prepare: Prepare) -> None:
    context = prepare("RTX 4090", "Qwen3-8B")
    candidate = build_candidate("lora", context)
    facts = {
        artifact: plan_facts(
            replace(candidate.plan, delivery=replace(candidate.plan.delivery, artifact=artifact)),
            candidate.memory, candidate.storage, candidate.fits, context,
        )
        for artifact in ("adapter", "merged_model")
    }  # fmt: skip
    assert "plan.merge_host_bytes" not in facts["adapter"]
    assert facts["merged_model"]["plan.merge_host_bytes"] > context.model.num_params * 4
