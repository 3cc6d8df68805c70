"""Bottleneck adapters (Houlsby et al. 2019) as a peft method: `x + up(gelu(down(x)))` behind attention and MLP.

No kept library offers them for today's transformers. Importing this file registers them with peft, so that wrapping,
saving, resuming, switching off and several adapters over one base work as for LoRA:

    model = get_peft_model(base, BottleneckConfig(bottleneck=64))
    PeftModel.from_pretrained(base, folder)          # adapter_config.json + adapter_model.safetensors

`up` starts at zero, so a new adapter is the identity. With hidden size H and bottleneck R it has
2 x layers x (2HR + R + H) parameters.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from peft import PeftConfig
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_PREFIX_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from torch import nn

ATTENTION_NAMES = ("self_attn", "attention", "attn", "self_attention")
MLP_NAMES = ("mlp", "feed_forward", "ffn", "block_sparse_moe")


class _Kind(str):
    """The name under which peft's tables know the method; like peft's own enum members it has a `value`."""

    __slots__ = ()

    @property
    def value(self) -> str:
        """The name itself."""
        return str(self)


KIND = _Kind("BOTTLENECK")


@dataclass
class BottleneckConfig(PeftConfig):
    """What adapter_config.json holds."""

    bottleneck: int = field(default=64, metadata={"help": "Width between the two projections."})
    target_modules: list[str] | None = field(
        default=None, metadata={"help": "Submodules of a block to stand behind."}
    )
    exclude_modules: list[str] | None = field(default=None, metadata={"help": "Names to leave out."})

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = KIND


class BottleneckLayer(nn.Module, BaseTunerLayer):
    """A submodule of a block with an adapter behind its output; attributes of the submodule stay readable."""

    adapter_layer_names = ("bottleneck_down", "bottleneck_up")
    other_param_names = ()

    def __init__(self, base_layer: nn.Module, adapter_name: str, hidden_size: int, config: BottleneckConfig) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.bottleneck_down = nn.ModuleDict()
        self.bottleneck_up = nn.ModuleDict()
        self._disable_adapters = False
        self.merged_adapters: list[str] = []
        self._active_adapter = adapter_name
        self.add(adapter_name, hidden_size, config)

    def add(self, adapter_name: str, hidden_size: int, config: BottleneckConfig) -> None:
        """One more adapter under this name, on the device of the submodule, as the identity."""
        like = next(self.base_layer.parameters())
        device = like.device
        self.bottleneck_down[adapter_name] = nn.Linear(hidden_size, config.bottleneck, device=device)
        self.bottleneck_up[adapter_name] = nn.Linear(config.bottleneck, hidden_size, device=device)
        if device.type != "meta":
            nn.init.normal_(self.bottleneck_down[adapter_name].weight, std=0.02)
            nn.init.zeros_(self.bottleneck_down[adapter_name].bias)
            nn.init.zeros_(self.bottleneck_up[adapter_name].weight)
            nn.init.zeros_(self.bottleneck_up[adapter_name].bias)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The submodule's output with the active adapters applied to its hidden states, the rest of it untouched."""
        output = self.base_layer(*args, **kwargs)
        if self.disable_adapters:
            return output
        if isinstance(output, tuple):
            return (self._adapted(output[0]), *output[1:])
        return self._adapted(output)

    def _adapted(self, hidden: torch.Tensor) -> torch.Tensor:
        for name in self.active_adapters:
            if name in self.bottleneck_down:
                down, up = self.bottleneck_down[name], self.bottleneck_up[name]
                change = up(nn.functional.gelu(down(hidden.to(down.weight.dtype))))
                hidden = hidden + change.to(hidden.dtype)
        return hidden

    def __getattr__(self, name: str) -> Any:
        # Blocks of some models read a property of their attention module.
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "base_layer":
                raise
            return getattr(super().__getattr__("base_layer"), name)


class BottleneckModel(BaseTuner):
    """Puts the layers in; everything else is peft's."""

    prefix = "bottleneck_"
    tuner_layer_cls = BottleneckLayer
    target_module_mapping: dict[str, list[str]] = {}

    def _prepare_adapter_config(self, peft_config: BottleneckConfig, model_config: Any) -> BottleneckConfig:
        if peft_config.target_modules is None:
            peft_config.target_modules = default_targets(self.model)
        return peft_config

    def _create_and_replace(
        self,
        peft_config: BottleneckConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        **_: Any,
    ) -> None:
        hidden_size = self.model.config.get_text_config().hidden_size
        if isinstance(target, BottleneckLayer):
            target.add(adapter_name, hidden_size, peft_config)
            return
        layer = BottleneckLayer(target, adapter_name, hidden_size, peft_config)
        if adapter_name not in self.active_adapters:
            layer.requires_grad_(False)
        setattr(parent, target_name, layer)


def default_targets(model: nn.Module) -> list[str]:
    """Names of attention and MLP in the blocks of this model. Raises ValueError when a block has neither."""
    blocks = set(getattr(model, "_no_split_modules", None) or ())
    for module in model.modules():
        if type(module).__name__ in blocks:
            children = [name for name, _ in module.named_children()]
            found = [name for name in children if name in ATTENTION_NAMES + MLP_NAMES]
            if found:
                return found
    raise ValueError("no attention or MLP was found in the blocks of this model; set target_modules")


def register() -> None:
    """Register the method with peft; a second call changes nothing."""
    PEFT_TYPE_TO_CONFIG_MAPPING[KIND] = BottleneckConfig
    PEFT_TYPE_TO_TUNER_MAPPING[KIND] = BottleneckModel
    PEFT_TYPE_TO_PREFIX_MAPPING[KIND] = BottleneckModel.prefix


register()
