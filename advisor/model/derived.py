"""A model of which no table is kept: its shape read off transformers' modules in a child process.

Only where transformers is installed. The counts are exact; what a block keeps for the backward pass is estimated from
its matrices, so that the model stays marked as not known and its bands wide.
"""

from __future__ import annotations

import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from advisor.base.language import tr
from advisor.model.blocks import grouped
from advisor.model.spec import LayerGroup, Linear, ModelSpec, Tower
from trainers.python import child_environment, module_command

SECONDS = 90
NOT_KNOWN = ("unknown_shape", "unknown_mixture", "unknown")
"""Uses that say that only a table is missing."""
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
_CHOSEN = ("num_experts_per_tok", "num_experts_per_token", "moe_k", "moe_topk", "top_k_experts")


class Block(msgspec.Struct, frozen=True):
    """One block as the child prints it."""

    linears: list[Linear]
    norm_params: int
    other_params: int


class Printed(msgspec.Struct, frozen=True):
    """What the child prints."""

    layers: list[Block]
    embedding_params: int
    head_params: int
    towers: dict[str, int]
    other_params: int
    params: int
    transformers: str


def derived(spec: ModelSpec, folder: Path, config: dict[str, Any]) -> ModelSpec:
    """The model with the shape that transformers gives it; as it was where transformers is not installed, does not
    know it either, or its class is not one for text."""
    if spec.use not in NOT_KNOWN or find_spec("transformers") is None or find_spec("torch") is None:
        return spec
    found = _ask(folder)
    if found is None or not found.layers:
        return spec
    note = tr(
        "its shape was derived from the modules of transformers {transformers}: no table of it is kept here",
        transformers=found.transformers,
    )
    blocks = [_group(block, config) for block in found.layers]
    return replace(
        spec,
        known=False,
        use="causal",
        notes=(note,),
        layers=grouped(blocks),
        num_hidden_layers=len(blocks),
        embedding_params=found.embedding_params,
        head_params=found.head_params,
        tie_word_embeddings=not found.head_params,
        final_norm_params=0,
        other_params=found.other_params,
        outer_linears=(),
        towers=tuple(Tower(path=path, params=size, linear_params=size) for path, size in found.towers.items()),
    )


def _ask(folder: Path) -> Printed | None:
    command = module_command("trainers.methods.shape", folder)
    try:
        child = subprocess.run(
            command,
            env={**child_environment(), "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except (subprocess.TimeoutExpired, OSError):
        return None
    try:
        return msgspec.json.decode(child.stdout, type=Printed) if child.returncode == 0 else None
    except msgspec.DecodeError:
        return None


def _group(block: Block, config: dict[str, Any]) -> LayerGroup:
    text = next((config[key] for key in ("text_config", "llm_config") if isinstance(config.get(key), dict)), config)
    routed = any(linear.role == "expert" for linear in block.linears)
    experts = _whole(text, _EXPERTS) if routed else 0
    return LayerGroup(
        count=1,
        linears=tuple(block.linears),
        norm_params=block.norm_params,
        other_params=block.other_params,
        num_experts=experts,
        experts_per_token=min(experts, _whole(text, _CHOSEN) or experts),
    )


def _whole(config: dict[str, Any], keys: tuple[str, ...]) -> int:
    values = (config.get(key) for key in keys)
    return next((value for value in values if type(value) is int and value > 0), 0)
