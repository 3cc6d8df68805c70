"""Full fine-tuning: every weight trains.

weights_dtype fp32 keeps master weights and computes in `compute_dtype` by autocast; weights_dtype bf16 is pure bf16,
with optimizer states in bf16 as well. With `optimizer_in_backward` each weight is stepped as soon as its gradient is
whole, so that no two gradients have to be kept (Lv et al. 2023, LOMO; here with the plan's own optimizer).
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from trainers.errors import NotMergeable, PlanRefused
from trainers.language import tr
from trainers.methods.models import load_model, torch_dtype
from trainers.methods.towers import freeze
from trainers.plan import TrainingPlan

if TYPE_CHECKING:
    from transformers import PreTrainedModel

load = load_model


def refusals(plan: TrainingPlan) -> list[str]:
    """Why this plan cannot be trained in full here."""
    reasons = []
    if "fp16" in (plan.compute_dtype, plan.weights_dtype) and plan.weights_dtype != "fp32":
        reasons.append("fp16 needs weights_dtype = 'fp32': gradients of fp16 weights cannot be unscaled")
    if plan.optimizer_in_backward and plan.sharding != "none":
        reasons.append("optimizer_in_backward steps before gradients are shared; it needs one process")
    if plan.optimizer_in_backward and plan.compute_dtype == "fp16":
        reasons.append("optimizer_in_backward cannot look at the whole gradient, so fp16 loss scaling is impossible")
    return reasons


def trainable(model: PreTrainedModel, plan: TrainingPlan) -> PreTrainedModel:
    """Every parameter that text reaches requires gradients; a tower stays as it is, and is saved with the rest.

    Raises PlanRefused for a base that was published quantised.
    """
    if packed := next((name for name, p in model.named_parameters() if not p.is_floating_point()), None):
        raise PlanRefused(
            tr("{name} cannot be trained in full: it is quantised", name=plan.model.name),
            why=tr("{packed} and others hold integers, which have no gradient", packed=packed),
            fix=tr("take the 16-bit release of the model, or train qlora"),
        )
    model.requires_grad_(True)
    freeze(model)
    return model


def arguments(plan: TrainingPlan) -> dict[str, Any]:
    """No clipping by global norm where the gradients never exist all at once."""
    return {"max_grad_norm": 0.0} if plan.optimizer_in_backward else {}


def as_base(model: PreTrainedModel) -> AbstractContextManager[Any]:
    """The base exists only until the first step."""
    return nullcontext()


def save(model: PreTrainedModel, plan: TrainingPlan, folder: Path, state: dict[str, Any] | None = None) -> None:
    """The whole model as safetensors with its config, in `compute_dtype`: fp32 masters were for training only."""
    dtype = torch_dtype(plan.compute_dtype)
    state = model.state_dict() if state is None else state
    # Gathered shards no longer share memory, so a tied head would be written a second time.
    tied = set(getattr(model, "all_tied_weights_keys", None) or ())
    kept = {name: t.to(dtype) if t.is_floating_point() else t for name, t in state.items() if name not in tied}
    model.config.dtype = dtype
    model.save_pretrained(str(folder), state_dict=kept)


def attach(plan: TrainingPlan, folder: Path) -> PreTrainedModel:
    """The trained model, loaded from `folder` in the dtype it was saved in."""
    reference = msgspec.structs.replace(plan.model, name=str(folder), revision=None, gguf_file=None)
    return load_model(msgspec.structs.replace(plan, model=reference, weights_dtype=plan.compute_dtype)).eval()


def merge(base: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """Raises NotMergeable: the result is a whole model already."""
    raise NotMergeable(
        tr("{folder} holds a whole model", folder=folder), why=tr("full fine-tuning adds nothing beside the weights")
    )
