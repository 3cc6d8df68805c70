"""A job folder holds what it needs, reads the same data, and its scripts try, train, stop and go on."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from importlib import metadata
from pathlib import Path

import msgspec
import pytest

from tests.trainers.plans import lora_plan
from tests.waiting import PATIENCE_SECONDS
from trainers.errors import PlanRefused
from trainers.examples.sets import sets_of
from trainers.export import carried, write
from trainers.export.job import trial_of
from trainers.export.wheel import CONSTRAINTS, write_wheel
from trainers.network import network_of
from trainers.plan import TrainingPlan, load_plan

ROW = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}


def rows(path: Path, count: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(ROW | {"n": number}) + "\n" for number in range(count)), encoding="utf-8")
    return path


def seen(plan: TrainingPlan) -> tuple[list[object], list[object]]:
    """The rows that a plan trains and evaluates on, as the trainer finds them."""
    assert plan.dataset is not None
    sets = sets_of(plan.dataset)
    held = list(sets.eval.rows()) if sets.eval else []
    return [row.value for row in sets.train.rows()], [row.value for row in held]


def datasets(folder: Path) -> dict[str, dict[str, object]]:
    """Each way in which a plan can name data on this disk."""
    one = rows(folder / "one" / "train.jsonl", 3)
    rows(folder / "one" / "eval.jsonl", 2)
    alone = rows(folder / "alone" / "chats.jsonl", 4)
    held = rows(folder / "held out.jsonl", 2)
    shards = rows(folder / "shards" / "a-train.jsonl", 2).parent
    rows(shards / "b-train.jsonl", 3)
    return {
        "a file with one beside it that evaluates": {"source": str(one)},
        "a file": {"source": str(alone)},
        "another set": {"source": str(alone), "eval_source": str(held)},
        "a folder": {"source": str(shards)},
        "a pattern": {"source": f"{shards}/*.jsonl"},
        "a mixture": {"source": f"{alone}:0.5 {one}:0.5"},
        "a mixture of all": {"source": f"{alone} {one}"},
    }


KINDS = (
    "a file with one beside it that evaluates",
    "a file",
    "another set",
    "a folder",
    "a pattern",
    "a mixture",
    "a mixture of all",
)


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_trains_on_the_same_rows_from_its_own_folder(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = lora_plan(dataset=datasets(tmp_path / "here")[kind])
    before = seen(plan)
    moved = carried.bring(plan, tmp_path / "job")
    (tmp_path / "here").rename(tmp_path / "gone")
    monkeypatch.chdir(tmp_path / "job")
    assert seen(moved) == before
    assert before[0] and network_of(moved, {}) == "hub", "the model is a hub id, the data is not"


def test_a_hub_id_is_left_to_the_place(tmp_path: Path) -> None:
    plan = lora_plan()
    assert carried.bring(plan, tmp_path) == plan
    assert not list(tmp_path.iterdir())


def test_a_local_model_travels_and_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tmp_path / "model"
    (model / ".cache").mkdir(parents=True)
    (model / "config.json").write_text("{}")
    (model / ".cache" / "lock").write_text("")
    plan = lora_plan(model={"name": str(model)}, dataset={"source": str(rows(tmp_path / "a.jsonl", 1))})
    moved = carried.bring(plan, tmp_path / "job")
    assert moved.model.name == "./model"
    assert [file.name for file in (tmp_path / "job" / "model").iterdir()] == ["config.json"]
    assert network_of(moved, {}) == "none"
    monkeypatch.chdir(tmp_path / "job")
    assert Path(moved.model.name, "config.json").is_file()


def test_a_large_file_shares_its_blocks_and_a_small_one_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, large = rows(tmp_path / "small.jsonl", 1), rows(tmp_path / "large.jsonl", 50)
    monkeypatch.setattr(carried, "COPIED_BYTES", 1000)
    for file in (small, large):
        carried.put(file, tmp_path / "job" / file.name)
        carried.put(file, tmp_path / "job" / file.name)  # again, over what lies there
        assert (tmp_path / "job" / file.name).read_bytes() == file.read_bytes()
    assert (tmp_path / "job" / "large.jsonl").samefile(large)
    assert not (tmp_path / "job" / "small.jsonl").samefile(small)


def test_what_lies_in_the_job_already_stays(tmp_path: Path) -> None:
    own = rows(tmp_path / "data" / "a.jsonl", 2)
    before = own.read_bytes()
    moved = carried.bring(lora_plan(dataset={"source": str(own)}), tmp_path)
    assert own.read_bytes() == before and moved.dataset is not None and moved.dataset.source == "./data/a.jsonl"


def test_the_trial_takes_two_steps_with_checkpoints_and_evaluates_nothing() -> None:
    trial = trial_of(lora_plan(dataset={"source": "a.jsonl", "eval_source": "b.jsonl"}, report_to=["wandb"]))
    assert (trial.max_steps, trial.save_steps, trial.report_to) == (2, 1, ())
    assert trial.dataset is not None
    assert (trial.dataset.eval_source, trial.dataset.eval_fraction, trial.load_best_model_at_end) == (
        None,
        0.0,
        False,
    )


def test_the_wheel_is_one_that_python_can_import_from_and_pip_can_read(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path)
    version = metadata.version("sft-advisor")
    assert wheel.name == f"sft_advisor-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        record = archive.read(f"sft_advisor-{version}.dist-info/RECORD").decode().splitlines()
    assert {line.split(",")[0] for line in record} == names
    assert {"trainers/plan.py", "advisor/py.typed", "rules/sources.toml", "trainers/export/constraints.txt"} <= names
    assert not any("__pycache__" in name for name in names)
    asked = (
        "from importlib.metadata import version; import trainers.plan as p; print(version('sft-advisor'), p.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", asked], env={**os.environ, "PYTHONPATH": str(wheel)}, capture_output=True, text=True,
        check=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout.split() == [version, f"{wheel}/trainers/plan.py"]
    assert write_wheel(tmp_path / ".").read_bytes() == wheel.read_bytes()


def test_the_versions_that_travel_are_those_of_the_tests() -> None:
    assert CONSTRAINTS.read_bytes() == (Path(__file__).parents[3] / "constraints.txt").read_bytes()


STAND_IN = """#!/bin/bash
# In place of python: called as -P -m trainers.training.run PLAN --run-dir DIR --resume auto
echo "$4 $6" >> "$CALLS"
[ "$4" = plan.toml ] || { mkdir -p "$6/result"; exit "${TRIAL_CODE:-0}"; }
trap 'exit 75' TERM
touch "$6/started"
[ -z "${WAITS:-}" ] || for i in $(seq 600); do sleep 0.1; done
exit "${CODE:-0}"
"""


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A job with a stand-in for Python."""
    write(lora_plan(dataset={"source": str(rows(tmp_path / "a.jsonl", 2))}), "ssh", tmp_path / "job")
    (tmp_path / "python").write_text(STAND_IN)
    (tmp_path / "python").chmod(0o755)
    return tmp_path / "job"


