"""Several tasks through the command line: checked together, trained one by one, compared on one base."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from advisor.commands.cli import main
from tests.commands.calling import warmly
from tests.documents import validated
from tests.report import made_by_hand as made
from trainers.plan import DatasetRef, ModelRef, TrainingPlan, load_plan, plan_from_dict, save_plan

TASKS = ("yes", "never")


def plan_for(word: str, folder: Path) -> TrainingPlan:
    """A short training on the tiny model with data in which every question has this answer."""
    rows = [{"prompt": f"Question {index}?", "completion": f"{word} " * 4} for index in range(60)]
    (folder / f"{word}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    fields = {"model": {"name": "model"}, "dataset": {"source": f"{word}.jsonl", "eval_fraction": 0.1}}
    lora = {"method": "lora", "lora_rank": 8, "lora_alpha": 16, "lora_targets": ["all-linear"]}
    device = {"accelerator": "cpu", "compute_dtype": "fp32", "weights_dtype": "fp32"}
    pace = {"learning_rate": 5e-2, "max_steps": 12, "micro_batch_size": 4, "save_steps": 50, "eval_steps": 50}
    rest = {"max_seq_len": 128, "gradient_checkpointing": False, "lr_scheduler": "constant"}
    return plan_from_dict(fields | lora | device | pace | rest)


CARELESS = ("--no-preflight", "--allow", "one-answer", "--allow", "repeated-answers")
"""Each task has one answer, so that it is learnt in a few steps; the data check rightly refuses such data."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder of two tasks that the command has trained and compared."""
    from tests.trainers.conftest import build_tiny_model

    folder = tmp_path_factory.mktemp("desk")
    build_tiny_model(folder / "model")
    for word in TASKS:
        save_plan(plan_for(word, folder), folder / f"{word}.toml")
    done = warmly(folder, "train", "multitask", "run", *(f"{word}={word}.toml" for word in TASKS), *CARELESS)
    assert done.returncode == 0, done.stderr
    return folder, done


@pytest.mark.slow
def test_each_adapter_is_best_at_its_own_task_and_all_share_one_base(finished):
    folder, done = finished
    found = validated("adapters", json.loads((folder / "run" / "adapters.json").read_bytes()))
    assert found["adapters"] == {"never": "tasks/never/result", "yes": "tasks/yes/result"}
    for task, losses in found["losses"].items():
        assert min(losses, key=lambda name: losses[name]) == task, losses
        assert f"{losses[task]:.4f}" in done.stdout
        of_run = json.loads((folder / "run" / "tasks" / task / "run.json").read_bytes())
        assert losses[task] == pytest.approx(of_run["eval_loss_after"], abs=1e-4)
        assert losses["base"] == pytest.approx(of_run["eval_loss_before"], abs=1e-4)
    assert f"2 lora adapters over {folder / 'model'}" in done.stdout
    assert "yes=run/tasks/yes/result" in done.stdout
    assert "task 2 of 2: never" in done.stderr
    assert "run folder: run/tasks/never" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_second_start_trains_nothing_again_and_shows_the_same(finished):
    folder, _ = finished
    before = (folder / "run" / "adapters.json").read_bytes()
    again = warmly(folder, "train", "multitask", "run", "yes=yes.toml", "never=never.toml", "--json", *CARELESS)
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("is trained already") == 2
    assert json.loads(again.stdout) == json.loads(before)


@pytest.mark.slow
def test_what_is_trained_is_compared_when_another_task_fails(finished):
    folder, _ = finished
    save_plan(plan_from_dict(_raw(folder / "yes.toml") | {"lora_targets": ["nope"]}), folder / "wrong.toml")
    failed = warmly(folder, "train", "multitask", "run", "wrong=wrong.toml", "yes=yes.toml", *CARELESS)
    assert (failed.returncode, failed.stdout) == (2, "")
    assert "error: not finished: wrong (bad input)" in failed.stderr
    assert "the model has no module named nope" in failed.stderr
    compared = warmly(folder, "train", "multitask", "run")
    assert compared.returncode == 0, compared.stderr
    assert f"2 lora adapters over {folder / 'model'}" in compared.stdout


@pytest.mark.slow
def test_one_task_is_a_run_like_any_other_and_the_folder_is_not(finished):
    folder, _ = finished
    assert warmly(folder, "runs", "merge", "run/tasks/yes", "--no-check").returncode == 0
    for command in ("merge", "resume"):
        refused = warmly(folder, "runs", command, "run")
        assert refused.returncode == 2
        assert "run holds the runs of several tasks: never, " in refused.stderr
        assert f"try: sft-advisor runs {command} run/tasks/never" in refused.stderr


def _raw(file: Path) -> dict:
    from trainers.plan import plan_to_dict

    return plan_to_dict(load_plan(file))


@pytest.fixture
def run(capfd, monkeypatch, tmp_path):
    """Run `multitask` in an empty folder: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main(["train", "multitask", *arguments])
        return (code, *capfd.readouterr())

    return call


def test_everything_that_is_wrong_with_the_tasks_is_said_at_once(run):
    save_plan(made.plan(), Path("one.toml"))
    save_plan(made.plan(model=ModelRef(name="another")), Path("two.toml"))
    save_plan(made.plan(dataset=None), Path("bare.toml"))
    tasks = ("one=one.toml", "one=two.toml", "base=bare.toml", "a.b=none.toml", "two=two.toml", "loose.toml")
    code, out, err = run("there", *tasks)
    assert (code, out) == (2, "")
    for part in (
        "one is given twice",
        "base: the plan names no dataset",
        "'base' cannot name an adapter",
        "a.b: the plan none.toml cannot be used",
        "'a.b' cannot name an adapter",
        "the tasks do not share one base",
        "'loose.toml' is not a task",
        "loose=loose.toml",
    ):
        assert part in err
    assert err.count("error: ") == 7
    assert not Path("there").exists()


def test_the_data_of_every_task_is_checked_before_anything_starts(run):
    for name in ("one", "two"):
        Path(f"{name}.jsonl").write_text('{"prompt": "a", "completion": ""}\n' * 30, encoding="utf-8")
        plan = made.plan(dataset=DatasetRef(source=f"{name}.jsonl"), accelerator="cpu")
        save_plan(plan, Path(f"{name}.toml"))
    code, out, err = run("there", "one=one.toml", "two=two.toml")
    assert (code, out) == (2, "")
    assert "error: one: " in err
    assert "error: two: " in err
    assert not Path("there").exists()


def test_a_dry_run_shows_every_task_and_the_comparison(run):
    save_plan(made.plan(), Path("plan.toml"))
    code, out, _ = run("there", "one=plan.toml", "two=plan.toml", "--dry-run")
    assert code == 0
    for part in (
        "# task one",
        "# there/tasks/two/plan.toml",
        "trainers.training.run",
        "trainers.training.compare there",
    ):
        assert part in out
    assert not Path("there").exists()


def test_a_folder_without_trained_tasks_says_what_to_do(run):
    code, out, err = run("there")
    assert (code, out) == (2, "")
    assert "no finished task in there" in err
    assert "sft-advisor train multitask there NAME=PLAN.toml" in err
