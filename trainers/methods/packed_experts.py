"""Mixtures of experts in 4 bits: transformers 5 holds the experts of a block as 3-D parameters, which bitsandbytes'
loading passes by, so that nearly all of the model would stay in 16 bits.

Here each of these parameters is packed to NF4 the moment it is read, and unpacked whenever its block runs. The scales
are not packed a second time: then 64 values beside each other are rounded by themselves, however the checkpoint cuts
the experts apart, and a merge rounds exactly as the training did. 4.5 bits a weight.

An MXFP4 release (gpt-oss) is expanded one parameter at a time and packed again, so that the whole model never lies in
memory in 16 bits. An unpacked block of experts is kept for the backward pass, so that checkpointing must be on: else
all blocks lie there unpacked. Experts and routers stay frozen; adapters go to attention and to dense layers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.utils import parametrize

from trainers.errors import PlanRefused
from trainers.language import tr
from trainers.plan import TrainingPlan

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MXFP4 = ("gate_up_proj", "down_proj")
"""Expert parameters that gpt-oss stores as MXFP4, under these names with _blocks and _scales."""
BLOCK = 64
"""Values that share a scale."""


@contextmanager
def packing_experts(*, expanding: bool = False) -> Iterator[None]:
    """While entered, loading in 4 bits packs experts too; `expanding`: experts that are stored as MXFP4."""
    from transformers.quantizers.auto import AUTO_QUANTIZER_MAPPING

    usual = AUTO_QUANTIZER_MAPPING["bitsandbytes_4bit"]
    AUTO_QUANTIZER_MAPPING["bitsandbytes_4bit"] = _with_experts(usual, expanding)
    try:
        yield
    finally:
        AUTO_QUANTIZER_MAPPING["bitsandbytes_4bit"] = usual


def expert_parameters(model: torch.nn.Module) -> list[str]:
    """Full names of the 3-D parameters that hold experts, packed or not."""
    found = []
    for name, module in model.named_modules():
        experts = getattr(module, "num_experts", None)
        held = dict(module.named_parameters(recurse=False))
        packed = getattr(module, "parametrizations", {})
        found += [f"{name}.{leaf}" for leaf, value in held.items() if _are_experts(value, experts)]
        found += [f"{name}.{leaf}" for leaf in packed if f"{name}.{leaf}" not in found]
    return found


def require_room_to_unpack(model: PreTrainedModel, plan: TrainingPlan) -> None:
    """Raise PlanRefused where this plan would keep every block unpacked, or cut packed experts into shards."""
    if not expert_parameters(model):
        return
    if not plan.gradient_checkpointing:
        raise PlanRefused(
            tr("experts in 4 bits need gradient_checkpointing = true"),
            why=tr("without it the unpacked experts of every block stay in memory until the backward pass"),
            fix=tr("set gradient_checkpointing = true"),
        )
    if not plan.in_one_piece:
        raise PlanRefused(
            tr("experts in 4 bits cannot be sharded by {sharding}", sharding=plan.sharding),
            why=tr("their packed values are integers, which it does not split"),
            fix=tr("set sharding = 'ddp', where each GPU holds the packed model, or train lora in 16 bits with fsdp"),
        )


def packed_like_experts(weight: torch.Tensor) -> torch.Tensor:
    """`weight` rounded as an expert is in training, as fp32."""
    from bitsandbytes.functional import dequantize_4bit

    packed, state = _packed(weight.float())
    return dequantize_4bit(packed, state).reshape(weight.shape)


def unpack_experts(model: torch.nn.Module, dtype: torch.dtype) -> None:
    """Experts as plain parameters again, with the rounded values."""
    for name in expert_parameters(model):
        parent, _, leaf = name.rpartition(".")
        module = model.get_submodule(parent)
        if parametrize.is_parametrized(module, leaf):
            value = getattr(module, leaf).detach().to(dtype)
            parametrize.remove_parametrizations(module, leaf, leave_parametrized=False)
            setattr(module, leaf, torch.nn.Parameter(value, requires_grad=False))


def _are_experts(value: torch.Tensor, experts: Any) -> bool:
    return value.ndim == 3 and experts is not None and value.shape[0] == experts


def _packed(weight: torch.Tensor) -> tuple[torch.Tensor, Any]:
    from bitsandbytes.functional import quantize_4bit

    packed: tuple[torch.Tensor, Any] = quantize_4bit(
        weight.contiguous(), blocksize=BLOCK, compress_statistics=False, quant_type="nf4"
    )
    return packed


def _holds_experts(model: Any, name: str) -> bool:
    parent, _, leaf = name.rpartition(".")
    module = model.get_submodule(parent)
    value = module._parameters.get(leaf)
    return value is not None and _are_experts(value, getattr(module, "num_experts", None))


def _with_experts(usual: type[Any], expanding: bool) -> type[Any]:
    """transformers' quantizer, extended to experts."""
    from bitsandbytes.nn.parametrize import Bnb4bitParametrization, _register_parametrization_hooks
    from transformers.core_model_loading import WeightConverter
    from transformers.integrations.bitsandbytes import Bnb4bitQuantize
    from transformers.integrations.mxfp4 import Mxfp4Dequantize

    class Expand(Mxfp4Dequantize):
        def convert(self, input_dict: dict[str, Any], *args: Any, **more: Any) -> dict[str, Any]:
            whole = {name: value[0] if isinstance(value, list) else value for name, value in input_dict.items()}
            # The loader has cast the codes to the model's dtype; 0 to 255 survive that in every float.
            return super().convert({name: value.to(torch.uint8) for name, value in whole.items()}, *args, **more)

    class Pack(Bnb4bitQuantize):
        def convert(self, input_dict: dict[str, Any], *args: Any, model: Any = None, **more: Any) -> dict[str, Any]:
            experts = {name for name in input_dict if _holds_experts(model, name)}
            others = {name: value for name, value in input_dict.items() if name not in experts}
            done = super().convert(others, *args, model=model, **more) if others else {}
            for name in experts:
                value = input_dict[name]
                packed, state = _packed(value[0] if isinstance(value, list) else value)
                done[name] = torch.nn.Parameter(packed, requires_grad=False)
                done[name].quant_state = state
            return done

    class WithExperts(usual):
        def param_needs_quantization(self, model: Any, param_name: str, **more: Any) -> bool:
            return _holds_experts(model, param_name) or super().param_needs_quantization(model, param_name, **more)

        def get_quantize_ops(self) -> Any:
            return Pack(self)

        def get_weight_conversions(self) -> list[Any]:
            stored = [[f"{leaf}_blocks", f"{leaf}_scales"] for leaf in MXFP4 if expanding]
            rules = [WeightConverter(names, leaf, [Expand(self)]) for names, leaf in zip(stored, MXFP4, strict=False)]
            return [*super().get_weight_conversions(), *rules]

        def _process_model_after_weight_loading(self, model: Any, **more: Any) -> Any:
            held = [(name, value) for name, value in model.named_parameters() if value.ndim == 2]
            for name, value in held:
                parent, _, leaf = name.rpartition(".")
                module = model.get_submodule(parent)
                if hasattr(module, "num_experts") and hasattr(value, "quant_state"):
                    unpacking = Bnb4bitParametrization(value.quant_state)
                    parametrize.register_parametrization(module, leaf, unpacking, unsafe=True)
                    _register_parametrization_hooks(module, leaf)
            return super()._process_model_after_weight_loading(model, **more)

        def _dequantize(self, model: Any, dtype: Any = None) -> Any:
            model = super()._dequantize(model, dtype=dtype)
            unpack_experts(model, dtype or model.dtype)
            return model

    return WithExperts
