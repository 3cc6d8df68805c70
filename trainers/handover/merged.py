"""What `runs merge` leaves behind, as its document says it. No torch: the merge itself is trainers/merging/."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from trainers.handover.deliver import Delivered


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """How far the merged model's answers are from the adapter's, over all positions of the prompts."""

    max_logit_difference: float
    """The largest difference of one logit."""
    kl: float
    """Mean Kullback-Leibler divergence of next-token distributions, nats."""
    equal_top_tokens: float
    """Share of positions with the same most likely token, 0 to 1."""
    prompts: int
    """How many prompts were compared."""


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """What a merge left behind."""

    schema: Literal["sft-advisor/merge/v1"] = "sft-advisor/merge/v1"
    """Name and version of this document."""
    folder: Path
    """The merged model."""
    how: str
    """`weight by weight`, or why it went through the whole model."""
    gap: Gap | None
    """How far it is from the adapter; null when no comparison was asked for."""
    delivered: Delivered | None = None
    """What was made ready for its users as well; null where nobody asked for that, and where it failed."""
