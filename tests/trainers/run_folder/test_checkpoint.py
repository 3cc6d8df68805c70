import hashlib
import json
import os
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.trainers.fake_checkpoint import write_checkpoint
from trainers.errors import DiskFull, PlanRefused
from trainers.run_folder.checkpoint import (
    SEAL,
    SPARE_BYTES,
    VERIFIED,
    checkpoint_problems,
    checkpoints_dir,
    choose_checkpoint,
    find_resumable,
    is_disk_full,
    require_space,
    rotate,
    scan,
    seal,
    written_by,
)


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
    assert (found.step, found.path) == (10, path)
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


def flip_a_byte(file: Path) -> None:
    with file.open("r+b") as content:
        content.seek(file.stat().st_size // 2)
        (byte,) = content.read(1)
        content.seek(-1, 1)
        content.write(bytes([byte ^ 1]))


@pytest.mark.parametrize(
    "name", ["adapter_model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"]
)
def test_one_changed_byte_of_any_file_sends_the_run_to_the_older_checkpoint(
    folder: Path, tmp_path: Path, name: str
) -> None:
    for step in (10, 20):
        path = write_checkpoint(folder, step)
        with (path / "optimizer.pt").open("ab") as large:
            large.write(bytes(3 << 20))
        seal(path, step=step, world_size=1)
    flip_a_byte(folder / "checkpoint-20" / name)
    found = find_resumable(tmp_path)
    assert found is not None
    assert found.step == 10
    assert (folder / "quarantine" / "checkpoint-20" / "WHY.txt").read_text() == (
        f"{name} was changed after it was written\n"
    )


def test_two_damaged_checkpoints_in_a_row_are_both_put_away(folder: Path, tmp_path: Path) -> None:
    for step in (10, 20, 30):
        seal(write_checkpoint(folder, step), step=step, world_size=1)
    for step in (20, 30):
        flip_a_byte(folder / f"checkpoint-{step}" / "optimizer.pt")
    found = find_resumable(tmp_path)
    assert found is not None
    assert found.step == 10
    assert [path.name for path in (folder / "quarantine").iterdir()] == ["checkpoint-20"]


def test_a_checkpoint_just_verified_is_not_read_again_unless_it_was_touched(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_checkpoint(folder, 10)
    seal(path, step=10, world_size=1)
    assert checkpoint_problems(path) == []
    with monkeypatch.context() as patched:
        patched.setattr("trainers.run_folder.checkpoint._digests", lambda files: pytest.fail("read again"))
        assert checkpoint_problems(path) == []
    flip_a_byte(path / "optimizer.pt")
    assert checkpoint_problems(path) == ["optimizer.pt was changed after it was written"]


def test_a_verified_checkpoint_is_read_again_later(folder: Path) -> None:
    path = write_checkpoint(folder, 10)
    seal(path, step=10, world_size=1)
    assert checkpoint_problems(path) == []
    stamp = (path / "optimizer.pt").stat().st_mtime_ns
    flip_a_byte(path / "optimizer.pt")
    os.utime(path / "optimizer.pt", ns=(stamp, stamp))
    assert checkpoint_problems(path) == []
    os.utime(path / VERIFIED, (0, 0))
    assert checkpoint_problems(path) == ["optimizer.pt was changed after it was written"]


def test_auto_takes_the_newest_whole_one(folder: Path, tmp_path: Path) -> None:
    for step in (10, 20):
        seal(write_checkpoint(folder, step), step=step, world_size=1)
    found = choose_checkpoint(tmp_path, "auto")
    assert found is not None
    assert (found.step, found.path, found.problems) == (20, folder / "checkpoint-20", ())
    (folder / "checkpoint-20" / "optimizer.pt").unlink()
    older = choose_checkpoint(tmp_path, "auto")
    assert older is not None
    assert older.step == 10


def test_never_goes_on_from_none_and_touches_none(folder: Path, tmp_path: Path) -> None:
    (write_checkpoint(folder, 10) / "optimizer.pt").unlink()
    assert choose_checkpoint(tmp_path, "never") is None
    assert [path.name for path in folder.iterdir()] == ["checkpoint-10"]


def test_a_refusal_says_which_folder_every_reason_and_what_to_do(folder: Path, tmp_path: Path) -> None:
    path = write_checkpoint(folder, 10)
    (path / "scheduler.pt").unlink()
    (path / "rng_state.pth").unlink()
    with pytest.raises(PlanRefused) as refused:
        choose_checkpoint(tmp_path, str(path))
    assert refused.value.what == f"cannot resume from {path}"
    assert refused.value.why == (
        "scheduler.pt is missing: the learning rate would start over; the random number state is missing"
    )
    assert "--resume auto" in refused.value.fix


def test_a_seal_holds_size_and_digest_of_every_file_below_but_its_own(folder: Path) -> None:
    path = write_checkpoint(folder, 10)
    (path / "part").mkdir()
    (path / "part" / "large.bin").write_bytes(bytes(3 << 20))
    seal(path, step=10, world_size=4)
    assert checkpoint_problems(path) == []  # leaves .verified.json behind
    seal(path, step=10, world_size=4)
    content = json.loads((path / SEAL).read_bytes())
    assert (content["step"], content["world_size"], content["schema"]) == (10, 4, "sft-advisor/checkpoint/v1")
    files = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
    assert set(content["files"]) == set(files) - {SEAL, VERIFIED}
    for name, sealed in content["files"].items():
        assert sealed["bytes"] == files[name].stat().st_size
        assert sealed["sha256"] == hashlib.sha256(files[name].read_bytes()).hexdigest()


def test_a_seal_that_cannot_be_read_and_a_file_of_another_size_are_said(folder: Path) -> None:
    path = write_checkpoint(folder, 10)
    seal(path, step=10, world_size=1)
    size = (path / "optimizer.pt").stat().st_size
    with (path / "optimizer.pt").open("ab") as file:
        file.write(b"more")
    (path / "scheduler.pt").unlink()
    assert checkpoint_problems(path) == [
        f"optimizer.pt has {size + 4} bytes instead of {size}",
        "scheduler.pt is missing",
    ]
    (path / SEAL).write_text("{")
    (problem,) = checkpoint_problems(path)
    assert problem.startswith(f"{SEAL} cannot be read: ")


def test_a_seal_of_version_0_1_without_digests_still_counts(folder: Path) -> None:
    path = write_checkpoint(folder, 10)
    seal(path, step=10, world_size=1)
    content = json.loads((path / SEAL).read_bytes())
    content["files"]["optimizer.pt"]["sha256"] = None
    (path / SEAL).write_text(json.dumps(content))
    assert checkpoint_problems(path) == []


def test_a_scan_reads_sizes_only_and_takes_nothing_else_for_a_checkpoint(folder: Path, tmp_path: Path) -> None:
    for step in (5, 40):
        seal(write_checkpoint(folder, step), step=step, world_size=1)
    flip_a_byte(folder / "checkpoint-40" / "optimizer.pt")
    (folder / "checkpoint-last").mkdir()
    (folder / "checkpoint-7").write_text("a file")
    assert [(found.step, found.problems) for found in scan(tmp_path)] == [(40, ()), (5, ())]


def test_the_loss_is_the_last_one_logged(folder: Path, tmp_path: Path) -> None:
    path = write_checkpoint(folder, 10)
    log = [{"loss": 3.0}, {"loss": 2.0}, {"eval_loss": 9.0}]
    (path / "trainer_state.json").write_text(json.dumps({"global_step": 10, "log_history": log}))
    assert scan(tmp_path)[0].loss == 2.0
    (path / "trainer_state.json").unlink()
    assert scan(tmp_path)[0].loss is None


@pytest.mark.parametrize(("spare_bytes", "enough"), [(-1, False), (0, True)])
def test_a_little_room_beyond_the_checkpoint_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spare_bytes: int, enough: bool
) -> None:
    """How much is free is the one thing that a test cannot set."""
    needed = 5 << 20
    free = shutil.disk_usage(tmp_path)._replace(free=needed + SPARE_BYTES + spare_bytes)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: free)
    if enough:
        require_space(tmp_path, needed, "checkpoint-1")
        return
    with pytest.raises(DiskFull) as refused:
        require_space(tmp_path, needed, "checkpoint-1")
    assert refused.value.what == (
        f"no room for checkpoint-1: it needs 5 MiB and 64 MiB beyond it, and {tmp_path} has 69 MiB free"
    )
    assert refused.value.why == "stopped before writing, so that no checkpoint is lost"
    assert refused.value.fix.startswith("free some space, then start the same run again")


