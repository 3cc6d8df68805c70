"""Matrices that a pre-quantised checkpoint keeps in 16 bits: the skip lists of its quantization_config.

transformers passes a module by whose full name begins with an entry of the list, or ends with it, or matches it as a
regular expression from its start (should_convert_module); compressed-tensors marks expressions with "re:". An
expression of strangers is never run: of its signs only ".*" is understood, and one with others matches nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from advisor.model.limits import LIST_ENTRIES
from advisor.model.spec import LayerGroup, Linear
from advisor.model.stored import quantization_of

_LISTS = ("llm_int8_skip_modules", "modules_to_not_convert", "ignore", "exclude_modules", "ignored_layers")
_ENTRY_LETTERS = 200
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)(?:\.(.*))?$")
_PLACES: dict[str, tuple[str, ...]] = {
    "attention": ("self_attn", "attn", "attention"),
    "mlp": ("mlp", "feed_forward"),
    "expert": ("mlp.experts", "block_sparse_moe.experts"),
    "shared_expert": ("mlp.shared_expert", "mlp.shared_experts"),
    "router": ("mlp",),
    "mixer": ("linear_attn", "mamba", "mixer", "conv", "self_attn"),
}
"""Role of a matrix -> the modules of a block that may hold it."""


def skip_list(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The modules that the checkpoint's quantization leaves alone; () where it has none."""
    stated = quantization_of(config)
    for key in _LISTS:
        entries = stated.get(key)
        if isinstance(entries, list) and len(entries) <= LIST_ENTRIES:
            return tuple(one for one in entries if isinstance(one, str) and 0 < len(one) <= _ENTRY_LETTERS)
    return ()


def with_unpacked(blocks: list[LayerGroup], skipped: tuple[str, ...]) -> list[LayerGroup]:
    """The blocks, in order, with each matrix marked that the list leaves in 16 bits."""
    if not skipped:
        return blocks
    everywhere = [one for one in skipped if not _LAYER.search(one)]
    of_block: dict[int, list[str]] = {}
    for entry in skipped:
        if match := _LAYER.search(entry):
            of_block.setdefault(int(match[1]), []).append(match[2] or "")
    return [_marked(block, everywhere, of_block.get(index, []), index) for index, block in enumerate(blocks)]


def _marked(block: LayerGroup, everywhere: list[str], here: list[str], index: int) -> LayerGroup:
    def stays(linear: Linear) -> bool:
        paths = [f"{place}.{linear.name}" for place in _PLACES[linear.role]]
        return any(_holds(part, path) for part in here for path in paths) or any(
            _matches(part, f"model.layers.{index}.{path}") for part in everywhere for path in paths
        )

    if not any(stays(linear) for linear in block.linears):
        return block
    return replace(block, linears=tuple(replace(one, unpacked=stays(one)) for one in block.linears))


def _holds(part: str, path: str) -> bool:
    """Whether the part of a block that an entry names is, or holds, this matrix."""
    return part in ("", path) or path.startswith(f"{part}.") or path.endswith(f".{part}")


def _matches(part: str, path: str) -> bool:
    """Whether an entry without the number of a block means this matrix: by the end of its name or by an expression.

    A module's name alone ("self_attn") means nothing, as in transformers.
    """
    if ".*" not in part and not part.startswith("re:"):
        return path.endswith(part)
    at = 0
    for piece in part.removeprefix("re:").replace("\\.", ".").strip("^$").split(".*"):
        found = path.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    return True
