"""The supervisor against a child that is a real process but trains nothing: each way it can end."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.trainers.plans import full_plan, lora_plan
from tests.waiting import PATIENCE_SECONDS, wait_until
from trainers import exit_codes
from trainers.errors import PlanRefused
from trainers.plan import TrainingPlan, load_plan, save_plan
from trainers.run_folder.spent import seconds_spent
from trainers.supervision.resume import resume_run
from trainers.supervision.supervise import Supervisor

CHILD = "tests.trainers.scripted_child"


def carry_out(run_dir: Path, plan: TrainingPlan, *script: dict[str, Any], resume: str = "auto") -> int:
    run_dir.mkdir(exist_ok=True)
    (run_dir / "script.json").write_text(json.dumps(script))
    return Supervisor(run_dir, module=CHILD).carry_out(plan, resume=resume)


def calls(run_dir: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run_dir / "calls.jsonl").read_text().splitlines()]


def attempts(run_dir: Path) -> list[dict[str, Any]]:
    found = json.loads((run_dir / "run.json").read_bytes())["attempts"]
    assert isinstance(found, list)
    return found


def test_a_run_that_just_works(tmp_path: Path) -> None:
    printed: list[bytes] = []
    (tmp_path / "script.json").write_text('[{"exit": 0}]')
    code = Supervisor(tmp_path, module=CHILD, echo=printed.append).carry_out(lora_plan())
    assert code == exit_codes.DONE
    assert b"".join(printed) == (tmp_path / "train.log").read_bytes() == b"hello from the child\n"
    assert [attempt["said"] for attempt in attempts(tmp_path)] == ["finished"]
    assert load_plan(tmp_path / "plan.toml") == lora_plan()


def test_the_report_of_a_run_that_has_ended_says_so(tmp_path: Path) -> None:
    assert carry_out(tmp_path, lora_plan(), {"report": True}) == exit_codes.DONE
    assert "<td>finished" in (tmp_path / "report.html").read_text()


def test_out_of_memory_halves_the_micro_batch_and_goes_on_from_the_checkpoint(tmp_path: Path) -> None:
    plan = lora_plan(micro_batch_size=4, gradient_checkpointing=False)
    script = [{"checkpoint": 10, "exit": 76}, {"exit": 76}, {"exit": 76}, {"exit": 0}]
    assert carry_out(tmp_path, plan, *script) == exit_codes.DONE
    assert [attempt["changed"] for attempt in attempts(tmp_path)] == [
        {},
        {"micro_batch_size": [4, 2], "gradient_accumulation_steps": [1, 2]},
        {"micro_batch_size": [2, 1], "gradient_accumulation_steps": [2, 4]},
        {"gradient_checkpointing": [False, True]},
    ]
    assert calls(tmp_path)[0]["resume"] == "never"
    assert calls(tmp_path)[1]["resume"].endswith("checkpoints/checkpoint-10")
    assert load_plan(tmp_path / "plan.toml").global_batch_size == 4
    assert load_plan(tmp_path / "plan.first.toml") == plan
    events = [json.loads(line)["event"] for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert events == ["start", "back_off"] * 3 + ["start", "end"]


def test_out_of_memory_with_nothing_left_names_the_next_method(tmp_path: Path) -> None:
    assert carry_out(tmp_path, full_plan(), {"exit": 76}) == exit_codes.OUT_OF_MEMORY
    assert "next method that needs less memory is lora" in attempts(tmp_path)[-1]["said"]


def test_divergence_stops_and_keeps_the_last_good_one(tmp_path: Path) -> None:
    failure = {"phase": "training", "what": "training diverged at step 12"}
    script = {"checkpoint": 10, "exit": 77, "failure": failure}
    assert carry_out(tmp_path, lora_plan(), script) == exit_codes.DIVERGED
    said = attempts(tmp_path)[-1]["said"]
    assert "training diverged at step 12; step 10 is kept as the last good one" in said
    assert "learning_rate = 6.7e-05" in said


def test_a_full_disk_is_said_and_the_way_on(tmp_path: Path) -> None:
    assert carry_out(tmp_path, lora_plan(), {"checkpoint": 10, "exit": 78}) == exit_codes.DISK_FULL
    assert "free some space, then `sft-advisor runs resume" in attempts(tmp_path)[-1]["said"]


def test_a_child_that_dies_without_a_word_is_not_judged_by_an_older_failure(tmp_path: Path) -> None:
    failure = {"phase": "evaluation", "what": "older"}
    plan = lora_plan(micro_batch_size=2, eval_micro_batch_size=4)
    carry_out(tmp_path, plan, {"exit": 76, "failure": failure}, {"exit": 76}, {"exit": 0})
    assert [list(attempt["changed"]) for attempt in attempts(tmp_path)] == [
        [],
        ["eval_micro_batch_size"],
        ["micro_batch_size", "gradient_accumulation_steps", "eval_micro_batch_size"],
    ]


def test_a_killed_child_is_reported_with_the_way_on(tmp_path: Path) -> None:
    assert carry_out(tmp_path, lora_plan(), {"checkpoint": 10, "kill": True}) == 128 + signal.SIGKILL
    assert "goes on from step 10" in attempts(tmp_path)[-1]["said"]


def test_resume_goes_on_by_the_plan_in_the_folder(tmp_path: Path) -> None:
    carry_out(tmp_path, lora_plan(), {"checkpoint": 10, "kill": True})
    (tmp_path / "script.json").write_text('[{"exit": 0}]')
    assert resume_run(tmp_path, module=CHILD) == exit_codes.DONE
    assert calls(tmp_path)[-1]["resume"].endswith("checkpoint-10")
    assert [attempt["number"] for attempt in attempts(tmp_path)] == [1, 2]


def test_a_start_whose_supervisor_was_killed_counts_until_the_run_last_wrote_something(tmp_path: Path) -> None:
    killed = {"number": 1, "resumed_from_step": None, "resumed_loss": None, "changed": {}, "began": 1_000.0}
    for name, content in {"run.json": json.dumps({"attempts": [killed]}), "train.log": "step 1\n"}.items():
        (tmp_path / name).write_text(content)
    os.utime(tmp_path / "run.json", (1_010, 1_010))
    os.utime(tmp_path / "train.log", (1_060, 1_060))
    assert seconds_spent(tmp_path) == 60
    assert carry_out(tmp_path, lora_plan(), {"exit": 0}) == exit_codes.DONE
    first, second = attempts(tmp_path)
    assert first["seconds"] == 60
    assert seconds_spent(tmp_path) == 60 + second["seconds"]


def test_another_plan_is_refused_before_anything_starts(tmp_path: Path) -> None:
    carry_out(tmp_path, lora_plan(), {"exit": 0})
    with pytest.raises(PlanRefused, match="lora_rank: 8 -> 4"):
        carry_out(tmp_path, lora_plan(lora_rank=4), {"exit": 0})
    assert len(calls(tmp_path)) == 1


def test_a_folder_without_a_plan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanRefused, match=r"holds no plan\.toml"):
        resume_run(tmp_path)


def started_outside(run_dir: Path) -> subprocess.Popen[bytes]:
    """The supervisor as a process of its own, with a child that waits for SIGTERM."""
    (run_dir / "script.json").write_text('[{"wait": true}]')
    save_plan(lora_plan(), run_dir / "asked.toml")
    code = (
        "import sys; from pathlib import Path; from trainers.plan import load_plan;"
        "from trainers.supervision.supervise import Supervisor; d = Path(sys.argv[1]);"
        f"sys.exit(Supervisor(d, module={CHILD!r}).carry_out(load_plan(d / 'asked.toml')))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(run_dir)], start_new_session=True)
    wait_for(run_dir / "ready")
    return process


def test_nodes_of_one_run_share_its_folder_and_are_not_restarted(tmp_path: Path) -> None:
    plan = lora_plan(num_gpus=2, num_nodes=2, sharding="ddp")
    with pytest.raises(PlanRefused, match="spans 2 nodes"):
        Supervisor(tmp_path, module=CHILD).carry_out(plan)


def wait_for(path: Path) -> None:
    wait_until(path.exists, lambda: f"{path.name} did not appear")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_group_lets_the_child_save_and_ends_with_75(tmp_path: Path, number: signal.Signals) -> None:
    process = started_outside(tmp_path)
    os.killpg(process.pid, number)
    assert process.wait(PATIENCE_SECONDS) == exit_codes.STOPPED
    assert (tmp_path / "stopped").exists()
    assert "stopped as asked" in attempts(tmp_path)[-1]["said"]


def test_a_killed_supervisor_does_not_leave_an_orphan_training(tmp_path: Path) -> None:
    process = started_outside(tmp_path)
    process.kill()
    process.wait(PATIENCE_SECONDS)
    wait_for(tmp_path / "stopped")


def test_two_trainings_in_one_folder_are_refused(tmp_path: Path) -> None:
    process = started_outside(tmp_path)
    try:
        with pytest.raises(PlanRefused, match=f"in use by process {process.pid}"):
            Supervisor(tmp_path, module=CHILD).carry_out(lora_plan())
    finally:
        process.terminate()
        assert process.wait(PATIENCE_SECONDS) == exit_codes.STOPPED
