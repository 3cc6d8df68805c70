"""Shapes of published runs that the catalogue does not offer: older releases, as their config.json has them."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from advisor.model.families import spec_from_config
from advisor.model.spec import ModelSpec

_GPT2 = {"model_type": "gpt2", "n_positions": 1024, "vocab_size": 50257, "activation_function": "gelu_new"}
_LLAMA = {"model_type": "llama", "tie_word_embeddings": False}
CONFIGS: dict[str, dict[str, Any]] = {
    "THUDM/chatglm-6b": {
        "model_type": "chatglm",
        "hidden_size": 4096,
        "inner_hidden_size": 16384,
        "num_layers": 28,
        "num_attention_heads": 32,
        "vocab_size": 130528,
        "max_sequence_length": 2048,
        "position_encoding_2d": True,
    },
    "Qwen/Qwen1.5-7B": {
        "model_type": "qwen2",
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "vocab_size": 151936,
        "tie_word_embeddings": False,
        "max_position_embeddings": 32768,
    },
    "gpt2-large": _GPT2 | {"n_embd": 1280, "n_layer": 36, "n_head": 20},
    "gpt2-xl": _GPT2 | {"n_embd": 1600, "n_layer": 48, "n_head": 25},
    "bigcode/starcoder": {
        "model_type": "gpt_bigcode",
        "n_embd": 6144,
        "n_inner": 24576,
        "n_layer": 40,
        "n_head": 48,
        "multi_query": True,
        "vocab_size": 49152,
        "n_positions": 8192,
        "tie_word_embeddings": True,
    },
    "openbmb/MiniCPM-2B": {
        "model_type": "minicpm",
        "hidden_size": 2304,
        "intermediate_size": 5760,
        "num_hidden_layers": 40,
        "num_attention_heads": 36,
        "num_key_value_heads": 36,
        "vocab_size": 122753,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
    },
    "ibm-granite/granite-3.0-3b-a800m": {
        "model_type": "granitemoe",
        "hidden_size": 1536,
        "intermediate_size": 512,
        "num_hidden_layers": 32,
        "num_attention_heads": 24,
        "num_key_value_heads": 8,
        "num_local_experts": 40,
        "num_experts_per_tok": 8,
        "vocab_size": 49155,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
    },
    "decapoda-research/llama-30b-hf": _LLAMA
    | {
        "hidden_size": 6656,
        "intermediate_size": 17920,
        "num_hidden_layers": 60,
        "num_attention_heads": 52,
        "vocab_size": 32000,
        "max_position_embeddings": 2048,
    },
}


@cache
def older_shape(name: str) -> ModelSpec | None:
    """The shape of one of these releases; None for other names."""
    for known, config in CONFIGS.items():
        if name.lower() in (known.lower(), known.rpartition("/")[2].lower()):
            spec = spec_from_config(config, known.rpartition("/")[2], "catalog", f"published shape {known}")
            return msgspec.structs.replace(spec, path=known)
    return None
