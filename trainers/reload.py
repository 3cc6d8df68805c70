"""The reload test: what was saved, loaded again as a user would, must answer as the model in memory does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.models import room_for
from trainers.plan import TrainingPlan

if TYPE_CHECKING:
    from trainers.base import Backend

TOKENS = 64
AGREEMENT = 0.9
"""Least share of positions at which both must give the same most likely token; 16-bit rounding flips near ties."""


def reload_test(
    method: Backend, plan: TrainingPlan, model: Any, result: Path, input_ids: list[int]
) -> dict[str, Any]:
    """`{"passed": bool | None, ...}` with the largest logit difference and the share of equal most likely tokens.

    None, with the reason, when there is no room for a second model beside the first.
    """
    if not room_for(model):
        return {"passed": None, "why": "no room for a second model; `python -m trainers.evaluate` reloads it alone"}
    ids = input_ids[:TOKENS]
    expected = logits(model, ids)
    again = logits(method.attach(plan, result), ids)
    gap = (expected - again).abs().max().item()
    agreement = (expected.argmax(-1) == again.argmax(-1)).float().mean().item()
    return {
        "passed": agreement >= AGREEMENT,
        "max_logit_difference": gap,
        "equal_top_tokens": round(agreement, 4),
        "tokens": len(ids),
    }


def logits(model: Any, ids: list[int]) -> Any:
    """Logits of one row in evaluation mode as fp32 on the CPU; the model's mode is put back."""
    import torch

    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    with torch.inference_mode():
        found = model(input_ids=torch.tensor([ids], device=device), use_cache=False).logits[0].float().cpu()
    model.train(was_training)
    return found
