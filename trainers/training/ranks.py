"""The ranks of a run as one: whether there are several, and what is the largest among them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def in_group() -> bool:
    """Whether this process is one of a group; torch is not imported to find out."""
    distributed = sys.modules.get("torch.distributed")
    return distributed is not None and distributed.is_available() and distributed.is_initialized()


def largest_of_ranks(value: int, device: torch.device) -> int:
    """The largest of what the ranks hold, this one's own without a group. Every rank has to ask."""
    if not in_group():
        return value
    import torch

    largest = torch.tensor(value, dtype=torch.int64, device=device)
    torch.distributed.all_reduce(largest, op=torch.distributed.ReduceOp.MAX)
    return int(largest.item())
