"""How a checkpoint's weights are stored when they are quantised already, from what its config.json says of it, or the
file that ModelOpt writes beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from advisor.model.limits import LIST_ENTRIES
from advisor.model.spec import NativeQuant

_METHODS: dict[str, NativeQuant] = {
    "mxfp4": "mxfp4",
    "nvfp4": "nvfp4",
    "fp8": "fp8",
    "fbgemm_fp8": "fp8",
    "finegrained_fp8": "fp8",
    "modelopt": "fp8",
    "gguf": "gguf",
}
_WORDS: tuple[NativeQuant, ...] = ("mxfp4", "nvfp4")
"""What names a format of 4-bit floats wherever it stands: a mixture of formats is called after it."""
MODELOPT_FILE = "hf_quant_config.json"
"""Where ModelOpt says how it quantised; releases of before 2026 say it nowhere else."""
_SAID_IN = ("quant_method", "quant_algo", "moe_quant_algo", "format")
_GROUPS: dict[tuple[str, int], NativeQuant] = {
    ("float", 4): "nvfp4",
    ("float", 8): "fp8",
    ("int", 8): "int8",
    ("int", 4): "int4",
}
"""Type and bits of the weights of a group (compressed-tensors, ModelOpt), the smallest kind first."""


def quantization_of(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The quantization_config of the checkpoint or, as transformers looks for it, of its text part; {} without."""
    text = config.get("text_config")
    for part in (config, text if isinstance(text, Mapping) else {}):
        stated = part.get("quantization_config")
        if isinstance(stated, Mapping):
            return stated
    return {}


def with_modelopt(config: Mapping[str, Any], beside: Mapping[str, Any]) -> Mapping[str, Any]:
    """The config with what MODELOPT_FILE says of the weights; as it is where it speaks of them itself."""
    stated = beside.get("quantization")
    if quantization_of(config) or not isinstance(stated, Mapping) or not stated.get("quant_algo"):
        return config
    return {**config, "quantization_config": {**stated, "quant_method": "modelopt"}}


def native_quant(config: Mapping[str, Any]) -> NativeQuant:
    """How the weights are stored; "none" where they are plain numbers."""
    stated = quantization_of(config)
    if not stated:
        return "none"
    said = [str(stated.get(key, "")).lower() for key in _SAID_IN] + _by_layer(stated)
    groups = set(_kinds(stated))
    named = next((word for word in _WORDS if any(word in one for one in said)), None)
    if found := named or next((_GROUPS[kind] for kind in _GROUPS if kind in groups), None):
        return found
    if any("awq" in one for one in said[1:]):
        return "int4"
    if said[0] in _METHODS or said[1] == "fp8":
        return _METHODS.get(said[0], "fp8")
    if stated.get("load_in_4bit") or stated.get("_load_in_4bit"):
        return "nf4"
    bits = stated.get("bits", stated.get("w_bit"))
    return "int8" if stated.get("load_in_8bit") or stated.get("_load_in_8bit") or bits == 8 else "int4"


def _by_layer(stated: Mapping[str, Any]) -> list[str]:
    """What ModelOpt names for each matrix of a mixture of formats."""
    layers = stated.get("quantized_layers")
    if not isinstance(layers, Mapping) or len(layers) > LIST_ENTRIES:
        return []
    return sorted({str(one.get("quant_algo", "")).lower() for one in layers.values() if isinstance(one, Mapping)})


def _kinds(stated: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Type and bits of the weights of each group."""
    groups = stated.get("config_groups")
    if not isinstance(groups, Mapping) or len(groups) > LIST_ENTRIES:
        return
    for group in groups.values():
        weights = group.get("weights") if isinstance(group, Mapping) else None
        if isinstance(weights, Mapping) and isinstance(bits := weights.get("num_bits"), int):
            yield str(weights.get("type")), bits
