"""A sharded model as plain tensors on rank 0, under the names that it had before anything was wrapped.

peft finds its tensors by module names; FSDP's activation checkpointing changes these, and an adapter saved through
the Trainer is then an empty file, silently. So names are cleaned here, and wrappers come off before a save.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from trainers.plan import TrainingPlan

if TYPE_CHECKING:
    import torch
    from trl import SFTTrainer

WRAPPER = "_checkpoint_wrapped_module"

State = dict[str, Any]


def whole_state(trainer: SFTTrainer, plan: TrainingPlan) -> State | None:
    """Name -> tensor on the CPU of all that a save needs; filled on rank 0, empty on others. Call it on every rank.

    None where each rank holds the whole model anyway. Of an adapter run only what trains is gathered.
    """
    if plan.sharding == "zero3":
        return trainer.accelerator.get_state_dict(trainer.model_wrapped) or {}
    if plan.sharding != "fsdp":
        return None
    trained = {plain_name(name) for name, p in trainer.model.named_parameters() if p.requires_grad}
    state: State = {}
    for name, tensor in trainer.model.state_dict().items():
        if plan.trains_adapter and plain_name(name) not in trained:
            continue
        whole = _whole(tensor, trainer.args.device)
        if trainer.args.process_index == 0:
            state[plain_name(name)] = whole.detach().cpu()
    return state


def _whole(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    from torch.distributed.tensor import DTensor

    # An off-loaded shard has to be where its mesh communicates.
    return tensor.to(device).full_tensor() if isinstance(tensor, DTensor) else tensor


def plain_name(name: str) -> str:
    """A parameter's name without the wrappers of activation checkpointing."""
    return name.replace(f"{WRAPPER}.", "")


@contextmanager
def wrappers_off(model: Any) -> Iterator[None]:
    """While entered, the wrappers of activation checkpointing are off, in place: for saving, not for a step."""
    wrapped = [
        (module, name, child)
        for module in model.modules()
        for name, child in module.named_children()
        if hasattr(child, WRAPPER)
    ]
    for module, name, child in wrapped:
        setattr(module, name, getattr(child, WRAPPER))
    try:
        yield
    finally:
        for module, name, child in wrapped:
            setattr(module, name, child)
