import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.trainers.fake_checkpoint import write_checkpoint
from trainers.checkpoint import (
    SEAL,
    checkpoint_problems,
    checkpoints_dir,
    choose_checkpoint,
    find_resumable,
    is_disk_full,
    require_space,
    rotate,
    scan,
    seal,
)
from trainers.errors import DiskFull, PlanRefused


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return checkpoints_dir(tmp_path)


def test_a_whole_checkpoint_has_no_problems_sealed_or_not(folder: Path) -> None:
    path = write_checkpoint(folder, 10)
    assert checkpoint_problems(path) == []
    seal(path, step=10, world_size=1)
    assert checkpoint_problems(path) == []
    assert SEAL not in json.loads((path / SEAL).read_bytes())["files"]


@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.parametrize(
    "name", ["adapter_model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"]
)
def test_each_missing_file_is_noticed(folder: Path, name: str, sealed: bool) -> None:
    path = write_checkpoint(folder, 10)
    if sealed:
        seal(path, step=10, world_size=1)
    (path / name).unlink()
    assert checkpoint_problems(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["adapter_model.safetensors", "optimizer.pt", "scheduler.pt", "trainer_state.json"]),
    share=st.floats(0, 0.999),
)
def test_each_truncation_is_noticed_without_a_seal(
    tmp_path_factory: pytest.TempPathFactory, name: str, share: float
) -> None:
    path = write_checkpoint(tmp_path_factory.mktemp("run") / "checkpoints", 10)
    content = (path / name).read_bytes()
    (path / name).write_bytes(content[: int(len(content) * share)])
    assert checkpoint_problems(path)


def test_a_changed_byte_of_a_sealed_small_file_is_noticed(folder: Path) -> None:
    path = write_checkpoint(folder, 10)
    seal(path, step=10, world_size=1)
    content = bytearray((path / "adapter_model.safetensors").read_bytes())
    content[-1] ^= 1
    (path / "adapter_model.safetensors").write_bytes(content)
    assert checkpoint_problems(path) == ["adapter_model.safetensors was changed after it was written"]


def test_a_missing_shard_and_a_missing_rank_are_noticed(folder: Path) -> None:
    path = write_checkpoint(folder, 10, ranks=3)
    (path / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "model-00002-of-00002.safetensors"}})
    )
    (path / "rng_state_1.pth").unlink()
    assert checkpoint_problems(path) == [
        "model-00002-of-00002.safetensors is missing or cut off",
        "the random number state of a rank is missing",
    ]


def test_a_checkpoint_of_a_diverged_step_is_not_gone_on_from(folder: Path, tmp_path: Path) -> None:
    write_checkpoint(folder, 10)
    bad = write_checkpoint(folder, 20, loss=float("nan"))
    seal(bad, step=20, world_size=1)
    assert checkpoint_problems(bad) == ["loss was not finite when it was written"]
    found = find_resumable(tmp_path)
    assert found is not None
    assert found.step == 10


def test_the_newest_complete_one_is_found_and_damaged_ones_put_away(folder: Path, tmp_path: Path) -> None:
    for step in (9, 10, 100):
        seal(write_checkpoint(folder, step), step=step, world_size=1)
    (folder / "checkpoint-100" / "optimizer.pt").write_bytes(b"PK half")
    found = find_resumable(tmp_path)
    assert found is not None
    assert (found.step, found.loss) == (10, 1.5)
    assert not (folder / "checkpoint-100").exists()
    assert "optimizer.pt" in (folder / "quarantine" / "checkpoint-100" / "WHY.txt").read_text()
    assert [checkpoint.step for checkpoint in scan(tmp_path)] == [10, 9]


def test_nothing_to_go_on_from(tmp_path: Path) -> None:
    assert find_resumable(tmp_path) is None
    assert choose_checkpoint(tmp_path, "never") is None


def test_a_named_checkpoint_is_checked(folder: Path, tmp_path: Path) -> None:
    path = write_checkpoint(folder, 10)
    found = choose_checkpoint(tmp_path, str(path))
    assert found is not None
    assert found.step == 10
    (path / "scheduler.pt").unlink()
    with pytest.raises(PlanRefused, match="learning rate would start over"):
        choose_checkpoint(tmp_path, str(path))
    with pytest.raises(PlanRefused, match="not a checkpoint-N folder"):
        choose_checkpoint(tmp_path, str(tmp_path))


def test_rotation_keeps_the_newest_complete_and_the_best(folder: Path, tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        seal(write_checkpoint(folder, step), step=step, world_size=1)
    broken = write_checkpoint(folder, 5)
    (broken / "optimizer.pt").unlink()
    rotate(tmp_path, keep=2, spare=folder / "checkpoint-1")
    assert sorted(path.name for path in folder.iterdir()) == [f"checkpoint-{step}" for step in (1, 3, 4, 5)]


def test_a_half_deleted_checkpoint_is_swept_away(folder: Path, tmp_path: Path) -> None:
    write_checkpoint(folder, 3)
    write_checkpoint(folder, 2).rename(folder / ".deleting-checkpoint-2")
    assert find_resumable(tmp_path) is not None
    assert [path.name for path in folder.iterdir()] == ["checkpoint-3"]


def test_room_is_required(tmp_path: Path) -> None:
    require_space(tmp_path, 1 << 20, "checkpoint-1")
    with pytest.raises(DiskFull, match="no room for checkpoint-1"):
        require_space(tmp_path, 1 << 60, "checkpoint-1")


def test_every_way_a_full_disk_shows_itself() -> None:
    assert is_disk_full(OSError(28, "No space left on device"))
    assert is_disk_full(RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"))
    assert is_disk_full(RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"))
    assert is_disk_full(RuntimeError("Error while serializing: I/O error: File too large (os error 27)"))
    assert not is_disk_full(RuntimeError("CUDA out of memory"))
    assert not is_disk_full(FileNotFoundError(2, "no such file"))
