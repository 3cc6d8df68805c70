"""Trained parameters against peft on the meta device."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.model.catalog import from_catalog
from advisor.model.families import built_families
from advisor.model.params import (
    REMAPPED_NAMES,
    adapter_params_per_rank,
    bottleneck_params,
    default_lora_targets,
    expert_names,
    linear_names,
    lora_params,
    prefix_params,
    targeted,
    trainable_params,
)
from advisor.model.spec import ModelSpec
from tests.model.config_defaults import causal_families
from tests.model.meta import NEEDED, build, count, spec_of
from trainers.plan import ModelRef, TrainingPlan

SMALL = {"num_hidden_layers": 3}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": SMALL | {"num_key_value_heads": 8},
    "qwen2": SMALL,
    "qwen3": SMALL,
    "qwen3_moe": SMALL,
    "mixtral": SMALL,
    "gpt_oss": SMALL,
    "llama4_text": SMALL,
    "gemma3_text": SMALL,
    "gemma4_text": {"num_hidden_layers": 6},
    "gemma3n_text": NEEDED["gemma3n_text"],
    "phi3": SMALL,
    "gpt2": {"n_layer": 3},
    "gpt_neox": SMALL,
    "falcon": SMALL,
    "opt": SMALL | {"word_embed_proj_dim": 512},
    "bloom": {"n_layer": 3},
    "deepseek_v3": {"num_hidden_layers": 5},
    "qwen3_next": {"num_hidden_layers": 4},
    "olmoe": SMALL,
    "glm4_moe": SMALL | {"head_dim": 128},
    "glm4_moe_lite": SMALL,
    "ernie4_5_moe": SMALL,
    "afmoe": SMALL,
    "cohere2_moe": SMALL,
    "deepseek_v2": SMALL,
    "deepseek_v32": {"num_hidden_layers": 5},
    "dots1": SMALL | NEEDED["dots1"],
    "exaone_moe": SMALL,
    "flex_olmo": SMALL,
    "hunyuan_v1_moe": SMALL | NEEDED["hunyuan_v1_moe"],
    "mellum": SMALL,
    "minimax_m2": SMALL,
    "minimax": SMALL,
    "phimoe": SMALL,
    "qwen2_moe": SMALL,
    "solar_open": SMALL,
    "granitemoehybrid": SMALL,
    "jetmoe": SMALL,
    "qwen3_5_moe_text": {"num_hidden_layers": 4},
    "zamba2": NEEDED["zamba2"],
}


def trainable(model_type: str, settings: dict[str, Any], **options: Any) -> int:
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(build(model_type, settings), LoraConfig(task_type="CAUSAL_LM", **options))
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


@pytest.mark.parametrize("model_type", sorted(FAMILIES))
def test_all_linear_is_what_peft_trains(model_type: str) -> None:
    settings = FAMILIES[model_type]
    spec = spec_of(model_type, settings)
    assert lora_params(spec, 7) == trainable(model_type, settings, r=7, target_modules="all-linear")
    assert adapter_params_per_rank(spec) * 7 == lora_params(spec, 7)


@pytest.mark.parametrize(
    ("model_type", "targets"),
    [
        ("llama", ["q_proj", "v_proj"]),
        ("gpt2", ["c_attn"]),
        ("gpt2", ["c_proj"]),
        ("falcon", ["query_key_value"]),
        ("qwen3_moe", ["q_proj", "o_proj"]),
        ("deepseek_v3", ["kv_b_proj", "down_proj"]),
        ("mixtral", ["q_proj", "w1", "w2", "w3"]),
    ],
)
def test_chosen_targets_are_what_peft_trains(model_type: str, targets: list[str]) -> None:
    settings = FAMILIES[model_type]
    spec = spec_of(model_type, settings)
    assert lora_params(spec, 8, targets) == trainable(model_type, settings, r=8, target_modules=targets)


@pytest.mark.parametrize(
    "model_type",
    ["mamba", "falcon_h1", "qwen3_moe", "nemotron_h", "llama", "deepseek_v3", "phimoe", "llama4_text", "qwen3_next"],
)
def test_default_targets_are_accepted_and_leave_experts_and_routers_alone(model_type: str) -> None:
    settings = FAMILIES.get(model_type, {} if model_type == "nemotron_h" else SMALL)
    spec = spec_of(model_type, settings)
    targets = list(default_lora_targets(spec))
    chosen = "all-linear" if targets == ["all-linear"] else targets
    assert lora_params(spec, 3, targets) == trainable(model_type, settings, r=3, target_modules=chosen)
    assert not any(linear.role in ("expert", "router") for _, linear in targeted(spec, targets))


def test_remapped_families_are_those_of_peft() -> None:
    from peft.utils.transformers_weight_conversion import _MODEL_TO_CONVERSION_PATTERN

    known = {name: style for name, style in _MODEL_TO_CONVERSION_PATTERN.items() if style in REMAPPED_NAMES}
    families = built_families() & set(causal_families())
    stated = {name: spec_of(name, NEEDED.get(name, {})).traits.experts_were for name in families}
    assert {name: style for name, style in stated.items() if style} == {
        name: style for name, style in known.items() if name in families
    }


def test_dora_adds_one_magnitude_for_each_output() -> None:
    settings = FAMILIES["qwen3"]
    counted = trainable("qwen3", settings, r=4, target_modules="all-linear", use_dora=True)
    assert lora_params(spec_of("qwen3", settings), 4, dora=True) == counted


@pytest.mark.parametrize("saved", [["lm_head"], ["embed_tokens"], ["embed_tokens", "lm_head"]])
def test_modules_to_save_train_whole(saved: list[str]) -> None:
    settings = FAMILIES["llama"]
    counted = trainable("llama", settings, r=4, target_modules=["q_proj"], modules_to_save=saved)
    assert lora_params(spec_of("llama", settings), 4, ["q_proj"], modules_to_save=saved) == counted


@pytest.mark.parametrize("model_type", ["mixtral", "qwen3_moe", "gpt_oss"])
def test_expert_targets_are_what_peft_trains(model_type: str) -> None:
    settings = FAMILIES[model_type]
    spec = spec_of(model_type, settings)
    assert expert_names(spec) == ("gate_up_proj", "down_proj")
    named = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
    counted = trainable(model_type, settings, r=2, target_modules=["q_proj"], target_parameters=named)
    assert lora_params(spec, 2, ["q_proj"], named) == counted
    own = trainable(
        model_type,
        settings,
        r=6,
        target_modules=["q_proj"],
        target_parameters=named,
        rank_pattern=dict.fromkeys(named, 2),
    )
    assert lora_params(spec, 6, ["q_proj"], named, expert_rank=2) == own


def test_experts_named_beside_all_linear_are_counted_once() -> None:
    settings = FAMILIES["qwen3_moe"]
    named = ["experts.gate_up_proj", "experts.down_proj"]
    counted = trainable("qwen3_moe", settings, r=2, target_modules="all-linear", target_parameters=named)
    assert lora_params(spec_of("qwen3_moe", settings), 2, ["all-linear"], named) == counted


@pytest.mark.parametrize("model_type", ["llama", "qwen3", "gpt2", "gemma3_text"])
def test_prefix_tuning_is_what_peft_trains(model_type: str) -> None:
    from peft import PrefixTuningConfig, get_peft_model

    settings = FAMILIES[model_type]
    config = PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=11)
    model = get_peft_model(build(model_type, settings), config)
    counted = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert prefix_params(spec_of(model_type, settings), 11) == counted


def test_bottleneck_count_of_smollm2() -> None:
    # Measured on the real module (width 32, two adapters in each of 30 blocks).
    assert bottleneck_params(catalogue("SmolLM2-135M"), 32) == 30 * 2 * (2 * 576 * 32 + 32 + 576)


def test_lora_of_smollm2_is_the_measured_number() -> None:
    # r 16 on every linear: 4,884,480 trainable parameters, counted on the real model.
    assert lora_params(catalogue("SmolLM2-135M"), 16) == 4_884_480


def test_a_plan_says_what_trains() -> None:
    spec = catalogue("Llama-3.1-8B")
    ref = ModelRef(name="m")
    full = TrainingPlan(model=ref, method="full")
    lora = TrainingPlan(model=ref, method="lora", lora_rank=16, lora_alpha=32, lora_targets=("all-linear",))
    prefix = TrainingPlan(model=ref, method="prefix", num_virtual_tokens=20)
    adapter = TrainingPlan(model=ref, method="adapter", adapter_bottleneck=64)
    assert trainable_params(spec, full) == spec.num_params == 8_030_261_248
    assert trainable_params(spec, lora) == 41_943_040
    assert trainable_params(spec, prefix) == 20 * 32 * 2 * 8 * 128
    assert trainable_params(spec, adapter) == bottleneck_params(spec, 64)


def test_names_for_targets_are_listed() -> None:
    names = linear_names(catalogue("Llama-3.1-8B"))
    assert names == ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@given(rank=st.integers(1, 256), more=st.integers(1, 64))
def test_a_larger_rank_never_trains_less(rank: int, more: int) -> None:
    spec = catalogue("Qwen3-8B")
    assert lora_params(spec, rank) < lora_params(spec, rank + more)


def catalogue(name: str) -> ModelSpec:
    spec = from_catalog(name)
    assert spec is not None
    return spec


def test_meta_build_counts_ties_once() -> None:
    assert (
        count(build("llama", {**SMALL, "tie_word_embeddings": True}))
        == spec_of("llama", {**SMALL, "tie_word_embeddings": True}).num_params
    )
