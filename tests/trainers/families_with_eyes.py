"""Tiny random checkpoints of families that read images, built from transformers' own configuration classes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

TEXT: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "pad_token_id": None,
    "bos_token_id": None,
}
EXPERTS: dict[str, Any] = {
    "num_experts": 4,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "shared_expert_intermediate_size": 32,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
}
EYES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 56,
    "patch_size": 14,
}
QWEN_EYES: dict[str, Any] = {
    "depth": 2,
    "num_heads": 2,
    "hidden_size": 32,
    "embed_dim": 32,
    "intermediate_size": 64,
    "out_hidden_size": 64,
    "patch_size": 14,
    "num_position_embeddings": 16,
    "fullatt_block_indexes": [1],
    "deepstack_visual_indexes": [0],
}
TURNING: dict[str, Any] = {
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]},
}
HALF_TURNING: dict[str, Any] = {
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 10000.0,
        "mrope_section": [1, 1, 2],
        "partial_rotary_factor": 0.5,
    },
}
LINEAR: dict[str, Any] = {
    **HALF_TURNING,
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
}
PIXTRAL: dict[str, Any] = {"model_type": "pixtral", **EYES, "num_hidden_layers": 1, "head_dim": 16}

SETTINGS: dict[str, dict[str, Any]] = {
    "gemma3": {"text_config": {**TEXT, "sliding_window": 32}, "vision_config": EYES, "mm_tokens_per_image": 4},
    "gemma4": {
        "text_config": {
            **TEXT,
            "pad_token_id": 0,
            "sliding_window": 32,
            "global_head_dim": 16,
            "hidden_size_per_layer_input": 0,
            "num_kv_shared_layers": 0,
            "layer_types": ["sliding_attention", "full_attention"],
        },
        "vision_config": {**EYES, "head_dim": 16, "num_key_value_heads": 2, "pooling_kernel_size": 2},
    },
    "glm4v": {
        "text_config": {**TEXT, **TURNING},
        "vision_config": QWEN_EYES,
    },
    "glm46v": {"text_config": {"model_type": "glm4v_text", **TEXT, **TURNING}, "vision_config": QWEN_EYES},
    "glm4v_moe": {
        "text_config": {**TEXT, **HALF_TURNING, **EXPERTS, "n_routed_experts": 4, "n_group": 1, "topk_group": 1},
        "vision_config": QWEN_EYES,
    },
    "internvl": {
        "text_config": {"model_type": "qwen2", **TEXT},
        "vision_config": {**EYES, "image_size": [56, 56], "patch_size": [14, 14]},
        "image_seq_length": 4,
    },
    "llama4": {
        "text_config": {
            **TEXT,
            "intermediate_size_mlp": 128,
            **EXPERTS,
            "moe_layers": [1],
            "attention_chunk_size": 64,
        },
        "vision_config": {**EYES, "vision_output_dim": 32, "projector_input_dim": 32, "projector_output_dim": 32},
    },
    "llava": {"text_config": {"model_type": "mistral", **TEXT}, "vision_config": PIXTRAL},
    "mistral3": {"text_config": {"model_type": "mistral", **TEXT}, "vision_config": PIXTRAL},
    "paligemma": {
        "text_config": {"model_type": "gemma", **TEXT},
        "vision_config": {"model_type": "siglip_vision_model", **EYES},
        "projection_dim": 64,
    },
    "qwen2_5_vl": {"text_config": {**TEXT, **TURNING}, "vision_config": QWEN_EYES},
    "qwen2_vl": {"text_config": {**TEXT, **TURNING}, "vision_config": {**QWEN_EYES, "hidden_size": 64}},
    "qwen3_5": {"text_config": {**TEXT, **LINEAR}, "vision_config": QWEN_EYES},
    "qwen3_5_moe": {"text_config": {**TEXT, **LINEAR, **EXPERTS}, "vision_config": QWEN_EYES},
    "qwen3_vl": {"text_config": {**TEXT, **TURNING}, "vision_config": QWEN_EYES},
    "qwen3_vl_moe": {"text_config": {**TEXT, **TURNING, **EXPERTS}, "vision_config": QWEN_EYES},
    "smolvlm": {
        "text_config": {"model_type": "llama", **TEXT},
        "vision_config": EYES,
        "scale_factor": 2,
    },
    "lfm2_vl": {
        "text_config": {
            "model_type": "lfm2",
            **TEXT,
            "layer_types": ["conv", "full_attention"],
            "block_auto_adjust_ff_dim": False,
        },
        "vision_config": {"model_type": "siglip2_vision_model", **EYES, "num_patches": 16},
    },
}
"""`model_type` -> what its configuration class is called with, beside the vocabulary."""


def config_of(model_type: str, vocab_size: int = 600, **top: Any) -> Any:
    """The configuration of a tiny model of this family."""
    from transformers import AutoConfig

    stated = {key: dict(value) if isinstance(value, dict) else value for key, value in SETTINGS[model_type].items()}
    stated["text_config"] |= {"vocab_size": vocab_size, "eos_token_id": 2}
    inside = {key: vocab_size - 1 - index for index, key in enumerate(("image_token_id", "video_token_id"))}
    return AutoConfig.for_model(model_type, **stated, **inside, **top)


def build(model_type: str, tokenizer_of: Path, folder: Path) -> Path:
    """A random checkpoint of this family in `folder`, with the tokenizer of another one."""
    import torch
    from transformers import AutoTokenizer

    from trainers.methods.towers import auto_class

    tokenizer = AutoTokenizer.from_pretrained(str(tokenizer_of))
    config = config_of(model_type, len(tokenizer), tie_word_embeddings=False)
    config.get_text_config().eos_token_id = tokenizer.eos_token_id
    torch.manual_seed(0)
    auto_class(config).from_config(config).float().save_pretrained(str(folder))
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(tokenizer_of / file, folder / file)
    (folder / "processor_config.json").write_text(json.dumps({"processor_class": "Tiny"}))
    return folder
