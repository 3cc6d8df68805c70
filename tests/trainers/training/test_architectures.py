"""Each method on each kind of architecture, tiny and for real: `make soak` trains all cells."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.trainers.conftest import generates_plainly
from tests.trainers.families_with_eyes import TEXT
from trainers import exit_codes
from trainers.method import METHODS
from trainers.plan import plan_from_dict, save_plan
from trainers.training import run

pytestmark = pytest.mark.slow
MIXTURE: dict[str, Any] = {"num_experts_per_tok": 2, "moe_intermediate_size": 32}
LATENT: dict[str, Any] = {
    "kv_lora_rank": 16,
    "q_lora_rank": 24,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 16,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "n_group": 2,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "num_key_value_heads": 4,
    "head_dim": 8,
}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "qwen3": {},
    "gemma3_text": {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 32},
    "phi3": {},
    "mistral": {},
    "gpt2": {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 512},
    "gpt_neox": {"tie_word_embeddings": True},
    "qwen3_moe": {**MIXTURE, "num_experts": 4},
    "mixtral": {**MIXTURE, "num_local_experts": 4},
    "gemma4_text": {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 32},
    "qwen3_5_text": {
        "layer_types": ["linear_attention", "full_attention"],
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 16,
        "linear_value_head_dim": 16,
    },
    "glm4": {},
    "deepseek_v3": {**MIXTURE, **LATENT},
    "gpt_oss": {**MIXTURE, "num_local_experts": 4, "layer_types": ["sliding_attention", "full_attention"]},
    "granitemoehybrid": {
        **MIXTURE,
        "num_local_experts": 4,
        "shared_intermediate_size": 64,
        "layer_types": ["mamba", "attention"],
        "mamba_n_heads": 8,
        "mamba_d_head": 16,
        "mamba_d_state": 16,
        "mamba_n_groups": 1,
    },
}
ARCHITECTURES["granitemoehybrid without experts"] = ARCHITECTURES["granitemoehybrid"] | {"num_local_experts": 0}
"""model_type -> what its configuration needs beside the common widths."""
EAGER = ("gpt_oss",)
"""Families whose class has no fused attention (rule HYP-98)."""
NOT_EXPERTS = {
    "qwen3_moe": ["q_proj", "k_proj", "v_proj", "o_proj"],
    "mixtral": ["q_proj", "k_proj", "v_proj", "o_proj"],
    "gpt_oss": ["q_proj", "k_proj", "v_proj", "o_proj"],
    "deepseek_v3": ["q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"],
    "granitemoehybrid": ["q_proj", "k_proj", "v_proj", "o_proj"],
}
"""Layers that the rules name instead of all-linear."""
CELLS = [(family, method) for family in ARCHITECTURES for method in METHODS]
NO_PREFIX = ("qwen3_5_text", "granitemoehybrid", "granitemoehybrid without experts", "deepseek_v3")
"""Families with layers that do not keep keys and values of one shape: a prefix has no place in them."""
ALWAYS = [("granitemoehybrid", "lora"), ("granitemoehybrid", "prefix")]


def build(family: str, tokenizer: Path, folder: Path) -> Path:
    """A tiny random model of this architecture, with the tokenizer of another."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    words = AutoTokenizer.from_pretrained(str(tokenizer))
    fields = {**TEXT, "vocab_size": len(words), "eos_token_id": words.eos_token_id, **ARCHITECTURES[family]}
    torch.manual_seed(0)
    config = AutoConfig.for_model(family.split(maxsplit=1)[0], **fields)
    AutoModelForCausalLM.from_config(config).save_pretrained(str(folder))
    words.save_pretrained(str(folder))
    return folder


@pytest.mark.parametrize(("family", "method"), CELLS if os.environ.get("SOAK") else ALWAYS)
def test_it_learns_and_what_it_saves_loads_plainly(
    family: str, method: str, tiny_model: Path, tmp_path: Path, make_plan: Callable[..., dict[str, Any]]
) -> None:
    base = build(family, tiny_model, tmp_path / "base")
    rate = {"full": 1e-3, "prefix": 0.1}.get(method, 2e-2)
    plan = make_plan(method, model={"name": str(base)}, learning_rate=rate, max_steps=6, save_steps=6, eval_steps=6)
    # Packed experts are unpacked once more in the backward pass.
    plan |= {"gradient_checkpointing": method == "qlora" and family in NOT_EXPERTS}
    plan |= {"attention": "eager"} if family in EAGER else {}
    plan |= {"lora_targets": NOT_EXPERTS[family]} if family in NOT_EXPERTS and "lora_rank" in plan else {}
    save_plan(plan_from_dict(plan), tmp_path / "plan.toml")
    looks = ("--examples", "8", "--samples", "1", "--new-tokens", "4")
    code = run.main([str(tmp_path / "plan.toml"), "--run-dir", str(tmp_path / "run"), *looks])
    record = json.loads((tmp_path / "run" / "run.json").read_bytes())
    if method == "prefix" and family in NO_PREFIX:
        assert code == exit_codes.BAD_PLAN
        assert "prefix tuning does not work on this model" in record["failure"]["what"]
        return
    assert code == exit_codes.DONE, record.get("failure")
    # A prefix of eight rows of noise on a tiny model wavers.
    assert record["losses"]["lowest" if method == "prefix" else "last"] < record["losses"]["first"]
    assert record["reload"]["passed"], record["reload"]
    assert generates_plainly(tmp_path / "run" / "result", base)
