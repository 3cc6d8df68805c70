"""The main job through the command line: a model, real conversations, this machine, a trained adapter at the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.real_data import chatterbot_messages
from trainers.plan import load_plan

ROOT = Path(__file__).resolve().parents[2]


def advisor(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SFT_ADVISOR_HOME": str(folder / "home")}
    return subprocess.run(
        [sys.executable, "-m", "advisor.cli", *arguments],
        cwd=folder,
        env=environment | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of four steps that `sft-advisor train` planned and carried out."""
    from tests.trainers.conftest import build_tiny_model

    folder = tmp_path_factory.mktemp("job")
    build_tiny_model(folder / "model")
    chatterbot_messages(folder / "chats.jsonl", limit=60)
    done = advisor(
        folder,
        *("train", "lora", "--model", "model", "--dataset", "chats.jsonl", "--run-dir", "run", "--hardware", "cpu"),
        *("--max-steps", "4", "--lora-rank", "4", "--micro-batch-size", "2", "--no-preflight", "--allow", "all"),
    )
    assert done.returncode == 0, done.stderr
    return folder, done


@pytest.mark.slow
def test_the_run_folder_holds_the_plan_the_advice_and_the_result(finished):
    folder, done = finished
    plan = load_plan(folder / "run" / "plan.toml")
    assert (plan.method, plan.lora_rank, plan.max_steps) == ("lora", 4, 4)
    advice = json.loads((folder / "run" / "recommendation.json").read_text())
    assert advice["answers"]["wish.method"] == {"value": "lora", "origin": "flag"}
    record = json.loads((folder / "run" / "run.json").read_text())
    assert record["exit_state"] == "done"
    assert (folder / "run" / "result" / "adapter_model.safetensors").exists()
    assert done.stdout == ""
    assert "run folder: run" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_measured_peak_is_kept_for_later_estimates(finished):
    folder, done = finished
    [line] = (folder / "home" / "ledger.jsonl").read_text().splitlines()
    assert json.loads(line)["method"] == "lora"
    assert "peak memory: " in done.stderr


@pytest.mark.slow
def test_a_second_run_into_the_same_folder_with_another_plan_is_refused(finished):
    folder, _ = finished
    before = (folder / "run" / "plan.toml").read_text()
    again = advisor(
        folder,
        *("train", "lora", "--model", "model", "--dataset", "chats.jsonl", "--run-dir", "run", "--hardware", "cpu"),
        *("--max-steps", "4", "--lora-rank", "8", "--no-preflight", "--allow", "all"),
    )
    assert again.returncode == 2
    assert "lora_rank" in again.stderr
    assert (folder / "run" / "plan.toml").read_text() == before


@pytest.mark.slow
def test_the_adapter_is_merged(finished):
    folder, _ = finished
    done = advisor(folder, "merge", "run", "--deliver", "--base-name", "org/base")
    assert done.returncode == 0, done.stderr
    assert (folder / "run" / "merged" / "config.json").exists()
    card = (folder / "run" / "merged" / "README.md").read_text()
    assert "\nbase_model: org/base\n" in card
    assert str(folder) not in card


@pytest.mark.slow
def test_what_was_merged_into_another_folder_is_what_is_delivered(finished):
    folder, _ = finished
    done = advisor(folder, "merge", "run", "--output", "support", "--no-check", "--deliver")
    assert done.returncode == 0, done.stderr
    assert "vllm serve support --served-model-name run" in done.stdout
    assert {"config.json", "README.md", "serve.json"} <= {file.name for file in (folder / "support").iterdir()}
