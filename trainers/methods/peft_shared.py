"""What all methods that train beside a frozen base share: wrap, save, put back, merge. Composed, not inherited."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.methods.towers import freeze, leave_out
from trainers.plan import TrainingPlan

if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel
    from transformers import PreTrainedModel


def no_refusals(plan: TrainingPlan) -> list[str]:
    """For methods that can carry out every plan that is consistent in itself."""
    return []


def no_arguments(plan: TrainingPlan) -> dict[str, Any]:
    """For methods that need no SFTConfig field of their own."""
    return {}


def wrap(model: PreTrainedModel, config: PeftConfig, plan: TrainingPlan) -> PeftModel:
    """`model` frozen and without what text does not reach, with new trainable parameters of `config` in it; in fp32
    unless ZeRO-3 needs one dtype."""
    from peft import get_peft_model

    without_towers(model, plan)
    # ZeRO-3 gathers into buffers of one dtype, so fp32 adapters beside a bf16 base crash it (trl#6089).
    return get_peft_model(model, config, autocast_adapter_dtype=plan.sharding != "zero3")


def as_base(model: PeftModel) -> AbstractContextManager[Any]:
    """While entered, the adapter is switched off."""
    return model.disable_adapter()


def save(model: PeftModel, plan: TrainingPlan, folder: Path, state: dict[str, Any] | None = None) -> None:
    """adapter_model.safetensors and adapter_config.json; never the base. `state`: the tensors of a sharded model."""
    model.save_pretrained(str(folder), state_dict=state)


def without_towers(model: PreTrainedModel, plan: TrainingPlan) -> None:
    """Leave out what the plan's data does not reach: towers, unless it brings pictures; then they are frozen."""
    if plan.reads_images:
        freeze(model)
    else:
        leave_out(model)


def put_on(base: PreTrainedModel, folder: Path, plan: TrainingPlan) -> PeftModel:
    """The adapter in `folder` on a loaded base without what the data does not reach, in evaluation mode."""
    from peft import PeftModel

    without_towers(base, plan)
    return PeftModel.from_pretrained(base, str(folder)).eval()


def put_on_to_train(base: PreTrainedModel, folder: Path, config: PeftConfig, plan: TrainingPlan) -> PeftModel:
    """As `wrap`, with the adapter in `folder` instead of a new one."""
    from peft import PeftModel

    without_towers(base, plan)
    return PeftModel.from_pretrained(
        base, str(folder), is_trainable=True, config=config, autocast_adapter_dtype=plan.sharding != "zero3"
    )


def merge(base: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """The whole `base` with the adapter's change added to its weights; `base` must not be quantised."""
    from peft import PeftModel

    return PeftModel.from_pretrained(base, str(folder)).merge_and_unload(safe_merge=True)