def test_rotation_gives_what_it_deleted(folder: Path, tmp_path: Path) -> None:
    for step in (1, 2, 3):
        seal(write_checkpoint(folder, step), step=step, world_size=1)
    assert rotate(tmp_path, keep=3) == []
    assert rotate(tmp_path, keep=1) == [folder / "checkpoint-2", folder / "checkpoint-1"]
    assert [path.name for path in folder.iterdir()] == ["checkpoint-3"]


def test_what_was_verified_in_the_future_is_verified_again(folder: Path) -> None:
    """A clock that was set back must not make a checkpoint good for ever."""
    path = write_checkpoint(folder, 10)
    seal(path, step=10, world_size=1)
    assert checkpoint_problems(path) == []
    stamp = (path / "optimizer.pt").stat().st_mtime_ns
    flip_a_byte(path / "optimizer.pt")
    os.utime(path / "optimizer.pt", ns=(stamp, stamp))
    later = time.time() + 10_000
    os.utime(path / VERIFIED, (later, later))
    assert checkpoint_problems(path) == ["optimizer.pt was changed after it was written"]


def test_a_seal_tells_how_many_processes_wrote_a_checkpoint(folder: Path) -> None:
    path = write_checkpoint(folder, 10)
    assert written_by(path) is None
    seal(path, step=10, world_size=1)
    (path / SEAL).write_text(json.dumps({**json.loads((path / SEAL).read_bytes()), "world_size": 4}))
    assert written_by(path) == 4
    (path / SEAL).write_text('{"world_size": "four"}')
    assert written_by(path) is None
