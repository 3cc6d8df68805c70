"""Whether 4-bit weights that FSDP2 splits come back bit for bit when it gathers them.

They travel as numbers of `compute_dtype`, and a copy that rewrites what such a number holds as NaN changes them
without an error (bitsandbytes#1945, pytorch#159333). Which copies do depends on device, torch and bitsandbytes, so it
is tried here, on the user's own model, before anything is trained. DeepSpeed's gathers are not looked at.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback, TrainingArguments

from trainers.errors import PlanRefused
from trainers.language import tr
from trainers.training.ranks import largest_of_ranks

if TYPE_CHECKING:
    from bitsandbytes.nn import Linear4bit

    from trainers.plan import TrainingPlan

WRAPPED = "_checkpoint_wrapped_module."
"""What activation checkpointing adds to the names of modules."""


def looks_at(plan: TrainingPlan) -> bool:
    """Whether a plan splits weights that are packed to 4 bits by FSDP."""
    return plan.quantization != "none" and plan.sharding == "fsdp"


class PackedBits(TrainerCallback):
    """Holds each packed weight's sum before the model is split against the same after the first step.

    Raises PlanRefused on every process where any of them gathers other bits.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self.whole = {name: _sum_of_bits(linear.weight) for name, linear in _packed(model)}
        self.compared = 0

    def on_step_end(self, args: TrainingArguments, *_: Any, model: torch.nn.Module | None = None, **__: Any) -> None:
        """Gather and compare once: before the first step FSDP has nothing to gather with."""
        if self.compared or model is None:
            return
        gathered = dict(_gathered(model))
        self.compared = len(gathered)
        changed = sorted(name for name, found in gathered.items() if found != self.whole[name])
        if not largest_of_ranks(len(changed), args.device):
            return
        raise PlanRefused(
            tr(
                "{count} of {all} 4-bit weights are other bits once FSDP has gathered them, {name} among them",
                count=len(changed),
                all=len(self.whole),
                name=changed[0] if changed else tr("on another process"),
            ),
            why=tr("their bytes travel as numbers, and a copy here rewrites those that read as NaN"),
            fix=tr("set sharding = 'ddp', where each GPU holds the packed model, or train lora in 16 bits with fsdp"),
        )


def _packed(model: torch.nn.Module) -> Iterator[tuple[str, Linear4bit]]:
    from bitsandbytes.nn import Linear4bit

    for name, module in model.named_modules():
        if isinstance(module, Linear4bit):
            yield name.replace(WRAPPED, ""), module


def _gathered(model: torch.nn.Module) -> Iterator[tuple[str, int]]:
    """(name, sum of bits) of each packed weight as a forward pass sees it, one unit of FSDP in memory at a time."""
    from torch.distributed.fsdp import FSDPModule
    from torch.distributed.tensor import DTensor

    linears = dict(_packed(model))
    for unit in model.modules():
        if not isinstance(unit, FSDPModule):
            continue
        own = {id(module) for module in unit.modules()} if linears else set()
        unit.unshard()
        for name in [name for name, linear in linears.items() if id(linear) in own]:
            if not isinstance(linears[name].weight, DTensor):
                yield name, _sum_of_bits(linears.pop(name).weight)
        unit.reshard()


def _sum_of_bits(weight: torch.Tensor) -> int:
    # a copy on a CPU too: FSDP frees what it gathered, which memory that numpy shares does not let it
    bits = weight.detach().contiguous().view(torch.uint8).to("cpu", copy=True)
    return zlib.crc32(bits.numpy().data)
