"""A run is resumed from any folder, and finds data that were moved by what is in them."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainers.plans import lora_plan
from trainers import exit_codes
from trainers.errors import PlanRefused
from trainers.plan import DatasetRef, TrainingPlan, load_plan, plan_from_dict
from trainers.run_folder.fingerprint import hold_to_start
from trainers.supervision.moved import with_files, with_processes
from trainers.supervision.resume import resume_run
from trainers.supervision.supervise import Supervisor


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[TrainingPlan, Path]:
    """A plan whose data are named relative to the folder that it was started in, and its run folder."""
    home = tmp_path / "home"
    (home / "data").mkdir(parents=True)
    (home / "data" / "chats.jsonl").write_text('{"text": "one"}\n')
    monkeypatch.chdir(home)
    plan = lora_plan(dataset=DatasetRef(source="data/chats.jsonl")).anchored()
    run_dir = tmp_path / "runs" / "run"
    run_dir.mkdir(parents=True)
    hold_to_start(plan, run_dir)
    return plan, run_dir


def test_a_plan_is_anchored_to_where_its_paths_are(started: tuple[TrainingPlan, Path], tmp_path: Path) -> None:
    plan, _ = started
    assert plan.dataset is not None
    assert plan.dataset.source == str(tmp_path / "home" / "data" / "chats.jsonl")
    on_hub = lora_plan(dataset=DatasetRef(source="org/chats"))
    assert on_hub.anchored() == on_hub
    pattern = lora_plan(dataset=DatasetRef(source="data/*.jsonl")).anchored()
    assert pattern.dataset is not None
    assert pattern.dataset.source == str(tmp_path / "home" / "data" / "*.jsonl")


def test_data_that_are_where_the_plan_says_are_taken_from_any_folder(
    started: tuple[TrainingPlan, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, run_dir = started
    monkeypatch.chdir("/")
    assert with_files(plan, run_dir) == (plan, "")
    hold_to_start(plan, run_dir)


@pytest.mark.parametrize("place", ["home", "runs", "runs/run"])
def test_moved_data_are_found_by_their_content(
    started: tuple[TrainingPlan, Path], tmp_path: Path, place: str
) -> None:
    plan, run_dir = started
    assert plan.dataset is not None
    Path(plan.dataset.source).rename(tmp_path / place / "chats.jsonl")
    found, sentence = with_files(plan, run_dir)
    assert found.dataset is not None
    assert found.dataset.source == str(tmp_path / place / "chats.jsonl")
    assert str(tmp_path / place) in sentence
    hold_to_start(found, run_dir)


def test_a_project_that_is_moved_whole_goes_on_with_both_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, now = tmp_path / "before", tmp_path / "now"
    (before / "data" / "held").mkdir(parents=True)
    for name in ("rows.jsonl", "held/rows.jsonl"):
        (before / "data" / name).write_text(json.dumps({"text": name}))
    files = {"source": "data/rows.jsonl", "eval_source": "data/held/rows.jsonl"}
    monkeypatch.chdir(before)
    plan = lora_plan(dataset=DatasetRef(**files)).anchored()
    (before / "runs" / "run").mkdir(parents=True)
    hold_to_start(plan, before / "runs" / "run")
    monkeypatch.chdir("/")
    before.rename(now)
    found, sentence = with_files(plan, now / "runs" / "run")
    assert found.dataset is not None
    assert (found.dataset.source, found.dataset.eval_source) == tuple(str(now / one) for one in files.values())
    assert sentence.count(str(now)) == 2
    hold_to_start(found, now / "runs" / "run")
    (now / "data" / "held" / "rows.jsonl").unlink()
    with pytest.raises(PlanRefused, match="judge by are no longer at") as refused:
        with_files(plan, now / "runs" / "run")
    assert str(now / "runs") in refused.value.why


MODEL_FILES = {"config.json": b"{}", "model.safetensors": b"weights" * 1_000_000, "README.md": b"notes"}


@pytest.fixture
def on_a_folder(tmp_path: Path) -> tuple[TrainingPlan, Path, Path]:
    """A plan on a model's folder and an adapter's, its run folder, and the model's folder, moved beside the run."""
    folders = {"base": tmp_path / "models" / "base", "adapter": tmp_path / "adapter"}
    for folder in folders.values():
        folder.mkdir(parents=True)
        for name, content in MODEL_FILES.items():
            (folder / name).write_bytes(content)
    plan = lora_plan(model={"name": str(folders["base"])}, start_adapter=str(folders["adapter"]))
    run_dir = tmp_path / "runs" / "run"
    run_dir.mkdir(parents=True)
    hold_to_start(plan, run_dir)
    assert with_files(plan, run_dir) == (plan, "")
    now = tmp_path / "runs" / "base"
    folders["base"].rename(now)
    return plan, run_dir, now


def test_a_moved_model_and_adapter_are_found_by_their_content(on_a_folder: tuple[TrainingPlan, Path, Path]) -> None:
    plan, run_dir, now = on_a_folder
    Path(plan.start_adapter or "").rename(run_dir / "adapter")
    found, sentence = with_files(plan, run_dir)
    assert (found.model.name, found.start_adapter) == (str(now), str(run_dir / "adapter"))
    assert sentence == f"the base model was found in {now}; the adapter to go on from was found in {run_dir}/adapter"
    (now / "README.md").write_text("other notes")
    hold_to_start(found, run_dir)