def start(job: Path, **variables: str) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "PYTHON": str(job.parent / "python"),
        "CALLS": str(job.parent / "calls"),
        **variables,
    }
    return subprocess.Popen(
        ["bash", str(job / "start.sh")], env=environment, cwd="/", stdout=-1, stderr=-2, text=True
    )


def calls(job: Path) -> list[str]:
    return [line.split()[0] for line in (job.parent / "calls").read_text().splitlines()]


def test_a_job_tries_two_steps_and_then_trains_and_says_how_it_ended(job: Path) -> None:
    assert start(job).wait(PATIENCE_SECONDS) == 0
    assert calls(job) == ["trial.toml", "plan.toml"]
    assert (job / "run" / "exit_code").read_text() == "0\n"
    assert start(job, CODE="76").wait(PATIENCE_SECONDS) == 76
    assert calls(job)[2:] == ["plan.toml"], "what was tried is not tried again"
    assert (job / "run" / "exit_code").read_text() == "76\n"


def test_nothing_else_is_started_after_a_trial_that_failed(job: Path) -> None:
    process = start(job, TRIAL_CODE="5")
    said, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, calls(job)) == (5, ["trial.toml"])
    assert "the trial ended with 5" in said


def test_a_job_that_is_asked_to_stop_asks_the_training_and_waits_for_it(job: Path) -> None:
    process = start(job, WAITS="yes")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (job / "run" / "started").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_SECONDS) == 75
    assert (job / "run" / "exit_code").read_text() == "75\n"


def test_a_job_goes_where_run_dir_says(job: Path, tmp_path: Path) -> None:
    assert start(job, RUN_DIR=str(tmp_path / "else where")).wait(PATIENCE_SECONDS) == 0
    assert (tmp_path / "else where" / "exit_code").is_file() and not (job / "run").exists()


def test_the_written_plan_reads_inside_the_folder(job: Path) -> None:
    plan = load_plan(job / "plan.toml")
    assert plan.dataset is not None and plan.dataset.source == "./data/a.jsonl"


def _rows_with_pictures(folder: Path, *names: str) -> Path:
    turns = [{"role": "user", "content": "<image>\nWhat?"}, {"role": "assistant", "content": "Red."}]
    lines = [json.dumps({"images": [name], "messages": turns}) for name in names]
    (folder / "rows.jsonl").write_text("\n".join([*lines, "{"]) + "\n", encoding="utf-8")
    return folder / "rows.jsonl"


def test_a_job_holds_the_pictures_that_its_rows_name(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "seen").mkdir(parents=True)
    (data / "seen" / "a.png").write_bytes(b"a picture")
    rows = _rows_with_pictures(data, "seen/a.png", "missing.png", "data:;base64,AAAA", "https://example.org/a.png")
    plan = lora_plan(dataset={"source": str(rows)}, reads_images=True, packing=False)
    moved = carried.bring(plan, tmp_path / "job")
    assert moved.dataset is not None
    held = (tmp_path / "job" / moved.dataset.source).parent
    assert (held / "seen" / "a.png").read_bytes() == b"a picture"
    assert sorted(path.name for path in held.rglob("*.png")) == ["a.png"]
    blind = carried.bring(msgspec.structs.replace(plan, reads_images=False), tmp_path / "blind")
    assert blind.dataset is not None
    assert not list((tmp_path / "blind").rglob("*.png"))


@pytest.mark.parametrize("outside", ["absolute", "above"])
def test_pictures_outside_the_data_are_no_part_of_a_job(outside: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"a picture")
    (tmp_path / "data").mkdir()
    rows = _rows_with_pictures(tmp_path / "data", str(tmp_path / "a.png") if outside == "absolute" else "../a.png")
    plan = lora_plan(dataset={"source": str(rows)}, reads_images=True, packing=False)
    with pytest.raises(PlanRefused, match="outside the folder of the data"):
        carried.bring(plan, tmp_path / "job")
