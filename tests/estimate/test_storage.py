"""Bytes of files: exact where the format fixes them, checked against files that peft really writes."""

from __future__ import annotations

import pytest

from advisor.estimate import estimate_storage
from advisor.estimate.storage import safetensors_bytes
from advisor.model.families import spec_from_config
from tests.estimate.shapes import model, plan
from trainers.plan import Delivery

CONFIG = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 12,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 300,
    "tie_word_embeddings": True,
}


@pytest.mark.slow
@pytest.mark.parametrize("dora", [False, True])
def test_adapter_file_is_predicted_to_the_byte(tmp_path, dora):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, LlamaConfig

    torch_model = AutoModelForCausalLM.from_config(LlamaConfig(**CONFIG))
    adapted = get_peft_model(torch_model, LoraConfig(r=8, target_modules="all-linear", use_dora=dora))
    adapted.save_pretrained(tmp_path)
    storage = estimate_storage(spec_from_config(CONFIG), plan("lora", lora_rank=8, use_dora=dora))
    item = next(item for item in storage.items if item.name == "checkpoint: weights")
    assert item.exact
    assert item.num_bytes == (tmp_path / "adapter_model.safetensors").stat().st_size


@pytest.mark.slow
def test_whole_model_file_is_predicted_to_the_byte(tmp_path):
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    AutoModelForCausalLM.from_config(LlamaConfig(**CONFIG), dtype=torch.bfloat16).save_pretrained(tmp_path)
    storage = estimate_storage(spec_from_config(CONFIG), plan("full", delivery=Delivery(artifact="full_model")))
    item = next(item for item in storage.items if item.name == "result: full_model")
    assert item.exact
    assert item.num_bytes == (tmp_path / "model.safetensors").stat().st_size


def test_safetensors_header_is_padded_to_eight():
    size = safetensors_bytes([("a", "F32", [3], 12)])
    assert (size - 12) % 8 == 0


def test_checkpoints_hold_optimizer_states_and_the_largest_moment_counts_one_more():
    storage = estimate_storage(model("Llama-3.1-8B"), plan("full", weights_dtype="fp32", save_total_limit=3))
    weights = 4 * model("Llama-3.1-8B").num_params
    assert storage.checkpoint_bytes == pytest.approx(3 * weights, rel=0.01)
    assert storage.peak_output_bytes >= 4 * storage.checkpoint_bytes


def test_an_adapter_is_small_beside_a_merged_model():
    adapter = estimate_storage(model("Llama-3.1-8B"), plan("lora"))
    merged = estimate_storage(model("Llama-3.1-8B"), plan("lora", delivery=Delivery(artifact="merged_model")))
    assert adapter.artifact_bytes < 0.02 * merged.artifact_bytes
    assert merged.artifact_bytes == pytest.approx(2 * model("Llama-3.1-8B").num_params, rel=0.01)


@pytest.mark.parametrize("weights", ["fp8", "4bit", "gguf"])
def test_quantised_deliveries_are_smaller(weights):
    wide = estimate_storage(model("Llama-3.1-8B"), plan("lora", delivery=Delivery(artifact="merged_model")))
    narrow = estimate_storage(
        model("Llama-3.1-8B"), plan("lora", delivery=Delivery(artifact="merged_model", weights=weights))
    )
    assert 0.2 * wide.artifact_bytes < narrow.artifact_bytes < 0.7 * wide.artifact_bytes


def test_a_local_model_needs_no_cache():
    import msgspec

    local = msgspec.structs.replace(model("Llama-3.1-8B"), source="folder")
    assert estimate_storage(local, plan("lora")).cache_bytes == 0
    assert estimate_storage(model("Llama-3.1-8B"), plan("lora")).cache_bytes > 16e9
