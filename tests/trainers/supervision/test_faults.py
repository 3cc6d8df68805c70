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

from tests.documents import validated
from tests.waiting import wait_until
from trainers import exit_codes
from trainers.plan import TrainingPlan, plan_from_dict, save_plan
from trainers.run_folder.checkpoint import scan, seal
from trainers.supervision.preflight import preflight
from trainers.supervision.resume import resume_run
from trainers.supervision.supervise import Supervisor
from trainers.training import run

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm_children")]
STEPS = 12


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


def trained_tokens(run_dir: Path) -> float:
    tokens: float = json.loads((run_dir / "run.json").read_bytes())["trained_tokens"]
    return tokens


def is_as_undisturbed(run_dir: Path, reference: Path) -> bool:
    """The same losses at every step of as many tokens, and the same adapter to the last bit."""
    assert trained_tokens(run_dir) == trained_tokens(reference)
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
        "from trainers.supervision.supervise import Supervisor; d = Path(sys.argv[1]);"
        "sys.exit(Supervisor(d).carry_out(load_plan(d / 'asked.toml')))"
    )
    return subprocess.Popen([sys.executable, "-c", code, str(run_dir)], start_new_session=True)


def kill_everything(supervisor: subprocess.Popen[bytes], run_dir: Path) -> None:
    """kill -9 for the supervisor and for the group of the training process, in that order and at once."""
    supervisor.kill()
    lines = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout.splitlines()
    for line in lines:
        if "trainers.training.run" in line and str(run_dir) in line:
            os.kill(int(line.split()[0]), signal.SIGKILL)
    supervisor.wait()


def wait_for_step(run_dir: Path, step: int) -> None:
    wait_until(
        lambda: (run_dir / "metrics.jsonl").exists() and max(losses(run_dir), default=0) >= step,
        lambda: (run_dir / "train.log").read_text(encoding="utf-8")[-2000:],
    )


def test_a_killed_run_goes_on_and_ends_as_the_undisturbed(
    plan: TrainingPlan, tmp_path: Path, undisturbed: Callable[[TrainingPlan], Path]
) -> None:
    """One kill, with processes as users start them; tests/soak/kills.py has sixty runs of them, in every phase."""
    moment = random.Random(0)
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
    validated("preflight", found)
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


def test_a_run_that_began_with_its_longest_batch_is_as_one_that_did_not(
    plan: TrainingPlan, tmp_path: Path, undisturbed: Callable[[TrainingPlan], Path]
) -> None:
    assert Supervisor(tmp_path).carry_out(plan, preflight=True) == exit_codes.DONE
    assert is_as_undisturbed(tmp_path, undisturbed(plan))
    events = [json.loads(line)["event"] for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert events == ["start", "preflight", "end"]
    assert json.loads((tmp_path / "preflight.json").read_bytes())["outcome"] == "ready"
    assert not (tmp_path / ".preflight").exists()


def test_a_longest_batch_that_has_no_room_is_tried_smaller_in_a_fresh_process(
    plan: TrainingPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAULT", json.dumps({"oom_above": 2}))
    short = msgspec.structs.replace(plan, max_steps=2)
    supervisor = Supervisor(tmp_path, module="tests.trainers.faulty_run")
    assert supervisor.carry_out(short, preflight=True) == exit_codes.DONE
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events] == ["start", "preflight", "start", "preflight", "end"]
    assert "micro-batch 4 -> 2" in events[1]["said"]
    assert len(json.loads((tmp_path / "run.json").read_bytes())["attempts"]) == 1


def everything_in(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_finished_run_is_final_also_where_its_last_step_ends_no_epoch(plan: TrainingPlan, tmp_path: Path) -> None:
    odd = msgspec.structs.replace(plan, max_steps=4, save_steps=3)
    assert Supervisor(tmp_path).carry_out(odd) == exit_codes.DONE
    left = everything_in(tmp_path)
    told: list[object] = []
    assert resume_run(tmp_path, on_event=lambda event: told.append(event["said"])) == exit_codes.DONE
    assert Supervisor(tmp_path).carry_out(odd) == exit_codes.DONE
    assert run.main([str(tmp_path / "plan.toml"), "--run-dir", str(tmp_path)]) == exit_codes.DONE
    assert everything_in(tmp_path) == left
    assert told == [f"{tmp_path} has finished already: its result is in {tmp_path / 'result'}"]


def test_a_run_killed_while_its_result_was_written_writes_the_result_and_makes_no_step(
    plan: TrainingPlan, tmp_path: Path
) -> None:
    odd = msgspec.structs.replace(plan, max_steps=4, save_steps=3)
    assert Supervisor(tmp_path).carry_out(odd) == exit_codes.DONE
    adapter = tmp_path / "result" / "adapter_model.safetensors"
    whole, curve = adapter.read_bytes(), losses(tmp_path)
    adapter.write_bytes(whole[:1000])
    record = json.loads((tmp_path / "run.json").read_bytes())
    (tmp_path / "run.json").write_text(json.dumps(record | {"exit_state": "running", "exit_code": None}))
    assert resume_run(tmp_path) == exit_codes.DONE
    assert adapter.read_bytes() == whole
    assert losses(tmp_path) == curve
    assert scan(tmp_path)[0].step == 4


def test_a_checkpoint_that_its_seal_does_not_give_away_is_found_by_the_first_loss(
    make_plan: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load_file, save_file

    plan = plan_from_dict(make_plan("full", max_steps=8, save_steps=2, eval_steps=100, save_total_limit=5))
    run_dir, reference = tmp_path / "run", tmp_path / "reference"
    assert with_fault(run_dir, plan, {"kill_at": 6}, monkeypatch) != exit_codes.DONE
    newest = scan(run_dir)[0].path
    tensors = load_file(newest / "model.safetensors")
    tensors["model.norm.weight"] *= 1e4
    save_file(tensors, newest / "model.safetensors", {"format": "pt"})
    seal(newest, step=4, world_size=1)
    assert Supervisor(run_dir).carry_out(plan) == exit_codes.DONE
    assert any("checkpoint-4 is not what it was" in text and "goes on from step 2" in text for text in said(run_dir))
    assert Supervisor(reference).carry_out(plan) == exit_codes.DONE
    assert losses(run_dir) == losses(reference)
