"""Experts in 4 bits: exact against a model that holds the rounded values, packed as they load, frozen, merged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from trainers.errors import PlanRefused
from trainers.merging.merge import merge_run
from trainers.methods import qlora
from trainers.methods.packed_experts import expert_parameters, packed_like_experts
from trainers.plan import TrainingPlan, plan_from_dict, save_plan
from trainers.training.run import main

SHAPE: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "moe_intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "max_position_embeddings": 512,
    "pad_token_id": None,
    "bos_token_id": None,
}


def build(family: str, tiny_model: Path, folder: Path) -> Path:
    """A random mixture of this family with the tokenizer of the tiny model."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    usual = AutoConfig.for_model(family)
    shape = {key: value for key, value in SHAPE.items() if hasattr(usual, key)}
    config = AutoConfig.for_model(family, **shape, vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id)
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).float().save_pretrained(str(folder))
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(tiny_model / file, folder / file)
    return folder


def packing(make_plan: Callable[..., dict[str, Any]], folder: Path, **fields: Any) -> TrainingPlan:
    fields = {"attention": "eager", **fields}  # gpt-oss has no other
    wanted = {"gradient_checkpointing": True, "lora_targets": ["q_proj", "k_proj", "v_proj", "o_proj"], **fields}
    return plan_from_dict(make_plan("qlora", model={"name": str(folder)}, **wanted))


def rounded(folder: Path) -> Any:
    """The same model in plain tensors that hold what 4 bits leave of its experts; the other layers stay packed."""
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    usual = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    model = AutoModelForCausalLM.from_pretrained(
        str(folder),
        quantization_config=usual,
        dtype=torch.float32,
        device_map={"": "cpu"},
        attn_implementation="eager",
    )
    qlora._keep_layout(model)
    for name in expert_parameters(model):
        parameter = model.get_parameter(name)
        parameter.data = packed_like_experts(parameter.data)
    return model


@pytest.mark.parametrize("family", ["gpt_oss", "mixtral", "qwen3_moe"])
def test_packed_experts_answer_bit_for_bit_as_their_rounded_values_do(
    family: str, tiny_model: Path, tmp_path: Path, make_plan: Callable[..., dict[str, Any]]
) -> None:
    folder = build(family, tiny_model, tmp_path / "base")
    model, plain = qlora.load(packing(make_plan, folder)).eval(), rounded(folder).eval()
    ids = torch.arange(5, 29)[None]
    assert torch.equal(model(input_ids=ids).logits, plain(input_ids=ids).logits)
    names = expert_parameters(model)
    assert names == expert_parameters(plain)
    held = [value for name, value in model.named_parameters() if ".parametrizations." in name]
    values = sum(plain.get_parameter(name).numel() for name in names)
    assert sum(value.numel() * value.element_size() for value in held) == values // 2
    assert not any(value.requires_grad for value in held)
    whole = model.dequantize()
    assert torch.allclose(whole(input_ids=ids).logits, plain(input_ids=ids).logits, atol=1e-4)


def test_gradients_through_packed_experts_are_those_through_their_rounded_values(
    tiny_model: Path, tmp_path: Path, make_plan: Callable[..., dict[str, Any]]
) -> None:
    folder = build("qwen3_moe", tiny_model, tmp_path / "base")
    ids = torch.arange(5, 29)[None]
    found = []
    for model in (qlora.load(packing(make_plan, folder)), rounded(folder)):
        model.train().gradient_checkpointing_enable()
        embedding = model.get_input_embeddings().weight.requires_grad_(True)
        model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        found.append(embedding.grad)
    assert torch.equal(found[0], found[1])
    assert found[0].any()


def test_packed_experts_ask_for_checkpointing_and_for_whole_weights(
    tiny_model: Path, tmp_path: Path, make_plan: Callable[..., dict[str, Any]]
) -> None:
    folder = build("qwen3_moe", tiny_model, tmp_path / "base")
    with pytest.raises(PlanRefused, match="gradient_checkpointing"):
        qlora.load(packing(make_plan, folder, gradient_checkpointing=False))
    assert qlora.refusals(packing(make_plan, folder, lora_expert_targets=["experts.down_proj"]))


def as_mxfp4(folder: Path) -> None:
    """Turn the experts of a saved gpt-oss into random MXFP4, as openai/gpt-oss-20b stores them."""
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}
    (folder / "config.json").write_text(json.dumps(config))
    tensors = load_file(folder / "model.safetensors")
    generator = torch.Generator().manual_seed(0)
    for name in [name for name in tensors if name.endswith(("experts.gate_up_proj", "experts.down_proj"))]:
        experts, inputs, outputs = tensors.pop(name).shape
        shape = (experts, outputs, inputs // 32, 16)
        tensors[f"{name}_blocks"] = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        tensors[f"{name}_scales"] = torch.randint(118, 122, shape[:3], dtype=torch.uint8, generator=generator)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def test_an_mxfp4_release_is_expanded_and_packed_again(
    tiny_model: Path, tmp_path: Path, make_plan: Callable[..., dict[str, Any]]
) -> None:
    from trainers.methods.models import load_model

    folder = build("gpt_oss", tiny_model, tmp_path / "base")
    as_mxfp4(folder)
    wide = load_model(plan_from_dict(make_plan("lora", model={"name": str(folder)}, attention="eager")))
    packed = qlora.load(packing(make_plan, folder))
    for name in expert_parameters(wide):
        parent, _, leaf = name.rpartition(".")
        value = wide.get_parameter(name)
        assert value.is_floating_point()
        assert value.std() > 0
        assert torch.equal(getattr(packed.get_submodule(parent), leaf), packed_like_experts(value).to(value.dtype))


@pytest.mark.slow
def test_attention_trains_beside_packed_experts_and_merges_with_the_same_rounding(
    tiny_model: Path, tmp_path: Path, make_plan: Callable[..., dict[str, Any]]
) -> None:
    folder, run_dir = build("qwen3_moe", tiny_model, tmp_path / "base"), tmp_path / "run"
    plan = packing(make_plan, folder, max_steps=4, save_steps=4, eval_steps=4, learning_rate=2e-2)
    save_plan(plan, tmp_path / "plan.toml")
    assert main([str(tmp_path / "plan.toml"), "--run-dir", str(run_dir)]) == 0
    record = json.loads((run_dir / "run.json").read_text())
    assert record["losses"]["last"] < record["losses"]["first"]
    names = load_file(run_dir / "result" / "adapter_model.safetensors")
    assert not [name for name in names if "experts" in name or ".mlp.gate." in name]
    done = merge_run(run_dir)
    assert done.how == "weight by weight"
    assert done.gap is not None
    assert done.gap.kl < 1e-6
    assert done.gap.max_logit_difference < 1e-3


def test_words_that_peft_reads_as_the_router_are_refused(
    tiny_model: Path, tmp_path: Path, make_plan: Callable[..., dict[str, Any]]
) -> None:
    folder = build("qwen3_moe", tiny_model, tmp_path / "base")
    plan = packing(make_plan, folder, lora_targets=["all-linear"])
    with pytest.raises(PlanRefused, match="router"):
        qlora.trainable(qlora.load(plan), plan)
    plan = packing(make_plan, folder)
    trained = [
        name for name, value in qlora.trainable(qlora.load(plan), plan).named_parameters() if value.requires_grad
    ]
    assert trained
    assert all(".self_attn." in name for name in trained)