@pytest.mark.parametrize("byte", [0, 3_500_000, 6_999_999])
def test_a_model_of_that_name_with_other_weights_is_not_taken(
    on_a_folder: tuple[TrainingPlan, Path, Path], byte: int
) -> None:
    plan, run_dir, now = on_a_folder
    weights = bytearray(MODEL_FILES["model.safetensors"])
    weights[byte] ^= 1
    (now / "model.safetensors").write_bytes(weights)
    if byte != 3_500_000:  # between two samples: a damage is for sums to find, another training changes all
        with pytest.raises(PlanRefused, match="base model is no longer at") as refused:
            with_files(plan, run_dir)
        assert f"sft-advisor runs resume {run_dir} --model PATH" in refused.value.fix
    (now / "config.json").write_text('{"other": 1}')
    named, sentence = with_files(plan, run_dir, model=str(now))
    assert sentence == f"the base model is taken from {now}"
    with pytest.raises(PlanRefused, match="runs/base has another content"):
        hold_to_start(named, run_dir)


def test_a_record_that_knows_no_content_holds_a_model_to_its_place(
    on_a_folder: tuple[TrainingPlan, Path, Path],
) -> None:
    plan, run_dir, now = on_a_folder
    record = run_dir / "fingerprint.json"
    kept = {name: value for name, value in json.loads(record.read_bytes()).items() if "content" not in name}
    record.write_text(json.dumps(kept | {"dataset.content": "org/data"}))
    with pytest.raises(PlanRefused, match="no longer at"):
        with_files(plan, run_dir)
    now.rename(plan.model.name)
    hold_to_start(plan, run_dir)
    other = msgspec.structs.replace(plan, model=msgspec.structs.replace(plan.model, name=str(run_dir)))
    with pytest.raises(PlanRefused, match=r"model\.name"):
        hold_to_start(other, run_dir)


def test_data_of_that_name_with_another_content_are_not_taken(started: tuple[TrainingPlan, Path]) -> None:
    plan, run_dir = started
    assert plan.dataset is not None
    Path(plan.dataset.source).unlink()
    (run_dir / "chats.jsonl").write_text('{"text": "two"}\n')
    with pytest.raises(PlanRefused, match="no longer at") as refused:
        with_files(plan, run_dir)
    assert f"sft-advisor runs resume {run_dir} --dataset PATH" in refused.value.fix
    named, _ = with_files(plan, run_dir, dataset=str(run_dir / "chats.jsonl"))
    with pytest.raises(PlanRefused, match=r"chats\.jsonl has another content"):
        hold_to_start(named, run_dir)


def test_a_run_of_a_version_that_kept_relative_paths_goes_on_in_the_folder_it_was_started_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    plan = msgspec.structs.replace(lora_plan(), model=msgspec.structs.replace(lora_plan().model, name="model"))
    hold_to_start(plan, tmp_path / "run")
    hold_to_start(plan.anchored(), tmp_path / "run")


@pytest.mark.slow
@pytest.mark.usefixtures("warm_children")
def test_a_stopped_run_is_finished_from_another_folder_with_its_data_and_model_moved(
    make_plan: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = make_plan(max_steps=4, save_steps=2, eval_steps=100)
    chats = Path(raw["dataset"]["source"])
    model = shutil.copytree(raw["model"]["name"], tmp_path / "model")
    (tmp_path / "chats.jsonl").write_bytes(chats.read_bytes())
    monkeypatch.chdir(tmp_path)
    raw["dataset"]["source"] = "chats.jsonl"
    raw["model"]["name"] = os.path.relpath(model, tmp_path)
    run_dir = tmp_path / "runs" / "run"
    monkeypatch.setenv("FAULT", json.dumps({"kill_at": 4}))
    killed = Supervisor(run_dir, module="tests.trainers.faulty_run").carry_out(plan_from_dict(raw))
    assert killed != exit_codes.DONE
    monkeypatch.chdir("/")
    (tmp_path / "chats.jsonl").rename(run_dir.parent / "chats.jsonl")
    model.rename(run_dir / "model")
    assert resume_run(run_dir) == exit_codes.DONE
    resumed = json.loads((run_dir / "run.json").read_bytes())["attempts"][-1]["resumed_from_step"]
    assert resumed == 2
    after = load_plan(run_dir / "plan.toml")
    assert after.dataset is not None
    assert after.dataset.source == str(run_dir.parent / "chats.jsonl")
    assert after.model.name == str(run_dir / "model")
    assert json.loads((run_dir / "run.json").read_bytes())["reload"]["passed"]


@given(rows=st.integers(1, 16), passes=st.integers(1, 8), before=st.integers(1, 4), now=st.integers(1, 8))
def test_over_other_processes_a_step_learns_from_as_many_examples(
    rows: int, passes: int, before: int, now: int
) -> None:
    plan = lora_plan(
        micro_batch_size=rows,
        gradient_accumulation_steps=passes,
        num_gpus=before,
        sharding="fsdp" if before > 1 else "none",
        device_uuids=["0"],
    )
    if plan.global_batch_size % now:
        with pytest.raises(PlanRefused, match="cannot be spread"):
            with_processes(plan, now)
        return
    moved = with_processes(plan, now)
    assert moved.global_batch_size == plan.global_batch_size
    assert moved.num_gpus == now
    assert moved.micro_batch_size <= rows or now == before
    if now == before:
        assert moved == plan
    else:
        assert moved.sharding == ("none" if now == 1 else "fsdp" if before > 1 else "ddp")
        assert moved.device_uuids == ()


def test_sharding_is_named_where_one_process_becomes_several() -> None:
    assert with_processes(lora_plan(micro_batch_size=4), 2, "fsdp").sharding == "fsdp"
    with pytest.raises(PlanRefused, match="num_gpus > 1 needs sharding"):
        with_processes(lora_plan(micro_batch_size=4), 2, "none")
