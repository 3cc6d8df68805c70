"""The optimizer of a row, in whatever way a framework spells it, as a plan's."""

from __future__ import annotations

import re

from tests.benchmarks.published.rows import NotExpressed

FOUR_BIT_STATE_BYTES = 0.5 + 4 / 128
"""Half a byte and an fp32 scale for each 128 values (torchao AdamW4bit)."""
_FUSED = ("fused", "deepspeed", "apex")
_OTHER = ("muon", "lion", "sophia", "shampoo", "prodigy", "lomo", "mini")
"""Optimizers whose name may hold `adam`, with other states."""


def optimizer_of(text: str) -> str:
    """Raises NotExpressed for states that no optimizer of a plan keeps.

    GaLore, APOLLO, BAdam, LISA and LoRA-FA, whose states the stack says, are AdamW; so is what a row does not state.
    """
    name = re.sub(r"[\s_()-]", "", text.lower())
    eight = "8bit" in name or "int8" in name
    if name == "unknown":
        return "adamw_torch"
    if "lion" in name and eight:
        return "lion_8bit"
    if any(other in name for other in _OTHER):
        raise NotExpressed(f"optimizer {text}")
    if "adafactor" in name:
        return "adafactor"
    if name.startswith("sgd"):
        return "sgd"
    if not re.search(r"adam|galore|apollo", name):
        raise NotExpressed(f"optimizer {text}")
    if "paged" in name:
        return "paged_adamw_8bit" if eight else "paged_adamw_32bit"
    if eight and "galore" not in name and "apollo" not in name:
        return "adamw_8bit"
    return "adamw_torch_fused" if any(word in name for word in _FUSED) else "adamw_torch"


def keeps_four_bits(text: str) -> bool:
    """Whether its states are 4-bit numbers."""
    return re.search(r"4[ _-]?bit|int4", text.lower()) is not None
