import json
from pathlib import Path

from trainers.handover.judgement import judge
from trainers.run_folder import metrics
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
    assert "is better than the base" in sentences(
        tmp_path, {}, eval_loss_before=2.0, eval_loss_after=1.98, scores={"loss_change": change}
    )


def test_a_run_that_was_killed_is_stopped_and_runs_are_found_below_a_folder(tmp_path: Path) -> None:
    run = tmp_path / "race" / "trials" / "one"
    run.mkdir(parents=True)
    assert "was stopped" in sentences(run, {}, exit_state="running")
    (run / "plan.toml").touch()
    assert find_runs(tmp_path) == [run]
