"""QLoRA: LoRA on a base held in 4-bit NormalFloat with doubly quantised scales (Dettmers et al. 2023).

Embeddings, norms and head stay in `weights_dtype`. Adapters train in bf16 where products are bf16 (TRL's choice), in fp32
otherwise. Under FSDP the packed weights are stored as `compute_dtype`: only then are they sharded (accelerate#3983).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from trainers import lora, peft_shared
from trainers.models import load_model, torch_dtype
from trainers.plan import TrainingPlan

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import BitsAndBytesConfig, PreTrainedModel

arguments = peft_shared.no_arguments
as_base = peft_shared.as_base
save = peft_shared.save
merge = peft_shared.merge


def refusals(plan: TrainingPlan) -> list[str]:
    """Why this plan cannot be trained as QLoRA here."""
    found = lora.refusals(plan)
    if plan.lora_init == "pissa":
        found.append(
            "lora_init = 'pissa' changes the base weights, which are quantised here; use 'loftq' or 'default'"
        )
    if plan.lora_expert_targets:
        found.append("expert tensors are not quantised, so lora_expert_targets saves nothing with qlora; use lora")
    if plan.sharding == "fsdp" and plan.optimizer.startswith("paged"):
        found.append("paged optimizers fail to save under FSDP; use optimizer = 'adamw_torch_fused'")
    return found


def load(plan: TrainingPlan) -> PreTrainedModel:
    """The base with every linear layer of its blocks packed to 4 bits while it loads."""
    model = load_model(plan, quantization_config=quantization(plan))
    if plan.accelerator == "cpu":
        _keep_layout(model)
    return model


def _keep_layout(model: PreTrainedModel) -> None:
    """bitsandbytes repacks weights at the first forward pass in evaluation mode on CPUs with AVX512-BF16; whatever reads
    them afterwards in the old layout (a merge, the backward pass) gets garbage without an error (bitsandbytes#2078)."""
    from bitsandbytes.nn import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def quantization(plan: TrainingPlan) -> BitsAndBytesConfig:
    """NF4 with double quantisation, products in `compute_dtype`, stored so that the plan's sharding can split it."""
    import torch
    from transformers import BitsAndBytesConfig

    compute = torch_dtype(plan.compute_dtype)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
        bnb_4bit_quant_storage=compute if plan.sharding in ("fsdp", "zero3") else torch.uint8,
    )


def trainable(model: PreTrainedModel, plan: TrainingPlan) -> PeftModel:
    """LoRA matrices beside the packed layers. `prepare_model_for_kbit_training` is left out: its fp32 copies of
    embeddings and head cost memory and gain nothing with autocast."""
    adapted = lora.trainable(model, plan)
    if plan.lora_init == "loftq":
        _loftq(adapted, plan)
    return adapted


def attach(plan: TrainingPlan, folder: Path) -> PeftModel:
    """The adapter on a freshly quantised base, as it was trained."""
    return peft_shared.put_on(load(plan), folder)


def _loftq(model: PeftModel, plan: TrainingPlan) -> None:
    """Start from the best low-rank answer to the quantisation error (Li et al. 2023), layer by layer.

    The full weights are read one at a time from the model's safetensors files.
    """
    from peft import replace_lora_weights_loftq

    replace_lora_weights_loftq(model, model_path=_safetensors_of(plan))


def _safetensors_of(plan: TrainingPlan) -> str | None:
    return str(Path(plan.model.name) / "model.safetensors") if Path(plan.model.name).is_dir() else None


def unquantised(plan: TrainingPlan) -> TrainingPlan:
    """The same plan over a base in `weights_dtype`, for merging."""
    return msgspec.structs.replace(plan, method="lora", quantization="none")
