"""The reload test: what was saved, loaded again as a user would, must answer as the model in memory does."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.methods.models import products_as_planned, room_for
from trainers.plan import TrainingPlan

if TYPE_CHECKING:
    from trainers.methods.base import Backend

TOKENS = 64
AGREEMENT = 0.9
"""Least share of positions at which both must give the same most likely token; 16-bit rounding flips near ties."""


def count(parameter: Any) -> int:
    """Numbers in a parameter. ZeRO-3 leaves an empty tensor where it was; 4-bit weights lie two in a byte."""
    packed = getattr(parameter, "quant_state", None)
    return math.prod(packed.shape) if packed is not None else getattr(parameter, "ds_numel", parameter.numel())


def nothing_missing(result: Path, parameters: dict[str, int]) -> dict[str, Any]:
    """Whether the files hold at least as many numbers as were trained (`parameters` of run.json). Reads headers."""
    from safetensors import safe_open

    held = 0
    for file in result.glob("*.safetensors"):
        with safe_open(file, framework="pt") as tensors:
            held += sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
    trained = parameters["trainable"]
    verdict: dict[str, Any] = {"passed": held >= trained, "saved_numbers": held}
    return (
        verdict
        if held >= trained
        else {**verdict, "why": f"{trained:,} numbers were trained and {held:,} were saved"}
    )


def answers_alike(
    method: Backend, plan: TrainingPlan, model: Any, result: Path, input_ids: list[int]
) -> dict[str, Any]:
    """`{"passed": bool | None, ...}` with the largest logit difference and the share of equal most likely tokens.

    None, with the reason, when there is no room for a second model beside the first.
    """
    if not room_for(model):
        return {
            "passed": None,
            "why": "no room for a second model; `python -m trainers.training.evaluate` loads it alone",
        }
    ids = input_ids[:TOKENS]
    # The forward of a model that was trained keeps accelerate's autocast, which one just loaded lacks: without the
    # same products on both sides the difference is that of two precisions, and changes with the processor.
    with products_as_planned(model, plan):
        expected = logits(model, ids)
        again = logits(method.attach(plan, result), ids)
    agreement = (expected.argmax(-1) == again.argmax(-1)).float().mean().item()
    verdict: dict[str, Any] = {
        "passed": agreement >= AGREEMENT,
        "max_logit_difference": (expected - again).abs().max().item(),
        "equal_top_tokens": round(agreement, 4),
        "tokens": len(ids),
    }
    if not verdict["passed"]:
        verdict["why"] = f"after loading it again only {agreement:.0%} of the most likely tokens are the same"
    return verdict


def logits(model: Any, ids: list[int]) -> Any:
    """Logits of one row in evaluation mode as fp32 on the CPU; the model's mode is put back."""
    import torch

    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    with torch.inference_mode():
        row = model(input_ids=torch.tensor([ids], device=device), use_cache=False).logits[0].float().cpu()
    model.train(was_training)
    return row
