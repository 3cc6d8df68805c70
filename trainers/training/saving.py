"""Saving, made safe: room is checked before, the seal is written last, old checkpoints go only then.

One callback does it, so that the Trainer's own saving stays as it is. Add it after StopOnSignal and the guards, which
may ask for a save at the end of a step: `trainer.add_callback(CheckpointKeeper(run_dir, keep=2))`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainers.errors import DiskFull, RunError
from trainers.language import tr
from trainers.run_folder import layout
from trainers.run_folder.checkpoint import checkpoints_dir, require_space, rotate, seal
from trainers.training.best_step import best_checkpoint
from trainers.training.ranks import in_group, largest_of_ranks
from trainers.training.reload import count, nothing_missing

_OVERHEAD_BYTES = 16 << 20
"""Tokenizer, configuration, random states and training state beside the tensors."""


class CheckpointKeeper(TrainerCallback):
    """Checks room before each save, seals each checkpoint, and rotates.

    Raises DiskFull at the end of a step whose checkpoint would not fit: on every rank, before a byte is written.
    """

    def __init__(self, run_dir: Path, keep: int, *, keep_best: bool = False) -> None:
        self.run_dir, self.keep, self.keep_best = run_dir, keep, keep_best
        self.optimizer: torch.optim.Optimizer | None = None
        self.model: torch.nn.Module | None = None

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: torch.nn.Module | None = None,
        optimizer: Any = None,
        **_: Any,
    ) -> None:
        """Take rotation over: the Trainer's would delete an old checkpoint before the new one is sealed."""
        args.save_total_limit = None
        self.model, self.optimizer = model, getattr(optimizer, "optimizer", optimizer)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        """Look for room when this step ends with a save."""
        if control.should_save:
            self._require_room(args, state.global_step)
        return control

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        """The same check as at the end of a step."""
        return self.on_step_end(args, state, control)

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        """As at the end of a step: an evaluation may ask for a save."""
        return self.on_step_end(args, state, control)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Once every rank has written its part: the seal, then rotation."""
        _wait_for_all()
        if state.is_world_process_zero:
            path = checkpoints_dir(self.run_dir) / f"checkpoint-{state.global_step}"
            self._require_whole(path)
            seal(path, step=state.global_step, world_size=args.world_size)
            rotate(self.run_dir, self.keep, spare=best_checkpoint(self.run_dir, state) if self.keep_best else None)

    def checkpoint_bytes(self, partitions: int = 1) -> int:
        """Size of the next checkpoint: what is saved of the model, and the optimizer's state as it is now.

        `partitions`: among how many processes DeepSpeed has split the state that this one sees a part of.
        FSDP's sharded tensors report their full size.
        """
        assert self.model is not None
        saved = list(self.model.parameters())
        if not all(parameter.requires_grad for parameter in saved):
            saved = [parameter for parameter in saved if parameter.requires_grad]
        states = self.optimizer.state.values() if self.optimizer is not None else ()
        tensors = [value for state in states for value in state.values() if isinstance(value, torch.Tensor)]
        state_bytes = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        weight_bytes = sum(count(parameter) * parameter.element_size() for parameter in saved)
        return weight_bytes + state_bytes * partitions + _OVERHEAD_BYTES

    def _require_whole(self, path: Path) -> None:
        """Raise RunError when the weights just written are fewer than those that train: it would not be sealed."""
        if self.model is None or not list(path.glob("*.safetensors")):
            return  # sharded: each rank's part has its own form
        trained = sum(count(parameter) for parameter in self.model.parameters() if parameter.requires_grad)
        test = nothing_missing(path, {"trainable": trained})
        if not test["passed"]:
            raise RunError(
                tr("{name} is not what was trained", name=path.name),
                why=test["why"],
                fix=tr(
                    "the checkpoint before it is whole; please report this with {run_dir}",
                    run_dir=self.run_dir / layout.RUN,
                ),
            )

    def _require_room(self, args: TrainingArguments, step: int) -> None:
        needed = self.checkpoint_bytes(args.world_size if args.deepspeed else 1)
        problem: DiskFull | None = None
        if args.process_index == 0:
            folder = checkpoints_dir(self.run_dir)
            folder.mkdir(parents=True, exist_ok=True)
            try:
                require_space(folder, needed, f"checkpoint-{step}")
            except DiskFull as error:
                problem = error
        if largest_of_ranks(int(problem is not None), args.device):
            raise problem or DiskFull(tr("rank 0 has no room for checkpoint-{step}", step=step))


def _wait_for_all() -> None:
    if in_group():
        torch.distributed.barrier()
