"""Closed forms against transformers' modules: counts to the parameter, every linear by name and shape."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from advisor.base.errors import InputError
from advisor.model.catalog import entries
from advisor.model.config import family_of, known_families
from advisor.model.families import built_families, spec_from_config
from advisor.model.use import refusal
from tests.model import config_defaults
from tests.model.meta import NEEDED, SHRUNK, build, count, linear_shapes, spec_of, spec_shapes

# Known here but outside AutoModelForCausalLM: language parts of multimodal models, and code beside a checkpoint.
# Phi-4-multimodal builds its vision and audio parts beside the language model that is counted.
TESTED = sorted(built_families() & set(config_defaults.causal_families()) - {"phi4_multimodal"})
# Switches that closed forms say themselves they do not cover (`known` turns False), or that no decoder uses.
LEFT_OUT = {
    ("gpt2", "add_cross_attention"),
    ("gpt-sw3", "add_cross_attention"),
    ("xglm", "add_cross_attention"),
    ("bert", "tie_word_embeddings"),
    ("zamba2", "num_mem_blocks"),
}


@pytest.mark.parametrize("model_type", TESTED)
def test_counts_and_linears_are_those_of_transformers(model_type: str) -> None:
    defaults = family_of(model_type).defaults
    needed = NEEDED.get(model_type, {})
    base = {**{key: value for key, value in SHRUNK.items() if isinstance(defaults.get(key), int)}, **needed}
    refused: list[str] = []
    compared = sum(agrees(model_type, each, refused) for each in [needed, base, *variations(defaults, base)])
    assert compared >= 2, (
        f"transformers built {compared} of these configs; the first error was {refused[:1]}. What its config class "
        "needs beside its defaults goes into NEEDED of tests/model/meta.py"
    )


def variations(defaults: dict[str, Any], base: dict[str, Any]) -> list[dict[str, Any]]:
    """The base with one key changed: every switch flipped, every size doubled."""
    changed: list[dict[str, Any]] = []
    for key, value in defaults.items():
        if key in base or key in ("vocab_size", "num_experts_per_tok"):
            continue
        if isinstance(value, bool):
            changed.append({**base, key: not value})
        elif isinstance(value, int) and value > 0:
            changed.append({**base, key: 2 * value})
    return changed


def agrees(model_type: str, settings: dict[str, Any], refused: list[str]) -> bool:
    """False when transformers itself refuses the settings, its words in `refused`; asserts agreement otherwise."""
    if any((model_type, key) in LEFT_OUT for key in settings):
        return False
    try:
        model = build(model_type, settings)
    except (ValueError, TypeError, RuntimeError, AssertionError, ZeroDivisionError, KeyError, IndexError) as error:
        refused.append(repr(error))
        return False
    except Exception as refusal:
        # huggingface_hub's dataclass validation has an error class of its own for impossible settings.
        if "StrictDataclass" not in type(refusal).__name__:
            raise
        refused.append(repr(refusal))
        return False
    spec = spec_of(model_type, settings)
    if not spec.known:
        assert model_type in ("doge", "zamba2"), "only these admit that a switch is not covered"
        return True
    assert spec.num_params == count(model), settings
    assert spec_shapes(spec) == linear_shapes(model), settings
    return True


@pytest.mark.parametrize(
    ("model_type", "text_class"),
    [
        ("emu3_text_model", "Emu3TextModel"),
        ("mllama_text_model", "MllamaTextModel"),
        ("qwen2_vl_text", "Qwen2VLTextModel"),
        ("qwen2_5_vl_text", "Qwen2_5_VLTextModel"),
        ("qwen3_vl_text", "Qwen3VLTextModel"),
        ("qwen3_vl_moe_text", "Qwen3VLMoeTextModel"),
    ],
)
def test_language_parts_of_multimodal_models(model_type: str, text_class: str) -> None:
    import importlib

    import torch
    import transformers

    config = transformers.AutoConfig.for_model(model_type, num_hidden_layers=5)
    module = importlib.import_module(type(config).__module__.replace("configuration_", "modeling_"))
    with torch.device("meta"):
        body = getattr(module, text_class)(config)
    # The class holds no head; a tied one adds nothing.
    spec = spec_from_config({**config.to_dict(), "model_type": model_type, "tie_word_embeddings": True})
    assert spec.known
    assert spec.num_params == count(body)


def test_defaults_are_those_of_the_installed_transformers() -> None:
    assert config_defaults.TARGET.read_text() == config_defaults.encoded(), (
        "run: python -m tests.model.config_defaults"
    )


COUNTED = sorted(
    slug for slug, entry in entries().items() if spec_from_config(json.loads(bytes(entry.config)), slug).known
)


@pytest.mark.parametrize("name", COUNTED)
def test_catalogue_models_have_their_published_count(name: str) -> None:
    entry = entries()[name]
    assert spec_from_config(json.loads(bytes(entry.config)), name).num_params == entry.params


def test_what_is_not_counted_is_refused() -> None:
    rest = [
        spec_from_config(json.loads(bytes(entries()[slug].config)), slug) for slug in set(entries()) - set(COUNTED)
    ]
    assert len(rest) < 15
    assert all(refusal(spec) for spec in rest)


def test_every_causal_family_is_read_or_says_that_it_is_guessed() -> None:
    for model_type in known_families():
        try:
            spec = spec_from_config({"model_type": model_type})
        except InputError:
            continue
        assert spec.known or any("not known" in note or "guessed" in note for note in spec.notes), model_type


def test_unknown_family_is_guessed_aloud() -> None:
    config = {"model_type": "brandnew", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    spec = spec_from_config({**config, "intermediate_size": 128, "vocab_size": 100})
    assert not spec.known
    assert "brandnew" in spec.notes[0]


def test_active_params_leave_idle_experts_out() -> None:
    spec = spec_from_config(json.loads(bytes(entries()["qwen3-30b-a3b"].config)))
    assert spec.is_moe
    assert spec.experts_fused
    assert 3.2e9 < spec.active_params < 3.5e9


def test_nested_config_counts_language_model_and_towers_apart() -> None:
    spec = spec_from_config(json.loads(bytes(entries()["gemma-3-4b-it"].config)))
    assert spec.language_params == entries()["gemma-3-4b-text"].params
    assert spec.num_params == entries()["gemma-3-4b-it"].params
    assert "images or sound" in spec.notes[0]


def test_null_in_a_config_is_not_the_class_default() -> None:
    llama = json.loads(bytes(entries()["mistral-7b-v0.1"].config))
    assert spec_from_config(llama).sliding_window == 4096
    assert spec_from_config({**llama, "sliding_window": None}).sliding_window is None


@pytest.mark.parametrize(
    ("name", "kv_heads"), [("falcon-7b", 1), ("falcon-40b", 8), ("gpt_bigcode-santacoder", 1), ("chatglm3-6b", 2)]
)
def test_multi_query_heads_under_any_name(name: str, kv_heads: int) -> None:
    assert spec_from_config(json.loads(bytes(entries()[name].config))).num_key_value_heads == kv_heads


def test_window_pattern_of_gemma_3() -> None:
    spec = spec_from_config(json.loads(bytes(entries()["gemma-3-1b"].config)))
    windows = {group.sliding_window: group.count for group in spec.layers}
    assert windows == {512: 22, None: 4}


def test_all_wrong_values_are_reported_at_once() -> None:
    config = {"model_type": "llama", "hidden_size": -5, "num_attention_heads": "x", "vocab_size": 3.5}
    with pytest.raises(InputError) as caught:
        spec_from_config(config)
    assert len(caught.value.problems) == 3
    assert all(problem.fix and problem.where for problem in caught.value.problems)


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(InputError, match="cannot be split"):
        spec_from_config({"model_type": "llama", "hidden_size": 100, "num_attention_heads": 7})


def test_quantised_checkpoints_are_told_apart() -> None:
    llama = json.loads(bytes(entries()["llama-3.1-8b"].config))
    kinds = {
        "nf4": {"quant_method": "bitsandbytes", "load_in_4bit": True},
        "int8": {"quant_method": "bitsandbytes", "load_in_8bit": True},
        "int4": {"quant_method": "gptq", "bits": 4},
        "fp8": {"quant_method": "fp8"},
        "mxfp4": {"quant_method": "mxfp4"},
        "nvfp4": {"quant_method": "modelopt", "quant_algo": "NVFP4"},
    }
    packed = {"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized"}
    assert spec_from_config({**llama, "quantization_config": packed}).native_quant == "nvfp4"
    for kind, stated in kinds.items():
        assert spec_from_config({**llama, "quantization_config": stated}).native_quant == kind


def test_spec_survives_a_round_trip_through_json() -> None:
    spec = spec_from_config(json.loads(bytes(entries()["deepseek-v3"].config)), "DeepSeek-V3")
    assert msgspec.json.decode(msgspec.json.encode(spec), type=type(spec)) == spec
