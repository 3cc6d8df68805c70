"""Reads the shape-relevant defaults of every causal LM config class of the installed transformers.

    python -m tests.model.config_defaults          rewrites advisor/model/config_defaults.json

A config.json may leave out every value that equals its class default, so the advisor has to know these defaults
without transformers. Only facts that shapes depend on are kept.
"""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parents[2] / "advisor" / "model" / "config_defaults.json"
NOT_A_SHAPE = re.compile(
    r"dropout|_drop|pdrop|token|_id$|_ids$|init|eps|coef|rope|rotary|theta|cap$|scal|cache|loss|_std|multiplier|"
    r"temperature|jitter|topk_group|n_group|norm_topk|suppress|summary|mlm|chunk|act$|activation|clip|router_aux|"
    r"output_|use_mean|pretraining_tp|time_step|_kernel$|dtype|_factor$|_attn_fn|mask_|causal|lang|beam"
)
KEEP = {
    "pad_token_id",
    "linear_conv_kernel_dim",
    "block_ffn_dim_multiplier",
    "conv_kernel",
    "conv_kernel_size",
    "hidden_act",
    "time_step_rank",
    "qk_rope_head_dim",
    "ffn_proj_factor",
    "qk_proj_factor",
    "max_position_embeddings",
    "mamba_n_groups",
    "mamba_ngroups",
    "n_groups",
    "conv_L_cache",
}


def read_defaults() -> dict[str, dict[str, Any]]:
    """Per model_type: {"defaults": {key: value}, "aliases": {standard key: own key}, "text": inner model_type}."""
    from transformers import CONFIG_MAPPING
    from transformers.configuration_utils import PreTrainedConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    common = {field.name for field in dataclasses.fields(PreTrainedConfig)}
    table: dict[str, dict[str, Any]] = {}
    wanted = [(model_type, CONFIG_MAPPING[model_type]) for model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES]
    inner = [(one.model_type, one) for _, config in wanted if (one := text_part(config))]
    for model_type, config in sorted({**dict(inner), **dict(wanted)}.items()):
        entry: dict[str, Any] = {"defaults": {}}
        for field in dataclasses.fields(config):
            if field.name not in common and is_shape(field.name, field.default):
                entry["defaults"][field.name] = field.default
        if config.attribute_map:
            entry["aliases"] = dict(sorted(config.attribute_map.items()))
        text = text_part(config)
        if text:
            entry["text"] = text.model_type
        table[model_type] = entry
    return table


def causal_families() -> list[str]:
    """Every model_type that AutoModelForCausalLM builds."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def text_part(config: Any) -> Any:
    """The config class of the language model inside a multimodal one, or None."""
    inner = getattr(config, "sub_configs", {}).get("text_config")
    return inner if inner is not None and getattr(inner, "model_type", "") else None


def is_shape(name: str, default: Any) -> bool:
    """Whether the shape of a model can depend on this key."""
    if not isinstance(default, (bool, int, float, str, list, tuple)) or name.startswith("_"):
        return False
    return name in KEEP or not NOT_A_SHAPE.search(name)


def encoded() -> str:
    """The file's content: one family a line, so that a diff shows what a new transformers changed."""
    rows = [f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in read_defaults().items()]
    return "{\n" + ",\n".join(rows) + "\n}\n"


if __name__ == "__main__":
    TARGET.write_text(encoded())
