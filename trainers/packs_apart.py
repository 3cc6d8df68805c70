"""Model families whose packed rows were seen to train apart without FlashAttention.

Packed rows carry position ids that start anew and no mask; transformers builds the block mask from them for SDPA and
eager attention, where the family goes through its common mask code. tests/trainers/methods/test_packs_apart.py trains
each family of the list packed and apart and compares loss and gradients.
"""

from __future__ import annotations

SEEN_APART: frozenset[str] = frozenset(
    (
        "cohere",
        "cohere2",
        "gemma",
        "gemma3_text",
        "glm",
        "glm4",
        "gpt2",
        "gpt_bigcode",
        "gpt_neox",
        "granite",
        "llama",
        "mistral",
        "mixtral",
        "olmo",
        "olmo2",
        "olmo3",
        "phi",
        "phi3",
        "qwen2",
        "qwen2_moe",
        "qwen3",
        "qwen3_moe",
        "smollm3",
        "stablelm",
        "starcoder2",
    )
)
"""`model_type` of each."""
