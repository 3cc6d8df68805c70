"""Adapter tuning: a small bottleneck behind attention and MLP of every block, base frozen (Houlsby et al. 2019)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trainers.errors import NotMergeable, PlanRefused
from trainers.language import tr
from trainers.methods import peft_shared
from trainers.methods.models import load_model
from trainers.plan import TrainingPlan

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

load = load_model
refusals = peft_shared.no_refusals
arguments = peft_shared.no_arguments
as_base = peft_shared.as_base
save = peft_shared.save


def trainable(model: PreTrainedModel, plan: TrainingPlan) -> PeftModel:
    """The model with adapters of width `adapter_bottleneck`, base frozen. Raises PlanRefused for an unknown block."""
    from trainers.methods.bottleneck import BottleneckConfig

    width = plan.adapter_bottleneck or BottleneckConfig.bottleneck
    config = BottleneckConfig(task_type="CAUSAL_LM", bottleneck=width)
    try:
        return peft_shared.wrap(model, config, plan)
    except ValueError as error:
        raise PlanRefused(
            tr("adapters do not fit this model"), why=str(error), fix=tr("train LoRA instead")
        ) from error


def attach(plan: TrainingPlan, folder: Path) -> PeftModel:
    """The adapters on a freshly loaded base."""
    from trainers.methods import bottleneck

    bottleneck.register()
    return peft_shared.put_on(load_model(plan), folder, plan)


def merge(base: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """Raises NotMergeable: a non-linearity stands between the projections."""
    raise NotMergeable(
        tr("the adapters in {folder} cannot be merged", folder=folder),
        why=tr("a non-linear function stands between their two projections"),
        fix=tr("serve them with peft and trainers.methods.bottleneck, or train LoRA when one plain model is wanted"),
    )
