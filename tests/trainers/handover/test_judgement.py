import json
from pathlib import Path

from tests.trainers.plans import lora_plan
from trainers.handover.judgement import judge
from trainers.plan import save_plan
from trainers.run_folder import metrics
from trainers.run_folder.lock import hold
from trainers.run_folder.summary import find_runs, summarise


def sentences(folder: Path, losses: dict[int, float], **record: object) -> str:
    (folder / "run.json").write_text(json.dumps({"exit_state": "done", **record}))
    for step, loss in losses.items():
        metrics.append_metrics(folder, {"step": step, "eval_loss": loss})
    return " ".join(judge(summarise(folder), metrics.read_metrics(folder)))


def test_an_evaluation_that_rose_again_is_said_with_its_step(tmp_path: Path) -> None:
    assert "turned at step 20" in sentences(tmp_path, {10: 2.0, 20: 1.5, 30: 1.7, 40: 1.9})


def test_one_that_still_falls_is_worth_another_pass_and_a_level_one_is_not(tmp_path: Path) -> None:
    for name in ("falls", "level"):
        (tmp_path / name).mkdir()
    assert "One more pass" in sentences(tmp_path / "falls", {10: 2.0, 20: 1.5, 30: 1.2, 40: 1.0})
    assert "levelled off" in sentences(tmp_path / "level", {10: 2.0, 20: 1.5, 30: 1.499, 40: 1.4985})


def test_a_difference_within_its_interval_is_not_called_better(tmp_path: Path) -> None:
    change = {"value": -0.02, "low": -0.05, "high": 0.01, "rows": 40}
    said = sentences(tmp_path, {}, eval_loss_before=2.0, eval_loss_after=1.98, scores={"loss_change": change})
    assert "no difference to the base can be told" in said
    change |= {"high": -0.001}
    said = sentences(tmp_path, {}, eval_loss_before=2.0, eval_loss_after=1.98, scores={"loss_change": change})
    assert "is better than the base: its loss is lower by 0.0200 nats per token (0.0010 to 0.0500, 40 rows)" in said


def test_a_run_that_was_killed_is_stopped_and_runs_are_found_below_a_folder(tmp_path: Path) -> None:
    run = tmp_path / "race" / "trials" / "one"
    run.mkdir(parents=True)
    assert "was stopped" in sentences(run, {}, exit_state="running")
    (run / "plan.toml").touch()
    assert find_runs(tmp_path) == [run]


def test_what_training_took_is_held_against_what_had_been_predicted(tmp_path: Path) -> None:
    made_for = {"low_hours": 0.5, "high_hours": 1.0}
    save_plan(lora_plan(made_for=made_for), tmp_path / "plan.toml")
    assert "Training took 40 min, 30 min to 60 min had been predicted." in sentences(
        tmp_path, {}, seconds={"training": 2_400.0}
    )
    assert "slower than that" in sentences(tmp_path, {}, seconds={"training": 7_200.0})
    assert "faster than that" in sentences(tmp_path, {}, seconds={"training": 600.0})
    resumed = [{"resumed_from_step": None}, {"resumed_from_step": 20}]
    assert "Training took" not in sentences(tmp_path, {}, seconds={"training": 600.0}, attempts=resumed)


def test_a_run_that_goes_on_says_what_it_will_take(tmp_path: Path) -> None:
    save_plan(lora_plan(made_for={"low_hours": 0.5, "high_hours": 1.0}), tmp_path / "plan.toml")
    for step, time in ((1, 100.0), (2, 400.0)):
        metrics.append_metrics(tmp_path, {"step": step, "loss": 1.0, "time": time, "eta_seconds": 2_700.0})
    with hold(tmp_path):
        assert "Training takes 50 min" in sentences(tmp_path, {}, exit_state="running")
