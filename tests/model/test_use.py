"""What the trainer's class would load is recommended, everything else refused with the tool that fits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from advisor.ask.answers import Layer
from advisor.base.errors import InputError
from advisor.commands.measure import gather
from advisor.model.catalog import entries
from advisor.model.families import spec_from_config
from advisor.model.use import KNOWN_TO, refusal, use_of
from tests.model import model_uses
from trainers.text_alone import TEXT_ALONE

CONFIG = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "vocab_size": 99,
}


def test_the_table_is_that_of_the_installed_transformers() -> None:
    import transformers

    assert model_uses.TARGET.read_text() == model_uses.encoded(), "run: python -m tests.model.model_uses"
    assert transformers.__version__.startswith(KNOWN_TO)


def test_every_model_type_is_loaded_by_the_class_that_trains_or_refused_with_a_tool() -> None:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    for model_type in CONFIG_MAPPING_NAMES:
        spec = spec_from_config({**CONFIG, "model_type": "llama"}, "a model")
        spec = msgspec.structs.replace(spec, use=use_of({"model_type": model_type}), model_type=model_type)
        problem = refusal(spec)
        if problem is None:
            assert model_type in {*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, *TEXT_ALONE}
        else:
            assert problem.why
            assert problem.fix


@pytest.mark.parametrize(
    ("config", "use"),
    [
        ({"model_type": "llama"}, "causal"),
        ({"model_type": "gemma3"}, "causal"),
        ({"model_type": "qwen3_vl"}, "causal"),
        ({"model_type": "blip-2"}, "image_text"),
        ({"model_type": "mllama"}, "image_text"),
        ({"model_type": "llama4"}, "causal"),
        ({"model_type": "qwen2_5_omni"}, "multimodal"),
        ({"model_type": "t5"}, "seq2seq"),
        ({"model_type": "bart"}, "seq2seq"),
        ({"model_type": "llama", "is_encoder_decoder": True}, "seq2seq"),
        ({"model_type": "whisper"}, "speech"),
        ({"model_type": "bert"}, "encoder"),
        ({"model_type": "bert", "is_decoder": True}, "causal"),
        ({"model_type": "modernbert"}, "encoder"),
        ({"model_type": "qwen2", "architectures": ["Qwen2ForSequenceClassification"]}, "encoder"),
        ({"model_type": "musicgen"}, "other"),
        ({"model_type": "vit"}, "other"),
        ({"model_type": "acme", "auto_map": {"AutoModelForCausalLM": "modeling.Acme"}}, "own_code"),
        ({"model_type": "acme"}, "unknown"),
        ({}, "unknown"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else value,
)
def test_what_a_checkpoint_is_for(config: dict[str, Any], use: str) -> None:
    assert use_of(config) == use


def test_a_family_without_a_builder_is_not_guessed_at() -> None:
    assert use_of({"model_type": "llama", "num_local_experts": 8}, known=False) == "unknown_mixture"
    assert use_of({"model_type": "mistral3", "text_config": {"num_experts": 8}}, known=False) == "unknown_mixture"
    assert use_of({"model_type": "llama"}, known=False) == "unknown_shape"


def test_every_catalogue_model_is_loaded_or_refused() -> None:
    """Own code stays in the catalogue for estimates, and is never recommended."""
    specs = {slug: spec_from_config(json.loads(bytes(entry.config)), slug) for slug, entry in entries().items()}
    own_code = {slug for slug, spec in specs.items() if spec.use in ("own_code", "unknown")}
    assert own_code == {
        "baichuan2-13b", "baichuan2-7b", "chatglm2-6b", "chatglm3-6b", "kimi-k2-instruct",
        "llama-3-3-nemotron-super-49b-v1", "minicpm4-8b", "qwen-1.8b", "qwen-14b", "qwen-72b", "qwen-7b",
    }  # fmt: skip
    assert {spec.use for spec in specs.values()} - {"unknown"} <= {"causal", "image_text", "encoder", "seq2seq"}
    for slug, spec in specs.items():
        assert spec.known or refusal(spec), f"{slug} would be recommended on a guess"


def test_advice_for_a_model_that_cannot_be_trained_ends_with_the_tool_that_can(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, "model_type": "t5", "is_encoder_decoder": True}))
    with pytest.raises(InputError) as refused:
        gather([Layer("flag", {"model": str(tmp_path), "hardware": "RTX 4090", "data.examples": "100"})])
    (problem,) = refused.value.problems
    assert "encoder-decoder" in problem.why
    assert "Seq2SeqTrainer" in problem.fix
