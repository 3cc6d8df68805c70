"""Which step's weights a finished training hands over, and how they come back into its model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from trl import SFTTrainer

from trainers.plan import TrainingPlan
from trainers.run_folder.best_step import Delivered, choose, evaluations
from trainers.run_folder.checkpoint import checkpoint_problems
from trainers.training.best_step import checkpoint_of_step
from trainers.training.ranks import in_group
from trainers.training.session import Session


def load_step_to_deliver(session: Session) -> Delivered:
    """Put the weights of the step that the plan delivers into the session's model. Call it on every rank."""
    trainer, state, plan = session.trainer, session.trainer.state, session.plan
    found: list[Any] = [None]
    if session.is_main:
        found = [
            choose(
                evaluations(state.log_history),
                state.global_step,
                state.max_steps,
                wants_best=plan.load_best_model_at_end,
                is_whole=lambda step: _is_whole(checkpoint_of_step(session.run_dir, step)),
            )
        ]
    delivered = _from_first_rank(found)
    if delivered.step != state.global_step:
        _load_weights(trainer, checkpoint_of_step(session.run_dir, delivered.step), plan)
    return delivered


def _load_weights(trainer: SFTTrainer, checkpoint: Path, plan: TrainingPlan) -> None:
    """The way in which a resume loads them."""
    if plan.sharding in ("zero2", "zero3"):
        from transformers.integrations.deepspeed import deepspeed_load_checkpoint

        deepspeed_load_checkpoint(trainer.model_wrapped, str(checkpoint), load_module_strict=not plan.trains_adapter)
    elif plan.sharding == "fsdp":
        trainer._load_from_checkpoint(str(checkpoint), trainer.model_wrapped)
    else:
        trainer._load_from_checkpoint(str(checkpoint))


def _is_whole(path: Path) -> bool:
    return path.is_dir() and not checkpoint_problems(path)


def _from_first_rank(values: list[Any]) -> Delivered:
    if in_group():
        torch.distributed.broadcast_object_list(values)
    delivered: Delivered = values[0]
    return delivered
