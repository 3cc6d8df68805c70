import errno
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import TrainerControl, TrainerState, TrainingArguments

from tests.trainers.fake_checkpoint import write_checkpoint
from trainers.errors import DiskFull, RunError
from trainers.run_folder.checkpoint import SEAL, checkpoints_dir, scan
from trainers.training.saving import _OVERHEAD_BYTES, CheckpointKeeper


@pytest.fixture
def keeper(tmp_path: Path) -> CheckpointKeeper:
    """One that watches a stepped AdamW over a frozen layer and a trained one."""
    model = torch.nn.Sequential(torch.nn.Linear(256, 512, bias=False), torch.nn.Linear(512, 64, bias=False))
    model[0].requires_grad_(False)
    optimizer = torch.optim.AdamW([model[1].weight])
    model(torch.ones(1, 256)).sum().backward()
    optimizer.step()
    found = CheckpointKeeper(tmp_path, keep=2)
    args = TrainingArguments(output_dir=str(tmp_path / "checkpoints"), use_cpu=True, save_total_limit=2)
    found.on_train_begin(args, TrainerState(), TrainerControl(), model=model, optimizer=optimizer)
    assert args.save_total_limit is None, "the Trainer must not rotate by itself"
    return found


@pytest.fixture
def args(tmp_path: Path) -> TrainingArguments:
    return TrainingArguments(output_dir=str(tmp_path / "checkpoints"), use_cpu=True)


def with_weights(path: Path, keeper: CheckpointKeeper) -> Path:
    """The checkpoint with what the keeper's model trains."""
    assert keeper.model is not None
    save_file({"trained": keeper.model[1].weight.detach()}, path / "adapter_model.safetensors")  # type: ignore[index]
    return path


def test_the_size_is_that_of_trained_weights_and_optimizer_state(keeper: CheckpointKeeper, tmp_path: Path) -> None:
    assert keeper.model is not None and keeper.optimizer is not None
    torch.save(keeper.model[1].state_dict(), tmp_path / "weights")  # type: ignore[index]
    torch.save(keeper.optimizer.state_dict(), tmp_path / "optimizer")
    written = sum((tmp_path / name).stat().st_size for name in ("weights", "optimizer"))
    predicted = keeper.checkpoint_bytes() - _OVERHEAD_BYTES
    assert predicted == 3 * 64 * 512 * 4 + 4  # weight, two moments, and AdamW's step count
    assert predicted <= written <= 1.05 * predicted


def test_a_save_without_room_is_stopped_before_it_begins(
    keeper: CheckpointKeeper, args: TrainingArguments, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1 << 20))
    state, control = TrainerState(global_step=7), TrainerControl()
    keeper.on_step_end(args, state, control)
    control.should_save = True
    with pytest.raises(DiskFull, match="no room for checkpoint-7") as stopped:
        keeper.on_step_end(args, state, control)
    assert "start the same run again" in stopped.value.fix


def test_old_checkpoints_go_only_after_the_new_one_is_sealed(
    keeper: CheckpointKeeper, args: TrainingArguments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = checkpoints_dir(tmp_path)
    for step in (1, 2, 3):
        with_weights(write_checkpoint(folder, step), keeper)
        keeper.on_save(args, TrainerState(global_step=step), TrainerControl())
    assert [found.step for found in scan(tmp_path)] == [3, 2]

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with_weights(write_checkpoint(folder, 4), keeper)
    monkeypatch.setattr("trainers.training.saving.seal", full)
    with pytest.raises(OSError, match="No space left"):
        keeper.on_save(args, TrainerState(global_step=4), TrainerControl())
    assert {path.name for path in folder.iterdir()} == {"checkpoint-2", "checkpoint-3", "checkpoint-4"}
    assert (folder / "checkpoint-3" / SEAL).exists()


def test_a_checkpoint_that_lacks_what_was_trained_is_never_sealed(
    keeper: CheckpointKeeper, args: TrainingArguments, tmp_path: Path
) -> None:
    """An adapter whose names a wrapper had changed is written as an empty file, without an error."""
    path = write_checkpoint(checkpoints_dir(tmp_path), 5)
    save_file({}, path / "adapter_model.safetensors")
    with pytest.raises(RunError, match="checkpoint-5 is not what was trained") as refused:
        keeper.on_save(args, TrainerState(global_step=5), TrainerControl())
    assert "32,768 numbers were trained and 0 were saved" in refused.value.why
    assert not (path / SEAL).exists()
