"""transformers' own modules on the meta device: the truth that closed forms are held against."""

from __future__ import annotations

from collections import Counter
from typing import Any

from advisor.model.families import spec_from_config
from advisor.model.spec import ModelSpec

Shapes = Counter[tuple[str, int, int]]

# Values that a bare config class needs before transformers builds it; elsewhere its defaults do.
NEEDED: dict[str, dict[str, Any]] = {
    "dbrx": {
        "d_model": 256,
        "n_heads": 8,
        "n_layers": 3,
        "attn_config": {"kv_n_heads": 2, "rope_theta": 10000.0},
        "ffn_config": {"ffn_hidden_size": 320, "moe_num_experts": 4, "moe_top_k": 2},
    },
    "dots1": {"n_routed_experts": 8, "n_shared_experts": 2},
    "gemma3n_text": {"num_hidden_layers": 12, "num_kv_shared_layers": 4},
    "glm4_moe": {},
    "gpt_neo": {"num_layers": 24},
    "hunyuan_v1_dense": {"head_dim": 128},
    "hunyuan_v1_moe": {"head_dim": 128, "num_local_experts": 4, "num_experts": 4},
    "lfm2_moe": {"layer_types": ["conv", "conv", "full_attention"] * 2, "num_hidden_layers": 6},
    "ministral": {"head_dim": 128},
    "nemotron": {"head_dim": 128, "num_key_value_heads": 8},
    "zamba2": {
        "num_hidden_layers": 12,
        "layers_block_type": [*["linear_attention"] * 3, "hybrid", *["linear_attention"] * 2] * 2,
    },
}
SHRUNK = {"num_hidden_layers": 6, "n_layer": 6, "num_layers": 6}


def build(model_type: str, settings: dict[str, Any]) -> Any:
    """The causal LM of this family with these settings, without weights."""
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    config = CONFIG_MAPPING[model_type](**settings)
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def count(model: Any) -> int:
    """All parameters, tied ones once."""
    return sum(parameter.numel() for parameter in model.parameters())


def linear_shapes(model: Any) -> Shapes:
    """(last part of the name, in, out) -> how many, for each nn.Linear or Conv1D but the head."""
    import torch
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings()
    found: Shapes = Counter()
    for name, module in model.named_modules():
        if module is head:
            continue
        leaf = name.rpartition(".")[2]
        if isinstance(module, torch.nn.Linear):
            found[leaf, module.in_features, module.out_features] += 1
        elif isinstance(module, Conv1D):
            found[leaf, module.nx, module.nf] += 1
    return found


def spec_shapes(spec: ModelSpec) -> Shapes:
    """The same, as the closed form says."""
    found: Shapes = Counter()
    for group in spec.layers:
        for linear in group.linears:
            if not linear.fused:
                found[linear.name, linear.in_features, linear.out_features] += group.count * linear.copies
    for linear in spec.outer_linears:
        found[linear.name, linear.in_features, linear.out_features] += 1
    return found


def spec_of(model_type: str, settings: dict[str, Any]) -> ModelSpec:
    """The closed form for the same settings, as a config.json would hold them."""
    return spec_from_config({"model_type": model_type, **settings})
