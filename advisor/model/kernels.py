"""Which attention kernels transformers' class of a family takes; asked for another one, it refuses to load.

`attention_kernels.json` is read off transformers by `python -m tests.model.attention_kernels`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec


class Lacking(msgspec.Struct, frozen=True):
    """Families (`model_type`) whose class does without a kernel."""

    sdpa: frozenset[str]
    """Attention with sinks, soft caps or biases of its own, or code from before PyTorch had one kernel for it."""
    flash2: frozenset[str]


@cache
def lacking() -> Lacking:
    """As the file says."""
    return msgspec.json.decode(Path(__file__).with_name("attention_kernels.json").read_bytes(), type=Lacking)
