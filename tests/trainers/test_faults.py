"""Real trainings under real and injected faults; what is left is compared with a run that nothing disturbed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trainers import exit_codes
from trainers.checkpoint import scan
from trainers.plan import TrainingPlan, plan_from_dict, save_plan
from trainers.preflight import preflight
from trainers.supervise import Supervisor

pytestmark = pytest.mark.slow
STEPS = 12
KILLED_RUNS = 50 if os.environ.get("SOAK") else 1


@pytest.fixture
def plan(make_plan: Callable[..., dict[str, Any]]) -> TrainingPlan:
    return plan_from_dict(make_plan(max_steps=STEPS, save_steps=3, eval_steps=100, lora_dropout=0.1))


def losses(run_dir: Path) -> dict[int, float]:
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if "loss" in line}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[TrainingPlan], Path]:
    """The run folder of this plan where nothing happens; trained once."""
    found: list[Path] = []

    def train(plan: TrainingPlan) -> Path:
        if not found:
            run_dir = tmp_path_factory.mktemp("undisturbed")
            assert Supervisor(run_dir).carry_out(plan) == exit_codes.DONE
            found.append(run_dir)
        return found[0]

    return train


def is_as_undisturbed(run_dir: Path, reference: Path) -> bool:
    """The same losses at every step, and the same adapter to the last bit."""
    adapters = [folder / "result" / "adapter_model.safetensors" for folder in (run_dir, reference)]
    return losses(run_dir) == losses(reference) and adapters[0].read_bytes() == adapters[1].read_bytes()


def with_fault(run_dir: Path, plan: TrainingPlan, fault: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("FAULT", json.dumps(fault))
    return Supervisor(run_dir, module="tests.trainers.faulty_run").carry_out(plan)


def said(run_dir: Path) -> list[str]:
    return [attempt["said"] for attempt in json.loads((run_dir / "run.json").read_bytes())["attempts"]]


def start_outside(plan: TrainingPlan, run_dir: Path) -> subprocess.Popen[bytes]:
    """The supervisor in a process group of its own."""
    save_plan(plan, run_dir / "asked.toml")
    code = (
        "import sys; from pathlib import Path; from trainers.plan import load_plan;"
        "from trainers.supervise import Supervisor; d = Path(sys.argv[1]);"
        "sys.exit(Supervisor(d).carry_out(load_plan(d / 'asked.toml')))"
    )
    return subprocess.Popen([sys.executable, "-c", code, str(run_dir)], start_new_session=True)


def kill_everything(supervisor: subprocess.Popen[bytes], run_dir: Path) -> None:
    """kill -9 for the supervisor and for the group of the training process, in that order and at once."""
    supervisor.kill()
    lines = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout.splitlines()
    for line in lines:
        if "trainers.run" in line and str(run_dir) in line:
            os.kill(int(line.split()[0]), signal.SIGKILL)
    supervisor.wait()


def wait_for_step(run_dir: Path, step: int) -> None:
    deadline = time.monotonic() + 120
    while not (run_dir / "metrics.jsonl").exists() or max(losses(run_dir), default=0) < step:
        assert time.monotonic() < deadline, (run_dir / "train.log").read_text()[-2000:]
        time.sleep(0.01)


@pytest.mark.parametrize("seed", range(KILLED_RUNS))
def test_a_killed_run_goes_on_and_ends_as_the_undisturbed(
    plan: TrainingPlan, tmp_path: Path, undisturbed: Callable[[TrainingPlan], Path], seed: int
) -> None:
    moment = random.Random(seed)
    # every step saves, so that many of the kills fall into the middle of a checkpoint
    often = msgspec.structs.replace(plan, save_steps=1)
    process = start_outside(often, tmp_path)
    wait_for_step(tmp_path, moment.randint(1, STEPS - 2))
    time.sleep(moment.uniform(0, 0.2))
    kill_everything(process, tmp_path)
    assert Supervisor(tmp_path).carry_out(often) == exit_codes.DONE
    resumed_from = json.loads((tmp_path / "run.json").read_bytes())["attempts"][-1]["resumed_from_step"]
    assert resumed_from is None or resumed_from >= 1
    assert is_as_undisturbed(tmp_path, undisturbed(plan))
    assert all(not found.problems for found in scan(tmp_path))


def test_a_stopped_run_ends_with_75_and_goes_on_from_that_very_step(
    plan: TrainingPlan, tmp_path: Path, undisturbed: Callable[[TrainingPlan], Path]
) -> None:
    process = start_outside(plan, tmp_path)
    wait_for_step(tmp_path, 4)
    process.terminate()
    assert process.wait(60) == exit_codes.STOPPED
    stopped_at = scan(tmp_path)[0].step
    assert stopped_at == max(losses(tmp_path))
    assert Supervisor(tmp_path).carry_out(plan) == exit_codes.DONE
    assert is_as_undisturbed(tmp_path, undisturbed(plan))


def test_out_of_memory_finishes_with_a_smaller_batch_and_the_same_curve(
    plan: TrainingPlan,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # dropout draws other numbers for other shapes; without it only rounding may differ
    without_chance = msgspec.structs.replace(plan, lora_dropout=0.0, max_steps=4)
    assert with_fault(tmp_path, without_chance, {"oom_above": 2}, monkeypatch) == exit_codes.DONE
    assert said(tmp_path)[0].startswith("micro-batch 4 -> 2, accumulation 1 -> 2")
    reference = tmp_path / "reference"
    assert Supervisor(reference).carry_out(without_chance) == exit_codes.DONE
    assert losses(tmp_path) == pytest.approx(losses(reference), rel=1e-4)


def test_a_loss_that_is_nan_stops_and_the_last_good_one_is_kept(
    plan: TrainingPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert with_fault(tmp_path, plan, {"nan_from": 5}, monkeypatch) == exit_codes.DIVERGED
    assert "step 3 is kept as the last good one" in said(tmp_path)[-1]
    assert [found.step for found in scan(tmp_path) if not found.problems] == [3]
    assert not (tmp_path / "result").exists()


@pytest.mark.parametrize("fault", ["no_room_from", "cut_writes_from"])
def test_a_full_disk_loses_no_checkpoint_and_the_run_goes_on_later(
    plan: TrainingPlan,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    undisturbed: Callable[[TrainingPlan], Path],
) -> None:
    assert with_fault(tmp_path, plan, {fault: 5}, monkeypatch) == exit_codes.DISK_FULL
    assert "the disk is full" in said(tmp_path)[-1]
    assert [found.step for found in scan(tmp_path) if not found.problems] == [3]
    assert (tmp_path / "checkpoints" / "checkpoint-6").exists() == (fault == "cut_writes_from")
    if fault == "cut_writes_from":
        assert Supervisor(tmp_path).carry_out(plan) == exit_codes.DONE
        assert is_as_undisturbed(tmp_path, undisturbed(plan))


def test_preflight_measures_the_longest_batch_and_leaves_no_trace(plan: TrainingPlan, tmp_path: Path) -> None:
    found = preflight(plan, tmp_path)
    assert found.outcome == "ready"
    assert [(check.name, check.passed) for check in found.checks if check.name == "memory"] == [("memory", True)]
    assert found.measured is not None
    assert found.measured.eval_seconds is not None
    assert found.measured.peak_bytes < found.measured.limit_bytes
    assert found.measured.longest_tokens == 128
    assert found.measured.peak_bytes > 100 << 20
    assert found.measured.checkpoint_bytes > 10_000
    assert found.measured.total_steps == STEPS
    assert not list(tmp_path.glob("checkpoints/checkpoint-*"))
    assert not (tmp_path / "fingerprint.json").exists()
    assert not (tmp_path / ".preflight").exists()
    assert json.loads((tmp_path / "preflight.json").read_bytes())["outcome"] == "ready"
