"""Reads how transformers' code of each family computes, off its modules.

    python -m tests.model.family_traits          rewrites advisor/model/traits.json

What a norm keeps for the backward pass is seen by running it; activations and places of modules by the module tree.
"""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parents[2] / "advisor" / "model" / "traits.json"
TOKENS, WIDTH = 6, 64


def read_traits(model_type: str) -> dict[str, Any]:
    """The traits of a family that differ from those of Llama's code."""
    from tests.model.meta import NEEDED, SHRUNK, build

    settings = dict(NEEDED.get(model_type, {}))
    try:
        model = build(model_type, {**settings, **{key: 2 for key in SHRUNK if key in _defaults(model_type)}})
    except Exception:  # noqa: BLE001 - the family's lists of blocks do not admit two
        model = build(model_type, settings)
    found = {
        "float_norm": keeps_float_norm(model),
        "eager_gelu": _has(model, "NewGELUActivation"),
        "xielu": _has(model, "XIELUActivation"),
        "module_paths": module_paths(model),
    }
    return {name: value for name, value in found.items() if value not in (False, "other")}


def _defaults(model_type: str) -> dict[str, Any]:
    from advisor.model.config import family_of

    return family_of(model_type).defaults


def _has(model: Any, kind: str) -> bool:
    return any(type(module).__name__ == kind for module in model.modules())


def keeps_float_norm(model: Any) -> bool:
    """Whether an RMSNorm of the blocks multiplies by its weight in fp32: two fp32 copies of the stream stay then."""
    import torch

    kinds = {type(module) for name, module in model.named_modules() if _is_norm(name, module)}
    for kind in sorted(kinds, key=lambda one: one.__name__):
        norm = _made(kind)
        if norm is None:
            continue
        kept: set[int] = set()

        def pack(tensor: Any, kept: set[int] = kept) -> Any:
            if tensor.dtype == torch.float32 and tensor.numel() == TOKENS * WIDTH:
                kept.add(tensor.data_ptr())
            return tensor

        states = torch.randn(1, TOKENS, WIDTH, dtype=torch.bfloat16, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            result = norm(states)
        if result.dtype == torch.bfloat16 and len(kept) > 1:
            return True
    return False


def _is_norm(name: str, module: Any) -> bool:
    return "RMSNorm" in type(module).__name__ and re.search(r"\.\d+\.[\w]*(norm|ln)[\w]*$", name) is not None


def _made(kind: Any) -> Any:
    """A norm of this kind in bf16 whose weight trains; None where it wants more than a width."""
    import torch

    try:
        norm = kind(WIDTH)
    except TypeError:
        return None
    return norm.to(torch.bfloat16)


def module_paths(model: Any) -> str:
    """plain: Llama's names and nothing else; usual: its places; other, as with experts."""
    import torch

    if any("expert" in key and value for key, value in model.config.get_text_config().to_dict().items()):
        return "other"

    names = {name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    blocks = {name for name in names if name != "lm_head"}
    if not blocks or not all(re.match(r"model\.layers\.\d+\.(self_attn|mlp)\.[a-z_]+$", name) for name in blocks):
        return "other"
    keys = {re.sub(r"\.\d+\.", ".N.", key) for key in model.state_dict() if not key.endswith("_proj.bias")}
    return "plain" if keys <= LLAMA else "usual"


LLAMA = {
    "model.embed_tokens.weight",
    "model.norm.weight",
    "lm_head.weight",
    *(f"model.layers.N.{name}.weight" for name in ("input_layernorm", "post_attention_layernorm")),
    *(f"model.layers.N.self_attn.{name}_proj.weight" for name in "qkvo"),
    *(f"model.layers.N.mlp.{name}_proj.weight" for name in ("gate", "up", "down")),
}


def encoded() -> str:
    """The file's content: one trait a line, so that a diff shows what a new transformers changed."""
    rows: dict[str, list[str]] = {trait: [] for trait in ("float_norm", "eager_gelu", "xielu", "usual", "plain")}
    for model_type in families():
        found = read_traits(model_type)
        for trait, value in found.items():
            rows[value if trait == "module_paths" else trait].append(model_type)
    rows["liger_layers"] = json.loads(TARGET.read_text())["liger_layers"]
    return "{\n" + ",\n".join(f"{json.dumps(trait)}: {json.dumps(names)}" for trait, names in rows.items()) + "\n}\n"


def families() -> list[str]:
    """Every family that has a builder and that AutoModelForCausalLM builds."""
    from advisor.model.families import built_families
    from tests.model.config_defaults import causal_families

    return sorted(built_families() & set(causal_families()))


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    TARGET.write_text(encoded())
