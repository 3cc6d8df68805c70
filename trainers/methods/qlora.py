"""QLoRA: LoRA on a base held in 4-bit NormalFloat with doubly quantised scales (Dettmers et al. 2023).

Embeddings, norms and head stay in `weights_dtype`. Adapters train in bf16 where products are bf16 (TRL's choice), in
fp32 otherwise. Under FSDP the packed weights are stored as `compute_dtype`: only then are they sharded
(accelerate#3983).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.errors import PlanRefused
from trainers.language import tr
from trainers.methods import lora, peft_shared
from trainers.methods.models import is_mxfp4, load_config, load_model, torch_dtype
from trainers.methods.packed_experts import packing_experts, require_room_to_unpack
from trainers.methods.towers import skeleton, towers
from trainers.plan import TrainingPlan
from trainers.text_alone import TEXT_ALONE

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import BitsAndBytesConfig, PreTrainedConfig, PreTrainedModel

arguments = peft_shared.no_arguments
as_base = lora.as_base
save = peft_shared.save
merge = peft_shared.merge


def refusals(plan: TrainingPlan) -> list[str]:
    """Why this plan cannot be trained as QLoRA here."""
    reasons = lora.refusals(plan)
    if plan.lora_init == "pissa":
        reasons.append(
            "lora_init = 'pissa' changes the base weights, which are quantised here; use 'loftq' or 'default'"
        )
    if plan.lora_expert_targets:
        reasons.append(
            "experts in 4 bits stay frozen, for peft loses their gradients and merges nothing of them; leave "
            "lora_expert_targets empty, or use lora in 16 bits"
        )
    if plan.sharding == "fsdp" and plan.optimizer.startswith("paged"):
        reasons.append("paged optimizers fail to save under FSDP; use optimizer = 'adamw_torch_fused'")
    return reasons


def load(plan: TrainingPlan) -> PreTrainedModel:
    """The base with every linear layer of its blocks, and every expert, packed to 4 bits while it loads.

    Towers stay in 16 bits. Raises PlanRefused where packed experts and this plan do not go together.
    """
    packing = quantization(plan)
    model = load_model(plan, quantization_config=packing) if plan.model.gguf_file else _packed(plan, packing)
    require_room_to_unpack(model, plan)
    if plan.accelerator == "cpu":
        _keep_layout(model)
    return model


def _packed(plan: TrainingPlan, packing: BitsAndBytesConfig) -> PreTrainedModel:
    config = load_config(plan)
    packing.llm_int8_skip_modules = stays_unpacked(config)
    expanding = is_mxfp4(config)
    if expanding:
        del config.quantization_config
    with packing_experts(expanding=expanding):
        return load_model(plan, config=config, quantization_config=packing)


def _keep_layout(model: PreTrainedModel) -> None:
    """bitsandbytes repacks weights at the first forward pass in evaluation mode on CPUs with AVX512-BF16; whatever
    reads them afterwards in the old layout (a merge, a backward pass) gets garbage, without an error
    (bitsandbytes#2078)."""
    from bitsandbytes.nn import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def stays_unpacked(config: PreTrainedConfig) -> list[str] | None:
    """Modules that 4-bit loading has to be told to leave alone: towers, and then the head too, which it otherwise
    leaves by itself. None where there is no tower."""
    from transformers.quantizers.base import get_keys_to_not_convert

    model = skeleton(config) if config.model_type in TEXT_ALONE else None
    unreached = towers(model) if model is not None else []
    return [*unreached, *get_keys_to_not_convert(model)] if unreached else None


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
    return peft_shared.put_on(load(plan), folder, plan)


def _loftq(model: PeftModel, plan: TrainingPlan) -> None:
    """Start from the best low-rank answer to the quantisation error (Li et al. 2023, one round), layer by layer.

    peft's own function needs a GPU and one file; this reads the full weights one at a time from any shards.
    """
    import torch
    from bitsandbytes.functional import dequantize_4bit
    from peft.tuners.lora.bnb import Linear4bit

    weights, rank = _FullWeights(plan), plan.lora_rank or 1
    for name, module in model.base_model.model.named_modules():
        if isinstance(module, Linear4bit):
            packed = module.get_base_layer().weight
            held = dequantize_4bit(packed.data, packed.quant_state).float()
            error = weights.read(f"{name}.weight").to(held) - held
            left, values, right = torch.svd_lowrank(error, q=min(rank + 8, *error.shape), niter=4)
            root = values[:rank].sqrt()
            a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
            a.data = (root[:, None] * right[:, :rank].T).to(a.dtype)
            b.data = (left[:, :rank] * root / module.scaling["default"]).to(b.dtype)


class _FullWeights:
    """Single tensors of the unquantised base, from its safetensors files. Raises PlanRefused where there are none."""

    def __init__(self, plan: TrainingPlan) -> None:
        from transformers.utils import cached_file

        def find(name: str) -> str | None:
            return cached_file(
                plan.model.name, name, revision=plan.model.revision, _raise_exceptions_for_missing_entries=False
            )

        self.find = find
        index = find("model.safetensors.index.json")
        self.shards = json.loads(Path(index).read_bytes())["weight_map"] if index else {}

    def read(self, name: str) -> Any:
        from safetensors import safe_open

        file = self.find(self.shards.get(name, "model.safetensors"))
        if file is not None:
            with safe_open(file, framework="pt") as tensors:
                if name in tensors.keys():  # noqa: SIM118  safe_open is not a dict
                    return tensors.get_tensor(name)
        raise PlanRefused(
            tr("lora_init = 'loftq' needs the unquantised tensor {name}", name=name),
            why=tr("the model's safetensors files do not hold it under this name"),
            fix=tr("set lora_init = 'default'"),
        )
