"""What a checkpoint without a seal is judged by: each way in which a resume from it would fail or differ."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.trainers.fake_checkpoint import safetensors_bytes, write_archive, write_checkpoint
from trainers.run_folder.checkpoint import checkpoint_problems, checkpoints_dir, is_disk_full, quarantine

INDEX = "m.safetensors.index.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return checkpoints_dir(tmp_path)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda path: (path / "adapter_model.safetensors").unlink(), "no weights"),
        (lambda path: (path / "checkpoint-is-incomplete.txt").touch(), "it is marked as incomplete"),
        (lambda path: (path / "trainer_state.json").write_text("[]"), "trainer_state.json is missing or cut off"),
        (
            lambda path: (path / "trainer_state.json").write_text('{"global_step": 9}'),
            "trainer_state.json is of step 9",
        ),
        (lambda path: (path / "optimizer.pt").unlink(), "the optimizer's state is missing"),
        (lambda path: (path / "optimizer.pt").write_bytes(b"PK"), "optimizer.pt is cut off"),
        (lambda path: (path / "rng_state.pth").unlink(), "the random number state is missing"),
        (lambda path: (path / "pytorch_model_fsdp_0").mkdir(), "pytorch_model_fsdp_0 is missing or cut off"),
        (
            lambda path: (path / "m.safetensors.index.json").write_text("{"),
            "m.safetensors.index.json (its list) is missing",
        ),
        (
            lambda path: (path / "m.safetensors.index.json").write_text('{"weight_map": {}}'),
            "m.safetensors.index.json (its list)",
        ),
        (
            lambda path: (path / "m.safetensors.index.json").write_text('{"weight_map": [1]}'),
            "m.safetensors.index.json (its list)",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "damage",
)
def test_each_damage_of_an_unsealed_checkpoint_is_named(
    folder: Path, damage: Callable[[Path], object], problem: str
) -> None:
    path = write_checkpoint(folder, 10)
    damage(path)
    (found,) = checkpoint_problems(path)
    assert found.startswith(problem)


def test_sharded_parts_stand_for_weights_optimizer_and_schedule(folder: Path) -> None:
    fsdp = write_checkpoint(folder, 10)
    (fsdp / "adapter_model.safetensors").unlink()
    (fsdp / "optimizer.pt").unlink()
    for name in ("pytorch_model_fsdp_0", "optimizer_0"):
        (fsdp / name).mkdir()
        (fsdp / name / "__0_0.distcp").write_bytes(b"part")
    assert checkpoint_problems(fsdp) == []
    deepspeed = write_checkpoint(folder, 20)
    for name in ("adapter_model.safetensors", "optimizer.pt", "scheduler.pt"):
        (deepspeed / name).unlink()
    (deepspeed / "global_step20").mkdir()
    (deepspeed / "global_step20" / "mp_rank_00_model_states.pt").write_bytes(b"part")
    assert checkpoint_problems(deepspeed) == []


def test_the_state_of_each_rank_is_wanted(folder: Path) -> None:
    path = write_checkpoint(folder, 10, ranks=2)
    assert checkpoint_problems(path) == []
    (path / "rng_state_1.pth").unlink()
    assert checkpoint_problems(path) == ["the random number state of a rank is missing"]


def weights(header: object, tensors: int = 0) -> bytes:
    """A safetensors file with this header, whatever it holds, and so many bytes behind it."""
    content = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(content)) + content + b"\0" * tensors


@pytest.mark.parametrize(
    ("content", "is_whole"),
    [
        (safetensors_bytes(), True),
        (weights({"w": {"data_offsets": [0, 8]}, "v": {"data_offsets": [8, 12]}}, 12), True),
        (weights({"__metadata__": {"format": "pt"}, "w": {"data_offsets": [0, 8]}}, 8), True),
        (weights({}), True),
        (weights({"w": {"data_offsets": [0, 8]}}, 7), False),
        (weights({"w": {"data_offsets": [0, 8]}}, 9), False),
        (weights({"w": {"data_offsets": [0, "8"]}}, 8), False),
        (weights({"w": {}}), False),
        (weights([1]), False),
        (weights(b"{"), False),
        (b"\0" * 7, False),
        (struct.pack("<Q", 1 << 63) + b"{}", False),
    ],
)
def test_weights_are_whole_when_the_file_ends_where_its_header_says(
    folder: Path, content: bytes, is_whole: bool
) -> None:
    path = write_checkpoint(folder, 10)
    (path / "adapter_model.safetensors").write_bytes(content)
    expected = [] if is_whole else ["adapter_model.safetensors is missing or cut off"]
    assert checkpoint_problems(path) == expected


def test_the_optimizer_of_fsdp_is_known_by_its_own_name(folder: Path) -> None:
    path = write_checkpoint(folder, 10)
    (path / "optimizer.pt").unlink()
    write_archive(path / "optimizer.bin")
    assert checkpoint_problems(path) == []
    (path / "optimizer.bin").write_bytes(b"PK")
    assert checkpoint_problems(path) == ["optimizer.bin is cut off"]


def test_names_that_no_rank_has_are_no_states_of_ranks(folder: Path) -> None:
    path = write_checkpoint(folder, 10, ranks=2)
    for name in ("rng_state_old.pth", "rng_state_12345678901.pth"):
        write_archive(path / name)
    assert checkpoint_problems(path) == []


@pytest.mark.parametrize("key", ["loss", "grad_norm"])
def test_a_figure_that_is_not_finite_is_named(folder: Path, key: str) -> None:
    path = write_checkpoint(folder, 10)
    entry: dict[str, Any] = {"loss": 1.0, "grad_norm": 0.5, key: float("nan")}
    (path / "trainer_state.json").write_text(json.dumps({"global_step": 10, "log_history": [entry]}))
    assert checkpoint_problems(path) == [f"{key} was not finite when it was written"]


def test_a_checkpoint_that_was_put_away_says_why_a_reason_a_line(folder: Path) -> None:
    quarantine(write_checkpoint(folder, 10), ["one thing", "another"])
    assert (folder / "quarantine" / "checkpoint-10" / "WHY.txt").read_text() == "one thing\nanother\n"


@pytest.mark.parametrize("text", ["PytorchStreamWriter failed writing file data/1", "tar: No space left on device"])
def test_a_full_disk_is_known_by_the_words_of_who_writes(text: str) -> None:
    assert is_disk_full(RuntimeError(text))
