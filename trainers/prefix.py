"""Prefix tuning: learnt keys and values in front of every layer's own (Li & Liang 2021). Nothing to merge."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trainers import peft_shared
from trainers.errors import NotMergeable
from trainers.models import load_model
from trainers.plan import TrainingPlan

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

load = load_model
arguments = peft_shared.no_arguments
as_base = peft_shared.as_base
save = peft_shared.save


def refusals(plan: TrainingPlan) -> list[str]:
    """Why this plan cannot be trained by prefix tuning here."""
    found = []
    if plan.packing:
        found.append("prefix tuning cannot pack: the prefix would stand before the first packed example only")
    if plan.sharding in ("fsdp", "zero3"):
        found.append("prefix tuning trains a few vectors; sharding them is not supported, use ddp")
    return found


def trainable(model: PreTrainedModel, plan: TrainingPlan) -> PeftModel:
    """The model with `num_virtual_tokens` learnt keys and values per layer, base frozen."""
    from peft import PrefixTuningConfig

    config = PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=plan.num_virtual_tokens)
    return peft_shared.wrap(model, config, plan)


def attach(plan: TrainingPlan, folder: Path) -> PeftModel:
    """The prefix on a freshly loaded base."""
    return peft_shared.put_on(load_model(plan), folder)


def merge(base: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """Raises NotMergeable: a prefix changes what attention sees, not a weight."""
    raise NotMergeable(
        f"the prefix in {folder} cannot be merged",
        why="it adds keys and values to attention; no weight matrix holds them",
        fix="serve it with peft, or train LoRA when one plain model is wanted",
    )
