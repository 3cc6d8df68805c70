import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainers import exit_codes, multitask
from trainers.errors import PlanRefused
from trainers.plan import plan_from_dict, save_plan

MakePlan = Callable[..., dict[str, Any]]


@pytest.fixture
def answers(tmp_path: Path) -> Callable[[str], dict[str, Any]]:
    """A dataset in which every question has the same answer."""

    def write(word: str) -> dict[str, Any]:
        path = tmp_path / f"{word}.jsonl"
        rows = [{"prompt": f"Question {index}?", "completion": f"{word} " * 4} for index in range(60)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return {"source": str(path), "eval_fraction": 0.1}

    return write


@pytest.mark.slow
def test_each_adapter_is_best_at_its_own_task_and_all_share_one_base(
    make_plan: MakePlan, answers: Callable[[str], dict[str, Any]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    named = []
    for word in ("yes", "never"):
        plan = make_plan(dataset=answers(word), max_steps=12, learning_rate=5e-2, save_steps=50, eval_steps=50)
        save_plan(plan_from_dict(plan), tmp_path / f"{word}.toml")
        named.append(f"{word}={tmp_path / word}.toml")
    assert multitask.main([str(tmp_path / "run"), *named]) == exit_codes.DONE
    found = json.loads((tmp_path / "run" / "adapters.json").read_bytes())
    assert found["adapters"] == {"never": "tasks/never/result", "yes": "tasks/yes/result"}
    for task, losses in found["losses"].items():
        assert min(losses, key=lambda name: losses[name]) == task, losses
        assert losses[task] < losses["base"]
    capfd.readouterr()
    assert multitask.main([str(tmp_path / "run"), *named]) == exit_codes.DONE
    assert capfd.readouterr().err.count("trained already") == 2


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ({"method": "full"}, "would train the whole model"),
        ({"method": "qlora"}, "do not share one base and method"),
        ({"model": {"name": "another"}}, "do not share one base and method"),
    ],
)
def test_tasks_that_cannot_share_a_base_are_refused_before_any_training(
    make_plan: MakePlan, tmp_path: Path, second: dict[str, Any], said: str
) -> None:
    plans = {"one": plan_from_dict(make_plan()), "two": plan_from_dict(make_plan(**second))}
    with pytest.raises(PlanRefused, match=said):
        multitask.train_tasks(plans, tmp_path)
    assert not (tmp_path / "tasks").exists()


def test_a_name_that_no_adapter_can_have_is_refused(make_plan: MakePlan, tmp_path: Path) -> None:
    with pytest.raises(PlanRefused, match="cannot name an adapter"):
        multitask.train_tasks({"a.b": plan_from_dict(make_plan())}, tmp_path)


def test_nothing_to_compare_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert multitask.main([str(tmp_path)]) == exit_codes.BAD_PLAN
    assert "no finished task" in capfd.readouterr().err
    assert multitask.main([str(tmp_path), "plan.toml"]) == exit_codes.BAD_PLAN
