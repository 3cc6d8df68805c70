"""What a frozen vision tower works with while it looks at the pictures of a micro-batch, in bytes.

It runs forward only and keeps nothing for backward (trainers/methods/towers.py): while it works it holds what one of
its blocks does, before the language model has begun; what stays is what it was given and what it hands on.
"""

from __future__ import annotations

from typing import NamedTuple

from advisor.model.spec import ModelSpec
from trainers.plan import TrainingPlan

PIXEL_BYTES = 4
"""Processors give fp32."""
RESIDUAL_WIDTHS = 5
"""Hidden widths beside the inner ones in the feed-forward part: its input, the norm of that, what came before."""


class Looking(NamedTuple):
    """Bytes of the pictures of one micro-batch."""

    kept: int = 0
    """Pixels, and what the tower hands on: until the step ends."""
    work: int = 0
    """Held while the tower works, beside those."""


def looking(model: ModelSpec, plan: TrainingPlan, tokens: int, width: int) -> Looking:
    """As though each of these tokens were of a picture; `width`: bytes of a value in the compute dtype."""
    eyes = model.eyes
    if not plan.reads_images or eyes is None:
        return Looking()
    patches = tokens * eyes.merge**2
    attention, inner = eyes.alive
    widest = max(attention * eyes.hidden_size, RESIDUAL_WIDTHS * eyes.hidden_size + inner * eyes.intermediate_size)
    return Looking(
        kept=patches * eyes.pixel_values * PIXEL_BYTES + tokens * model.hidden_size * width,
        work=patches * (widest + eyes.pixel_values) * width,
    )
