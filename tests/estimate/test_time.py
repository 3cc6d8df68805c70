"""Durations: the roofline's behaviour, and what happens when something is not known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.estimate import estimate_time
from advisor.estimate.stacks import DEEPSPEED, FMS, OURS, TORCHTITAN, Split
from advisor.estimate.time import measured_card, token_work
from advisor.model.folder import spec_from_folder
from advisor.probe import lookup
from tests.estimate.shapes import MODELS, model, plan

A100 = lookup("NVIDIA A100-SXM4-80GB")
L4 = lookup("NVIDIA L4")


def rate(method="lora", card=A100, name="Llama-3.1-8B", **fields):
    estimate = estimate_time(model(name), plan(method, packing=True, max_seq_len=4096, **fields), card)
    assert estimate is not None
    return estimate.tokens_per_second


def test_an_unknown_card_or_a_cpu_gives_none():
    assert estimate_time(model("Llama-3.1-8B"), plan(), None) is None
    assert estimate_time(model("Llama-3.1-8B"), plan(accelerator="cpu"), A100) is None


def test_a_known_anchor_seven_billion_on_an_a100():
    """Published: LoRA about 3,200 tokens a second, full about 3,000 (hardware table, A100-80GB)."""
    assert 2_200 < rate("lora", name="Mistral-7B-v0.1", micro_batch_size=4) < 4_500
    assert 1_900 < rate("full", name="Mistral-7B-v0.1", micro_batch_size=4) < 4_000


def test_faster_cards_smaller_models_and_less_recomputation_are_faster():
    assert rate(card=A100) > 2 * rate(card=L4)
    assert rate(name="SmolLM2-135M", micro_batch_size=8) > rate(name="Llama-3.1-8B", micro_batch_size=8)
    assert 1.15 < rate(gradient_checkpointing=False) / rate() < 1.7


def test_a_long_sequence_pays_for_attention():
    spec = model("Llama-3.1-8B")
    short, long = (token_work(spec, plan("full"), length).attention_flops for length in (2_048, 131_072))
    assert long == 64 * short


def test_short_steps_are_bound_by_launches():
    def step(length):
        chosen = plan("lora", max_seq_len=length)
        return estimate_time(model("SmolLM2-135M"), chosen, A100).step_seconds

    assert step(64) == pytest.approx(step(128), rel=0.02)


def test_the_time_of_a_run_is_that_of_its_steps_and_not_known_without_them():
    known = estimate_time(model("Llama-3.1-8B"), plan(micro_batch_size=4), A100, num_steps=500, len_mean=300.0)
    assert known.num_steps == 500
    assert known.total_seconds == 500 * known.step_seconds
    assert known.low_seconds < known.total_seconds < known.high_seconds
    assert known.gpu_hours == pytest.approx(known.total_seconds / 3600)
    unknown = estimate_time(model("Llama-3.1-8B"), plan(), A100)
    assert (unknown.num_steps, unknown.total_seconds, unknown.gpu_hours) == (None, None, None)


def test_packing_short_examples_is_faster_in_real_tokens():
    shared = {"max_seq_len": 2048, "micro_batch_size": 4}
    packed = estimate_time(model("Llama-3.1-8B"), plan(packing=True, **shared), A100, len_mean=200.0)
    padded = estimate_time(model("Llama-3.1-8B"), plan(**shared), A100, len_mean=200.0)
    assert packed.tokens_per_second > 1.3 * padded.tokens_per_second


def test_a_slow_link_costs():
    pairs = {"sharding": "fsdp", "num_gpus": 2, "micro_batch_size": 1}
    plain = msgspec.structs.replace(A100, nvlink_gbs=None)
    assert rate("full", card=A100, **pairs) > rate("full", card=plain, **pairs)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(MODELS),
    st.sampled_from(("full", "lora", "qlora")),
    st.integers(1, 16),
    st.sampled_from((1, 2, 8)),
)
def test_every_estimate_is_finite_and_positive(name, method, micro, gpus):
    sharding = "none" if gpus == 1 else "fsdp"
    chosen = plan(method, micro_batch_size=micro, num_gpus=gpus, sharding=sharding)
    estimate = estimate_time(model(name), chosen, A100, num_steps=100, len_mean=500.0)
    assert 0 < estimate.step_seconds < 1e4
    assert 0 < estimate.tokens_per_second < 1e7


def test_a_cpu_with_known_cores_gets_a_wide_estimate():
    chosen = plan("lora", accelerator="cpu", compute_dtype="fp32", max_seq_len=256, gradient_checkpointing=False)
    one = estimate_time(model("SmolLM2-135M"), chosen, None, num_steps=10, cpu_cores=1)
    assert one is not None
    assert 0.8 < one.step_seconds < 4
    assert one.high_seconds > 4 * one.low_seconds


TINY = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 600,
    "hidden_size": 64,
    "intermediate_size": 192,
    "num_hidden_layers": 8,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
    "max_position_embeddings": 512,
}


@pytest.mark.parametrize(("method", "measured_ms"), [("lora", 61.5), ("full", 34.3)])
def test_a_tiny_model_on_a_cpu_takes_as_long_as_its_operations_take_to_begin(
    tmp_path: Path, method: str, measured_ms: float
) -> None:
    """Eight blocks of 64, 4 rows of 91 tokens, in a plain loop: arithmetic alone would be 10 and 14 ms."""
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    tiny = spec_from_folder(tmp_path)
    chosen = plan(method, accelerator="cpu", compute_dtype="fp32", max_seq_len=91, micro_batch_size=4)
    found = estimate_time(tiny, chosen, None, cpu_cores=1)
    assert found is not None
    assert 1 / 3 < 1000 * found.step_seconds / measured_ms < 2


class Rates(NamedTuple):
    matrix_tflops: float
    copy_gbs: float
    threads: int | None = None
    link_gbs: float | None = None


def test_a_card_that_no_catalogue_knows_is_as_fast_as_its_rates_say():
    spec, chosen = model("Llama-3.1-8B"), plan("lora", micro_batch_size=4)
    assert estimate_time(spec, chosen, None) is None
    slow, fast = (estimate_time(spec, chosen, measured_card(Rates(rate, 8 * rate))) for rate in (100.0, 200.0))
    assert slow is not None and fast is not None
    assert fast.tokens_per_second == pytest.approx(2 * slow.tokens_per_second, rel=0.02)
    assert "probe bench" in slow.basis


def test_a_measured_rate_of_a_known_card_gives_about_the_time_of_its_catalogue_row():
    """An A100 multiplies large bf16 matrices at three quarters of its dense peak and more, and copies at 1.6 TB/s."""
    spec, chosen = model("Llama-3.1-8B"), plan("lora", micro_batch_size=4)
    known = estimate_time(spec, chosen, lookup("NVIDIA A100-SXM4-80GB"))
    measured = estimate_time(spec, chosen, measured_card(Rates(250.0, 1600.0)))
    assert known is not None and measured is not None
    assert 1 / 1.3 < measured.tokens_per_second / known.tokens_per_second < 1.3


def test_a_measured_processor_replaces_the_rate_of_an_average_core():
    spec, chosen = model("SmolLM2-135M"), plan("lora", accelerator="cpu", compute_dtype="fp32", weights_dtype="fp32")
    usual = estimate_time(spec, chosen, None, cpu_cores=8)
    same = estimate_time(spec, chosen, None, cpu_cores=8, cpu_measured=Rates(0.075, 20.0, threads=1))
    twice = estimate_time(spec, chosen, None, cpu_cores=8, cpu_measured=Rates(1.2, 20.0, threads=8))
    assert usual is not None and same is not None and twice is not None
    assert same.step_seconds == pytest.approx(usual.step_seconds)
    assert twice.step_seconds == pytest.approx(usual.step_seconds / 2, rel=0.05)  # what each operation costs is left


def seconds(stack=OURS, name="Llama-3.1-8B", method="full", card=A100, **fields):
    """Of one step of four rows of 4096 tokens."""
    given = {"packing": True, "max_seq_len": 4096, "micro_batch_size": 4} | fields
    estimate = estimate_time(model(name), plan(method, **given), card, stack=stack)
    assert estimate is not None
    return estimate.step_seconds


def changed(stack, **fields):
    return msgspec.structs.replace(stack, **fields)


def test_a_measured_link_sets_the_pace_of_sharding_without_nvlink():
    sharded = {"sharding": "fsdp", "num_gpus": 4, "micro_batch_size": 1}
    slow, fast = (measured_card(Rates(100.0, 800.0, link_gbs=link)) for link in (6.0, 50.0))
    assert seconds(card=slow, **sharded) > 1.5 * seconds(card=fast, **sharded)


def test_compiled_blocks_and_8_bit_products_earn_speed():
    plain, compiled = (seconds(changed(TORCHTITAN, compiled=on)) for on in (False, True))
    eight_bit = seconds(changed(TORCHTITAN, compiled=True, fp8=True))
    # torchtitan, 8B on eight cards: 1.16 times by compiling, 1.28 times more by float8
    assert 1.05 < plain / compiled < 1.3
    assert 1.1 < compiled / eight_bit < 1.6


def test_a_card_that_its_power_holds_back_is_slower_than_its_stated_peak():
    """Llama-3-8B by LoRA, 2 x 4096 tokens, nothing recomputed: 12473 a second on an H100 (NeMo AutoModel)."""
    ways = {
        "method": "lora",
        "micro_batch_size": 2,
        "gradient_checkpointing": False,
        "lora_targets": ("q_proj", "v_proj"),
    }
    h100 = lookup("NVIDIA H100 80GB HBM3")
    measured = seconds(changed(TORCHTITAN, compiled=True), card=h100, **ways)
    assert 2 * 4096 / measured == pytest.approx(12_473, rel=0.25)
    h20 = lookup("NVIDIA H20")
    slower = seconds(changed(TORCHTITAN, compiled=True), card=h20, **ways) / measured
    assert slower < 0.9 * h100.bf16_dense_tflops / h20.bf16_dense_tflops


def test_selective_checkpointing_recomputes_half():
    none, half, whole = (
        seconds(stack, gradient_checkpointing=on)
        for stack, on in (
            (TORCHTITAN, False),
            (changed(TORCHTITAN, selective_checkpointing=True), True),
            (TORCHTITAN, True),
        )
    )
    assert none < half < whole
    assert (half - none) < 0.55 * (whole - none)


def test_a_sequence_over_two_gpus_takes_each_half_as_long_and_as_many_gpus():
    ways = {"num_gpus": 2, "sharding": "fsdp", "max_seq_len": 32_768, "micro_batch_size": 1}
    alone, shared = (seconds(changed(OURS, split=Split(context=size)), **ways) for size in (1, 2))
    assert shared == pytest.approx(alone / 2, rel=0.15)


def test_tensor_parallelism_waits_for_its_exchange():
    ways = {"num_gpus": 8, "sharding": "fsdp", "micro_batch_size": 8}
    titan = changed(TORCHTITAN, split=Split(tensor=8))
    assert seconds(TORCHTITAN, **ways) / 8 < seconds(titan, **ways)


def test_nodes_share_their_adapters_in_the_rings_of_a_collective():
    """Eight adapters carry a ring each, so two nodes gather nearly as fast as one (NeMo: 70B LoRA at 985 tokens a
    second and GPU on two nodes, 1092 on one)."""
    h100 = lookup("NVIDIA H100 80GB HBM3")
    ways = {"card": h100, "name": "Llama-3.1-70B", "method": "lora", "sharding": "fsdp", "micro_batch_size": 2}
    one, two = (seconds(num_gpus=8 * nodes, num_nodes=nodes, **ways) for nodes in (1, 2))
    assert one <= two < 1.3 * one


def test_the_kernel_that_unpacks_gptq_decides_over_a_mixture_of_experts():
    """All experts are unpacked for the few that a token passes."""
    old, triton = (
        seconds(changed(FMS, base_storage="gptq_int4", gptq_of_2023=old), "Mixtral-8x7B-v0.1", "qlora")
        for old in (True, False)
    )
    assert old > 1.1 * triton


def test_experts_that_are_modules_of_their_own_are_gathered_one_by_one_under_zero3():
    """ms-swift: ten times slower than Megatron."""
    ways = {"name": "Qwen3-30B-A3B", "sharding": "zero3", "num_gpus": 8, "micro_batch_size": 1}
    assert seconds(DEEPSPEED, **ways) > 5 * seconds(changed(DEEPSPEED, experts_quantised=False), **ways)
