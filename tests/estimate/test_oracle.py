"""The memory model against PyTorch's own memory tracker, through transformers' and peft's real modules.

Few blocks of real kinds: activations are linear in the number of blocks, so the difference between two blocks and
one is exactly what a block keeps.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
import pytest

from advisor.estimate.stacks import PEFT_LOOP
from tests.estimate.shapes import estimator

pytestmark = pytest.mark.slow

COMMON = {
    "hidden_size": 512,
    "intermediate_size": 1408,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "vocab_size": 1024,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
CASES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {"tie_word_embeddings": True},
    "qwen3": {"head_dim": 128},
    "gemma3_text": {"head_dim": 64},
    "phi3": {},
    "glm4": {"head_dim": 64},
    "cohere": {},
    "gpt_neox": {"intermediate_size": 2048, "num_key_value_heads": 8},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
}
STACK = msgspec.structs.replace(PEFT_LOOP, experts_quantised=False, foreach=False)
BATCH, LENGTH = 2, 256
ROUNDING = 80
"""Bytes a token that may differ: the few values of a statistic that a version counts otherwise."""


@cache
def case(family: str, method: str, checkpointing: bool, blocks: int):
    """(what the tracker saw, our estimator) for one run."""
    from peft import LoraConfig
    from transformers import CONFIG_MAPPING

    from tests.estimate import oracle

    config = CONFIG_MAPPING[family](**COMMON | CASES[family], num_hidden_layers=blocks)
    targets = ATTENTION if family == "mixtral" else ("all-linear",)
    peft_targets = "all-linear" if targets == ("all-linear",) else list(targets)
    lora = LoraConfig(r=8, target_modules=peft_targets) if method == "lora" else None
    seen = oracle.run(oracle.build(config, lora=lora, checkpointing=checkpointing), BATCH, LENGTH)
    fields = {"lora_rank": 8, "lora_targets": targets} if method == "lora" else {}
    ours = estimator(
        config, method, STACK, batch=BATCH, length=LENGTH, gradient_checkpointing=checkpointing, **fields
    )
    return seen, ours


every_case = pytest.mark.parametrize("family", CASES)
every_method = pytest.mark.parametrize("method", ["full", "lora"])
with_and_without = pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "checkpointed"])


@every_case
@every_method
@with_and_without
def test_static_parts_agree_to_the_byte(family, method, checkpointing):
    seen, ours = case(family, method, checkpointing, 2)
    placed = ours.state.placed
    assert placed.weights + placed.adapters == seen.weights
    assert ours.state.trained == seen.trainable
    assert placed.gradients == seen.gradients
    # torch counts one 4-byte step for each tensor; we count two norms a block, whatever a family has
    assert abs(placed.states - seen.optimizer) <= 4 * 32


@every_case
@every_method
@with_and_without
def test_a_block_keeps_what_the_tracker_saw(family, method, checkpointing):
    one, _ = case(family, method, checkpointing, 1)
    two, ours = case(family, method, checkpointing, 2)
    tokens = BATCH * LENGTH
    seen = (two.after_forward - two.weights - (one.after_forward - one.weights)) / tokens
    blocks = ours.blocks(LENGTH)
    kept = (blocks.boundary if checkpointing else blocks.saved) / 2
    assert kept == pytest.approx(seen, abs=ROUNDING)


@every_case
@every_method
@with_and_without
def test_peaks_agree_closely(family, method, checkpointing):
    seen, ours = case(family, method, checkpointing, 2)
    moments = {moment.phase: moment for moment in ours.moments()}
    first_step = max(moments["forward"].allocated, moments["backward"].allocated)
    predicted = first_step - moments["load"].workspace - ours.state.placed.states
    assert predicted == pytest.approx(seen.peak_forward_backward, rel=0.10)
