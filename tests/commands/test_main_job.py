"""The main job through the command line: a model, real conversations, this machine, a trained adapter at the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.calling import warmly
from tests.documents import validated
from tests.real_data import chatterbot_messages
from tests.waiting import PATIENCE_SECONDS, wait_until
from trainers.plan import load_plan
from trainers.run_folder.summary import summarise

ROOT = Path(__file__).resolve().parents[2]


def environment(folder: Path) -> dict[str, str]:
    own = {"PYTHONPATH": str(ROOT), "SFT_ADVISOR_HOME": str(folder / "home")}
    return {**os.environ, **own, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def advisor(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "advisor", *arguments],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def interrupted(folder: Path, *arguments: str, once: Callable[[], object]) -> tuple[int, str]:
    """Exit code and stderr of a command after Ctrl-C, which a terminal sends to all its processes, at a moment."""
    command = [sys.executable, "-m", "advisor", *arguments]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with subprocess.Popen(
        command, cwd=folder, env=environment(folder), text=True, start_new_session=True, **pipes
    ) as process:
        try:
            wait_until(lambda: once() or process.poll() is not None)
        finally:
            os.killpg(process.pid, signal.SIGINT)
        _, error = process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode, error


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
        *("--max-steps", "4", "--lora-rank", "4", "--micro-batch-size", "2", "--no-preflight"),
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
    validated("run", summarise(folder / "run"))
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
        *("--max-steps", "4", "--lora-rank", "8", "--no-preflight"),
    )
    assert again.returncode == 2
    assert "lora_rank" in again.stderr
    assert (folder / "run" / "plan.toml").read_text() == before


@pytest.mark.slow
def test_the_adapter_is_merged(finished):
    folder, _ = finished
    done = warmly(folder, "runs", "merge", "run", "--deliver", "--base-name", "org/base")
    assert done.returncode == 0, done.stderr
    assert (folder / "run" / "merged" / "config.json").exists()
    card = (folder / "run" / "merged" / "README.md").read_text()
    assert "\nbase_model: org/base\n" in card
    assert str(folder) not in card


@pytest.mark.slow
def test_what_was_merged_into_another_folder_is_what_is_delivered(finished):
    folder, _ = finished
    done = warmly(folder, "runs", "merge", "run", "--output", "support", "--no-check", "--deliver")
    assert done.returncode == 0, done.stderr
    assert "vllm serve support --served-model-name run" in done.stdout
    assert {"config.json", "README.md", "serve.json"} <= {file.name for file in (folder / "support").iterdir()}


@pytest.mark.slow
def test_ctrl_c_in_a_merge_leaves_nothing_half_written(finished):
    folder, _ = finished
    partial = folder / ".stopped.partial"
    code, error = interrupted(folder, "runs", "merge", "run", "--output", "stopped", once=partial.exists)
    assert (code, error) == (130, "interrupted\n")
    assert not partial.exists()
    assert not (folder / "stopped").exists()


@pytest.mark.slow
def test_ctrl_c_in_a_preflight_is_no_verdict_on_the_plan(finished):
    folder, _ = finished
    log = folder / "tried" / "preflight.log"

    def trying() -> bool:
        return log.exists() and log.stat().st_size > 0

    code, error = interrupted(folder, "launch", "preflight", "run/plan.toml", "--run-dir", "tried", once=trying)
    assert code == 130
    assert error.endswith("interrupted\n")
    assert "Traceback" not in error
    assert not (log.parent / "preflight.json").exists()
