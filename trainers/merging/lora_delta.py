"""What a saved LoRA adapter does to each weight of its base, computed in fp32, one weight at a time.

    delta = scale x B A                      scale = alpha / r, or alpha / sqrt(r) for rsLoRA
    DoRA: magnitude x (W + delta) / |W + delta|, the norm over each output row (Liu et al. 2024)
    QLoRA: W is the dequantised 4-bit weight that the adapter was trained beside

Only adapters whose every tensor fits these forms are taken; `LoraDelta.obstacle` says what stands in the way.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.merging.tensor_files import TensorFolder
from trainers.methods.packed_experts import packed_like_experts

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_PREFIX = "base_model.model."
_PART = re.compile(r"(?P<module>.+)\.(?P<part>lora_A|lora_B|lora_magnitude_vector)(\.weight)?$")


class LoraDelta:
    """The adapter in `folder` over the weights of `base`.

    `known_as`: name of a stored tensor -> its name in the loaded model (trainers.merging.names).
    `packed` names the modules that were 4-bit in training, `packed_experts` the stored tensors of experts that were,
    `tied` says that head and embedding are one weight.
    """

    def __init__(
        self,
        folder: Path,
        base: TensorFolder,
        *,
        known_as: Mapping[str, str] | None = None,
        packed: frozenset[str] = frozenset(),
        packed_experts: frozenset[str] = frozenset(),
        tied: bool = False,
    ) -> None:
        from peft import LoraConfig
        from safetensors.torch import load_file

        self.base, self.packed, self.packed_experts, self.tied = base, packed, packed_experts, tied
        self.known_as = dict(known_as) if known_as is not None else {name: name for name in base}
        self.stored_as = {known: stored for stored, known in self.known_as.items()}
        self.config = LoraConfig.from_pretrained(str(folder))
        self.parts: dict[str, dict[str, torch.Tensor]] = {}
        self.replaced: dict[str, torch.Tensor] = {}
        for name, tensor in load_file(folder / "adapter_model.safetensors").items():
            bare = name.removeprefix(_PREFIX)
            if found := _PART.fullmatch(bare):
                self.parts.setdefault(found["module"], {})[found["part"]] = tensor
            else:
                self.replaced[bare] = tensor

    @property
    def obstacle(self) -> str | None:
        """Why this adapter cannot be merged weight by weight, or None."""
        config = self.config
        if config.target_parameters or config.trainable_token_indices:
            return "it trains expert tensors or single token embeddings"
        if config.bias != "none" or config.layer_replication or config.fan_in_fan_out:
            return "it trains biases, replicates layers, or its base stores weights transposed"
        found = (self._obstacle_of_module(module, parts) for module, parts in self.parts.items())
        return next((obstacle for obstacle in found if obstacle), None) or self._obstacle_of_replaced()

    def _obstacle_of_module(self, module: str, parts: dict[str, torch.Tensor]) -> str | None:
        weight = self.stored_as.get(f"{module}.weight")
        if weight is None:
            return (
                f"the files of the base hold no {module}.weight: they are laid out differently from the loaded model"
            )
        if parts.keys() - {"lora_magnitude_vector"} != {"lora_A", "lora_B"}:
            return f"{module} has only {', '.join(sorted(parts))}"
        if self.base.shape(weight) != (parts["lora_B"].shape[0], parts["lora_A"].shape[1]):
            return f"{weight} has another shape than its adapter"
        return None

    def _obstacle_of_replaced(self) -> str | None:
        for name, tensor in self.replaced.items():
            if self.tied:
                return f"{name} was trained, and the base ties it to another weight"
            stored = self.stored_as.get(name)
            if stored is None or self.base.shape(stored) != tuple(tensor.shape):
                return f"{name} was added or resized in training"
        return None

    def merged(self, stored: str) -> torch.Tensor:
        """The stored tensor of this name with the adapter's change, in fp32 where anything was computed."""
        import torch

        name = self.known_as.get(stored, stored)
        if name in self.replaced:
            return self.replaced[name]
        module = name.removesuffix(".weight")
        weight = self.base.tensor(stored)
        if module in self.packed:
            weight = through_nf4(weight)
        if stored in self.packed_experts and weight.is_floating_point() and weight.ndim > 1:
            weight = packed_like_experts(weight)
        parts = self.parts.get(module) if name.endswith(".weight") else None
        if parts is None:
            return weight
        changed = torch.addmm(
            weight.float(), parts["lora_B"].float(), parts["lora_A"].float(), alpha=self.scale(module)
        )
        if "lora_magnitude_vector" in parts:
            magnitude = parts["lora_magnitude_vector"].float().reshape(-1, 1)
            changed = changed * (magnitude / changed.norm(dim=1, keepdim=True))
        return changed

    def scale(self, module: str) -> float:
        """The factor on B A for one module, with peft's per-module rank and alpha."""
        rank = _by_pattern(self.config.rank_pattern, module, self.config.r)
        alpha = _by_pattern(self.config.alpha_pattern, module, self.config.lora_alpha)
        return float(alpha / (math.sqrt(rank) if self.config.use_rslora else rank))


def through_nf4(weight: torch.Tensor) -> torch.Tensor:
    """`weight` packed to NF4 with double quantisation and unpacked again, as fp32: what the adapter saw."""
    import torch
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    packed, state = quantize_4bit(weight.float().contiguous(), quant_type="nf4", compress_statistics=True)
    state.dtype = torch.float32
    return dequantize_4bit(packed, state).reshape(weight.shape)


def packed_modules(model: PreTrainedModel) -> frozenset[str]:
    """Names of the linear layers that bitsandbytes packs when this model is loaded in 4 bits, towers left out."""
    import torch
    from transformers.quantizers.base import get_keys_to_not_convert

    from trainers.methods.towers import towers

    kept = [*get_keys_to_not_convert(model), *towers(model)]
    linear = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    return frozenset(name for name in linear if not any(name == k or name.startswith(f"{k}.") for k in kept))


def _by_pattern(pattern: dict[str, Any], module: str, otherwise: Any) -> Any:
    found = (value for key, value in pattern.items() if re.match(rf"(.*\.)?({key})$", module))
    return next(found, otherwise)
