"""`runs`: every action on folders that hold what a run leaves."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from advisor.report.curve import text_chart
from advisor.report.runs import squeezed
from tests.trainers.plans import lora_plan
from trainers.handover.charts import Series
from trainers.plan import plan_from_dict, plan_to_dict, save_plan
from trainers.run_folder import metrics
from trainers.run_folder.lock import hold
from trainers.run_folder.summary import summarise


def lay_out(folder: Path, rate: float, loss: float) -> Path:
    plan = lora_plan(learning_rate=rate)
    folder.mkdir(parents=True)
    save_plan(plan, folder / "plan.toml")
    for step in range(1, 41):
        metrics.append_metrics(folder, {"step": step, "total_steps": 40, "loss": loss + 1 / step})
        if step % 10 == 0:
            metrics.append_metrics(folder, {"step": step, "eval_loss": loss + 4 / step})
    record = {"exit_state": "done", "eval_loss_before": 3.0, "eval_loss_after": loss + 0.05, "total_seconds": 61.0}
    (folder / "run.json").write_text(json.dumps(record))
    source = random.Random(5)
    rows = {"tokens": [10] * 30, "tuned": [loss + source.random() for _ in range(30)]}
    sample = {"prompt": "Who?\x1b[31m", "reference": "Me.", "base": "?", "tuned": f"said at {rate}"}
    (folder / "samples.json").write_text(json.dumps({"rows": rows, "samples": [sample]}))
    return folder


@pytest.fixture
def two(run, tmp_path: Path) -> tuple[str, str]:
    return str(lay_out(tmp_path / "runs/one", 1e-4, 2.0)), str(lay_out(tmp_path / "runs/two", 3e-4, 1.0))


def test_the_list_holds_every_run_with_its_state_and_score(run, two) -> None:
    code, out, _ = run("runs")
    assert code == 0
    assert "1.0500" in out
    assert out.count("finished") == 2
    listed = json.loads(run("runs", "list", "--json")[1])
    assert {one["tuned_loss"] for one in listed} == {2.05, 1.05}
    assert "no run in or below" in run("runs", "list", "runs/none")[2]


def test_a_list_without_room_for_everything_names_every_run_and_its_state(run, monkeypatch) -> None:
    folder = Path("runs/a-race/trials/learning_rate-0.000058")
    lay_out(folder, 1e-4, 2.0)
    shown = {}
    for columns in (40, 80, 140):
        monkeypatch.setenv("COLUMNS", str(columns))
        shown[columns] = run("runs", "list", "runs")[1]
        assert "finished" in shown[columns] and "…" not in shown[columns]
    name = str(folder.relative_to("runs"))
    assert name in shown[80] and name in shown[140]
    assert name.endswith(shown[40].splitlines()[-1].strip())  # folded, and whole
    assert "bytes" not in shown[80] and "bytes" in shown[140]


def test_watch_shows_curve_and_judgement_and_sees_that_a_run_is_going_on(run, two) -> None:
    code, out, _ = run("runs", "watch", two[0], "--once")
    assert code == 0
    assert "Still falling at the end" in out
    assert "o evaluation loss" in out
    with hold(Path(two[0])):
        assert summarise(Path(two[0])).state == "running"
    assert summarise(Path(two[0])).state == "finished"


def test_two_runs_are_compared_by_settings_rows_and_answers(run, two) -> None:
    code, out, _ = run("runs", "compare", *two)
    assert code == 0
    assert "learning_rate" in out
    assert "the second is better" in " ".join(out.split())
    assert "\x1b[31m" not in out
    found = json.loads(run("runs", "compare", *two, "--json")[1])
    assert found["settings"] == {"learning_rate": [1e-4, 3e-4]}
    with_data = plan_to_dict(lora_plan())
    with_data["dataset"]["source"], with_data["output_dir"] = "elsewhere.jsonl", "elsewhere"
    save_plan(plan_from_dict(with_data), Path(two[0]) / "plan.toml")
    settings = json.loads(run("runs", "compare", *two, "--json")[1])["settings"]
    assert settings["dataset.source"] == ["elsewhere.jsonl", lora_plan().dataset.source]
    assert set(settings) == {"learning_rate", "dataset.source"}
    assert found["loss_change"]["high"] < 0
    assert found["samples"][0]["second"] == "said at 0.0003"


def test_the_report_is_written_where_it_is_wanted(run, two, tmp_path: Path) -> None:
    assert run("runs", "report", two[0], "--output", "mine.html")[0] == 0
    assert "Still falling" in (tmp_path / "mine.html").read_text()


def test_what_is_no_run_or_has_no_result_is_said_with_a_way_out(run, two) -> None:
    code, _, err = run("runs", "watch", "nowhere")
    assert (code, "try: sft-advisor runs" in err) == (2, True)
    code, _, err = run("runs", "chat", two[0])
    assert (code, "no result to talk to" in err) == (2, True)


@pytest.mark.parametrize("width", [40, 80, 140])
def test_a_chart_keeps_to_its_width(width: int) -> None:
    drawn = text_chart([Series(name="loss", points=[(1, 3.0), (1000, 0.5)])], width)
    assert max(map(len, drawn.splitlines())) <= width
    assert drawn.count("*") == 3


def test_answers_are_measured_anew_by_name_pattern_and_a_file_of_ones_own(run, two, tmp_path: Path) -> None:
    code, out, _ = run("runs", "score", two[0], "--measure", "regex:said at")
    assert code == 0
    assert "0.000 before, 1.000 now on 1 rows" in out
    (tmp_path / "mine.py").write_text("def score(reference, answer):\n    return 0.25\n")
    assert json.loads(run("runs", "score", two[0], "--measure", "mine.py", "--json")[1])["tuned"]["value"] == 0.25
    code, _, err = run("runs", "score", two[0], "--measure", "exakt")
    assert (code, "is no measure" in err) == (2, True)
    (tmp_path / "runs" / "one" / "samples.json").unlink()
    assert "holds no answers" in run("runs", "score", two[0], "--measure", "exact")[2]


def test_what_a_tune_has_cost_is_asked_of_a_result_alone(run, two) -> None:
    code, _, err = run("runs", "retention", two[0])
    assert (code, "no result" in err) == (2, True)


def test_an_answer_of_blank_lines_fills_no_screen() -> None:
    assert squeezed("\n \n\nfirst\n\n\n  second\n\n") == "first\n  second"
    assert squeezed("\n \n") == "(an empty answer)"
