"""A trainer that has been tried out, as it was before: the same process can then train without a trace of the trial.

transformers lets `train` be called again; what is left over from the first call is the optimizer, counters, arguments
and callbacks, and the random numbers that were drawn.
"""

from __future__ import annotations

import copy
import gc
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from trl import SFTTrainer


@contextmanager
def put_back(trainer: SFTTrainer) -> Iterator[None]:
    """Undo afterwards what was done to `trainer` and to the random numbers; not what was done to the weights.

    After an error nothing is undone. The wrapper that DDP puts around the model stays, for a second one would hook
    into the same parameters.
    """
    before, callbacks = {**vars(trainer), **_groups_as_given(trainer)}, list(trainer.callback_handler.callbacks)
    passes, scaler = trainer.accelerator.gradient_accumulation_steps, trainer.accelerator.scaler
    scale = scaler.state_dict() if scaler is not None else {}
    numbers = random.getstate(), np.random.get_state()
    cards = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    trainer.args = copy.copy(trainer.args)
    with torch.random.fork_rng(cards):
        yield
    random.setstate(numbers[0])
    np.random.set_state(numbers[1])
    _unprepared(trainer)
    trainer.model.zero_grad(set_to_none=True)
    wrapped = trainer.model_wrapped
    vars(trainer).clear()
    vars(trainer).update(before, model_wrapped=wrapped)
    handler = trainer.callback_handler
    handler.callbacks, handler.optimizer, handler.lr_scheduler = callbacks, None, None
    trainer.accelerator.free_memory()
    trainer.accelerator.gradient_accumulation_steps = passes
    if scaler is not None:
        scaler.load_state_dict(scale)
    gc.collect()


def _groups_as_given(trainer: SFTTrainer) -> dict[str, Any]:
    """A copy of the plan's own groups: the Trainer takes them out of its arguments, and the optimizer fills them."""
    if trainer.optimizer_cls_and_kwargs is None:
        return {}
    kind, options = trainer.optimizer_cls_and_kwargs
    groups = [dict(group) for group in options.get("params", [])]
    return {"optimizer_cls_and_kwargs": (kind, {**options, "params": groups} if groups else dict(options))}


def weights_sum(model: torch.nn.Module) -> int:
    """A sum over the bytes of everything that trains, as this process holds it; changes when a bit does."""
    total = 0
    for place, parameter in enumerate(model.parameters(), start=1):
        if parameter.requires_grad:
            total += place * int(parameter.detach().contiguous().view(torch.uint8).sum(dtype=torch.int64))
    return total


def _unprepared(trainer: SFTTrainer) -> None:
    """accelerate puts autocast around `forward` once a model: that is taken back here, to be done anew.

    Under DDP the wrapper stays, and with it what it calls.
    """
    if trainer.model_wrapped is not trainer.model:
        return
    own = vars(trainer.model)
    original = own.pop("_original_forward", None)
    if original is not None:
        trainer.model.forward = original
    own.pop("_is_accelerate_prepared", None)
