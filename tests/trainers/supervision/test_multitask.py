import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.trainers.plans import lora_plan
from trainers import exit_codes
from trainers.errors import PlanRefused
from trainers.plan import TrainingPlan, plan_from_dict, save_plan
from trainers.run_folder.fingerprint import hold_to_start
from trainers.supervision.multitask import is_trained, obstacles, task_dir, train_tasks
from trainers.supervision.supervise import start
from trainers.training import compare

MakePlan = Callable[..., dict[str, Any]]


def never(plan: TrainingPlan, folder: Path) -> int:
    raise AssertionError("nothing may start")


def finish(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text('{"exit_state": "done"}')
    return exit_codes.DONE


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ({"method": "full"}, "would train the whole model"),
        ({"method": "qlora"}, "do not share one base and method"),
        ({"model": {"name": "another"}}, "do not share one base and method"),
        ({"num_nodes": 2, "num_gpus": 2, "sharding": "ddp"}, "spans 2 nodes"),
        ({"lora_targets": ["lm_head"]}, "lm_head cannot be a LoRA target"),
    ],
)
def test_tasks_that_cannot_share_a_base_are_refused_before_any_training(
    make_plan: MakePlan, tmp_path: Path, second: dict[str, Any], said: str
) -> None:
    plans = {"one": plan_from_dict(make_plan()), "two": plan_from_dict(make_plan(**second))}
    with pytest.raises(PlanRefused, match=said):
        train_tasks(plans, tmp_path, never)
    assert not (tmp_path / "tasks").exists()


@pytest.mark.parametrize("name", ["a.b", "", "base", "default", "two words"])
def test_a_name_that_no_adapter_can_have_is_refused(tmp_path: Path, name: str) -> None:
    assert [refusal.what for refusal in obstacles({name: lora_plan()}, tmp_path)] == [
        f"{name!r} cannot name an adapter"
    ]


def test_every_obstacle_is_found_at_once(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text("")
    plans = {"base": lora_plan(), "two": lora_plan(model={"name": "another"}, lora_targets=["lm_head"])}
    said = " ".join(refusal.what for refusal in obstacles(plans, tmp_path))
    for part in ("is the folder of a single run", "'base' cannot", "two: lm_head", "do not share one base"):
        assert part in said


def test_a_task_that_was_started_keeps_its_plan(tmp_path: Path) -> None:
    hold_to_start(lora_plan(), task_dir(tmp_path, "chat"))
    assert obstacles({"chat": lora_plan(micro_batch_size=1)}, tmp_path) == []
    [refusal] = obstacles({"chat": lora_plan(lora_rank=4)}, tmp_path)
    assert refusal.what == "chat was started with another plan or dataset: lora_rank: 8 -> 4"


def test_a_task_shares_the_base_of_those_that_were_started_before(tmp_path: Path) -> None:
    save_plan(lora_plan(), task_dir(tmp_path, "chat") / "plan.toml")
    assert obstacles({"sql": lora_plan()}, tmp_path) == []
    [refusal] = obstacles({"sql": lora_plan(model={"name": "another"})}, tmp_path)
    assert refusal.why == "chat: lora on some-model; sql: lora on another"


def test_a_failed_task_does_not_stop_the_others_and_what_is_trained_stays(tmp_path: Path) -> None:
    finish(task_dir(tmp_path, "first"))
    carried: list[str] = []

    def carry_out(plan: TrainingPlan, folder: Path) -> int:
        carried.append(folder.name)
        if folder.name == "busy":
            raise PlanRefused("it is in use")
        return exit_codes.DIVERGED if folder.name == "wild" else finish(folder)

    said: list[str] = []
    plans = dict.fromkeys(("first", "wild", "busy", "last"), lora_plan())
    codes = train_tasks(plans, tmp_path, carry_out, said.append)
    assert codes == {"first": 0, "wild": exit_codes.DIVERGED, "busy": exit_codes.BAD_PLAN, "last": 0}
    assert carried == ["wild", "busy", "last"]
    assert said[0] == "task 1 of 4: first is trained already"
    assert "busy did not start: it is in use" in said
    assert [name for name in plans if is_trained(tmp_path, name)] == ["first", "last"]


@pytest.mark.parametrize("code", [exit_codes.STOPPED, exit_codes.INTERRUPTED, 128 + signal.SIGTERM])
def test_nothing_is_started_after_a_task_that_was_stopped(tmp_path: Path, code: int) -> None:
    plans = dict.fromkeys(("one", "two"), lora_plan())
    assert train_tasks(plans, tmp_path, lambda plan, folder: code) == {"one": code}


@pytest.fixture
def results(tmp_path: Path) -> Callable[..., Path]:
    """A task's folder with the configuration of an adapter of this rank."""

    def write(name: str, rank: int) -> Path:
        folder = task_dir(tmp_path, name)
        (folder / "result").mkdir(parents=True)
        (folder / "result" / "adapter_config.json").write_text(json.dumps({"r": rank}))
        return folder

    return write


def test_one_server_holds_all_adapters(results: Callable[..., Path]) -> None:
    folders = {"chat": results("chat", 8), "sql": results("sql", 32)}
    (folders["chat"] / "result" / "chat_template.jinja").write_text("")
    served = compare.serve_together(dict.fromkeys(folders, lora_plan(model={"name": "org/model"})), folders)
    assert served.command is not None
    assert served.command.replace("\\\n ", "").split() == [
        *("vllm", "serve", "org/model", "--enable-lora", "--max-lora-rank", "32", "--max-loras", "2"),
        *("--chat-template", str(folders["chat"] / "result" / "chat_template.jinja"), "--lora-modules"),
        *(f"chat={folders['chat']}/result", f"sql={folders['sql']}/result"),
    ]


def test_an_adapter_that_the_server_refuses_is_named(results: Callable[..., Path]) -> None:
    folders = {"chat": results("chat", 8), "sql": results("sql", 8)}
    served = compare.serve_together({"chat": lora_plan(), "sql": lora_plan(use_dora=True)}, folders)
    assert served.command is None
    assert "sql: it does not load DoRA" in served.refused
    large = compare.serve_together({"big": lora_plan()}, {"big": results("big", 1024)})
    assert "big: its ranks end at 512, the adapter has 1024" in large.refused


@pytest.mark.slow
@pytest.mark.usefixtures("warm_children")
@pytest.mark.parametrize("fields", [{"modules_to_save": ["embed_tokens"]}, {"trainable_token_indices": [5, 6]}])
def test_adapters_that_train_embeddings_are_compared_as_they_were_trained(
    make_plan: MakePlan, tmp_path: Path, fields: dict[str, Any]
) -> None:
    plans = {
        name: plan_from_dict(make_plan(max_steps=3, save_steps=50, eval_steps=50, learning_rate=rate, **fields))
        for name, rate in {"slow": 1e-3, "fast": 1e-2}.items()
    }

    def carry_out(plan: TrainingPlan, folder: Path) -> int:
        code = start(plan, folder)
        assert isinstance(code, int)
        return code

    assert set(train_tasks(plans, tmp_path, carry_out).values()) == {exit_codes.DONE}
    found = compare.compare_tasks(tmp_path)
    for name, losses in found["losses"].items():
        of_run = json.loads((task_dir(tmp_path, name) / "run.json").read_bytes())
        assert losses[name] == pytest.approx(of_run["eval_loss_after"], abs=1e-4)
        assert losses["base"] == pytest.approx(of_run["eval_loss_before"], abs=1e-4)


def test_nothing_to_compare_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert compare.main([str(tmp_path)]) == exit_codes.BAD_PLAN
    assert "no finished task" in capfd.readouterr().err
