"""On a CPU, score only the answers: TRL's loss there also runs the head over prompts and padding, in vain.

TRL leaves out the positions without a label where Triton is present; elsewhere it keeps the shape of every batch the
same, for devices that compile anew for each shape. A CPU does not, and pays a head of 49,152 rows for each token.
Measured on SmolLM2-135M with LoRA, 4 rows of 175 tokens, half of them answers: 4.6 instead of 5.9 CPU seconds a step.
"""

from __future__ import annotations

import functools
from typing import Any


def score_answers_only() -> bool:
    """Have TRL's loss leave out unlabelled positions on the CPU; False when this TRL has no such switch.

    Loss and gradients stay the same. Safe to call more than once.
    """
    from trl.trainer import utils

    switch = getattr(utils, "_use_triton", None)
    if switch is None:
        return False
    if not hasattr(switch, "compacts_on_cpu"):
        utils._use_triton = _with_cpu(switch)
    return True


def _with_cpu(switch: Any) -> Any:
    @functools.wraps(switch)
    def leaves_out(device: Any) -> bool:
        return device.type == "cpu" or bool(switch(device))

    leaves_out.compacts_on_cpu = True  # type: ignore[attr-defined]
    return leaves_out
