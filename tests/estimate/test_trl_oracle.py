"""The default profile against PyTorch's memory tracker, through TRL's own path: its head in tiles, autocast, fp32
adapters, rows that are padded.

A few families stand for the catalogue here; `make oracle` takes them all. Two blocks less one are what one block
keeps. A CPU keeps dropout's mask in the dtype of the input where a GPU keeps a byte, so dropout is off.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import pytest

from advisor.estimate import Estimator
from advisor.model.families import spec_from_config
from tests.estimate.shapes import plan

pytestmark = pytest.mark.slow

COMMON: dict[str, Any] = {
    "hidden_size": 512,
    "intermediate_size": 1408,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "vocab_size": 4096,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
EXPERTS = {"head_dim": 64, "num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 256}
DELTA = {
    "head_dim": 64,
    "linear_num_value_heads": 8,
    "linear_num_key_heads": 4,
    "linear_key_head_dim": 64,
    "linear_value_head_dim": 64,
    "layer_types": "linear_attention",
}
SAMPLE: dict[str, dict[str, Any]] = {
    "llama": {},
    "gemma3_text": {"head_dim": 64},
    "qwen3_5_text": DELTA,
    "apertus": {},
}
REST: dict[str, dict[str, Any]] = {
    "qwen2": {"tie_word_embeddings": True},
    "qwen3": {"head_dim": 128},
    "qwen3_moe": EXPERTS | {"decoder_sparse_step": 1},
    "phi3": {},
    "glm4": {"head_dim": 64},
    "mistral": {"head_dim": 64},
    "ministral3": {"head_dim": 64},
    "smollm3": {},
    "granite": {},
    "seed_oss": {"head_dim": 64, "attention_dropout": 0.0, "residual_dropout": 0.0},
    "olmo3": {},
}
FAMILIES = SAMPLE | REST if os.environ.get("ORACLE") == "all" else SAMPLE
BATCH, LENGTH = 2, 256
SHARE = 0.02
"""Of what a block keeps: small statistics that a version counts otherwise."""


@cache
def kept(family: str, method: str, checkpointing: bool) -> tuple[float, float]:
    """Bytes a token that one block keeps: (as the tracker saw, as the estimate has it)."""
    seen = [_seen(family, method, checkpointing, blocks) for blocks in (1, 2)]
    estimator = _estimator(family, method, checkpointing)
    blocks = estimator.blocks(LENGTH, BATCH)
    mask = 0 if checkpointing else estimator.state.compute * LENGTH * blocks.masked
    own = blocks.boundary if checkpointing else blocks.saved
    copies = 0 if checkpointing else blocks.copies / (BATCH * LENGTH)
    return (seen[1] - seen[0]) / (BATCH * LENGTH), (own + mask + copies) / 2


def _config(family: str, blocks: int) -> Any:
    from transformers import CONFIG_MAPPING

    fields = dict(FAMILIES[family])
    kind = fields.pop("layer_types", None)
    if kind:
        fields["layer_types"] = [kind] * blocks
    return CONFIG_MAPPING[family](**COMMON | fields, num_hidden_layers=blocks)


def _targets(family: str) -> list[str]:
    return ["q_proj", "k_proj", "v_proj", "o_proj"] if family == "qwen3_moe" else ["all-linear"]


def _seen(family: str, method: str, checkpointing: bool, blocks: int) -> int:
    """Bytes held after a forward pass, weights apart."""
    import torch
    from peft import LoraConfig
    from trl.trainer.utils import add_fused_lm_head

    from tests.estimate import oracle

    targets: Any = _targets(family)
    targets = "all-linear" if targets == ["all-linear"] else targets
    lora = LoraConfig(r=8, target_modules=targets) if method == "lora" else None
    model: Any = oracle.build(_config(family, blocks), lora=lora, checkpointing=checkpointing)
    add_fused_lm_head(model.get_base_model() if lora else model)

    def loss(model: Any, tokens: torch.Tensor) -> torch.Tensor:
        mask = torch.ones_like(tokens)
        outputs = model(input_ids=tokens, labels=tokens, use_cache=False, fused_lm_head=True, attention_mask=mask)
        return outputs.loss

    seen = oracle.run(model, BATCH, LENGTH, autocast=method == "lora", loss=loss)
    return seen.after_forward - seen.weights


def _estimator(family: str, method: str, checkpointing: bool) -> Estimator:
    spec = spec_from_config(_config(family, 2).to_dict() | {"model_type": family})
    fields = {"lora_rank": 8, "lora_targets": tuple(_targets(family))} if method == "lora" else {}
    chosen = plan(
        method,
        micro_batch_size=BATCH,
        max_seq_len=LENGTH,
        gradient_checkpointing=checkpointing,
        weights_dtype="bf16",
        packing=False,
        **fields,
    )
    return Estimator(spec, chosen)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "checkpointed"])
def test_a_padded_block_keeps_what_the_tracker_saw_on_trl_s_path(family, method, checkpointing):
    seen, ours = kept(family, method, checkpointing)
    assert ours == pytest.approx(seen, rel=SHARE)
