import json
import random
from pathlib import Path

from tests.trainers.plans import lora_plan
from trainers.supervision.race import Trial, trials, verdict


def ended(trial: Trial, loss: float, noise: float = 0.1) -> None:
    trial.folder.mkdir(parents=True)
    (trial.folder / "run.json").write_text(
        json.dumps({"exit_state": "done", "eval_loss_after": loss, "total_seconds": 5.0})
    )
    source = random.Random(f"{trial.plan.learning_rate}")
    rows = {"tokens": [7] * 40, "tuned": [loss + source.gauss(0, noise) for _ in range(40)]}
    (trial.folder / "samples.json").write_text(json.dumps({"rows": rows}))


def test_all_trials_have_the_same_budget_and_differ_in_the_rate_alone(tmp_path: Path) -> None:
    found = trials(lora_plan(learning_rate=3e-4, warmup_steps=50), 60, tmp_path)
    assert [trial.plan.learning_rate for trial in found] == [3e-4, 1e-4, 9e-4]
    assert {(trial.plan.max_steps, trial.plan.warmup_steps, trial.plan.eval_steps) for trial in found} == {
        (60, 6, 15)
    }
    assert len({trial.folder for trial in found}) == 3


def test_the_lowest_loss_wins_and_is_sure_only_where_the_rows_say_so(tmp_path: Path) -> None:
    for name, noise, sure in (("clear", 0.1, True), ("blurred", 5.0, False)):
        planned, lower, higher = trials(lora_plan(learning_rate=3e-4), 60, tmp_path / name)
        ended(planned, 2.0, noise)
        ended(lower, 2.4, noise)
        ended(higher, 1.8, noise)
        found = verdict([planned, lower, higher], 3e-4)
        assert found is not None
        assert found.rates == (9e-4, 3e-4, 1e-4)
        assert found.over_planned is not None
        assert found.over_planned.is_sure is sure
        assert found.seconds == 15.0


def test_a_planned_rate_that_wins_is_held_against_nothing_and_no_loss_is_no_verdict(tmp_path: Path) -> None:
    run = trials(lora_plan(learning_rate=3e-4), 60, tmp_path)
    assert verdict(run, 3e-4) is None
    ended(run[0], 1.0)
    found = verdict(run, 3e-4)
    assert found is not None
    assert found.over_planned is None


def test_the_planned_rate_is_tried_as_it_stands_however_many_digits_it_has(tmp_path: Path) -> None:
    planned = lora_plan(learning_rate=1.23456e-4)
    assert trials(planned, 8, tmp_path)[0].plan.learning_rate == planned.learning_rate
