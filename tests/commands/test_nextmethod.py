"""Out of memory with nothing left to lower: the next method that fits, taken from the advice that began the run."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from advisor.ask.answers import Layer
from advisor.commands import nextmethod
from advisor.commands.launch import watch_through
from advisor.commands.measure import gather, recommend
from advisor.decide.recommendation import Recommendation
from rules.engine import load_rule_book
from tests.real_data import chatterbot_messages
from tests.trainers import warm
from trainers import exit_codes
from trainers.plan import TrainingPlan, load_plan, plan_from_dict, save_plan
from trainers.supervision import child
from trainers.supervision.supervise import Supervisor


@pytest.fixture
def folder(tmp_path: Path, real_recommendation: Recommendation) -> Path:
    """A run folder as `train` begins it, of a plan with LoRA."""
    (tmp_path / "recommendation.json").write_bytes(msgspec.json.encode(real_recommendation))
    save_plan(candidate(real_recommendation, "lora"), tmp_path / "plan.toml")
    return tmp_path


def candidate(recommendation: Recommendation, method: str) -> TrainingPlan:
    return next(c.plan for c in nextmethod.candidates(recommendation) if c.method == method)


def test_lora_is_followed_by_the_qlora_that_was_judged_beside_it(
    folder: Path, real_recommendation: Recommendation
) -> None:
    found = nextmethod.next_plan(folder)
    assert found is not None
    assert found[0] == candidate(real_recommendation, "qlora")


def test_nothing_follows_qlora_or_a_method_that_does_not_fit(
    folder: Path, real_recommendation: Recommendation
) -> None:
    save_plan(candidate(real_recommendation, "qlora"), folder / "plan.toml")
    assert nextmethod.next_plan(folder) is None
    assert watch_through(folder, lambda **_: exit_codes.OUT_OF_MEMORY) == exit_codes.OUT_OF_MEMORY

    save_plan(candidate(real_recommendation, "lora"), folder / "plan.toml")
    too_large = gather([Layer("flag", {"model": "Llama-3.1-70B", "hardware": "RTX 4090"})])
    unfit = recommend(too_large, load_rule_book(), search_changes=False)
    (folder / "recommendation.json").write_bytes(msgspec.json.encode(unfit))
    assert nextmethod.next_plan(folder) is None


def test_nodes_do_not_choose_each_for_itself(folder: Path, real_recommendation: Recommendation) -> None:
    plan = msgspec.structs.replace(candidate(real_recommendation, "lora"), num_gpus=4, num_nodes=2, sharding="ddp")
    save_plan(plan, folder / "plan.toml")
    assert nextmethod.next_plan(folder) is None


@pytest.mark.slow
def test_a_full_run_that_always_runs_out_ends_as_lora(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every step of the first method runs out of memory, whatever its batch; the second is left in peace."""
    from tests.trainers.conftest import build_tiny_model

    build_tiny_model(tmp_path / "model")
    chatterbot_messages(tmp_path / "chats.jsonl", limit=60)
    plan = plan_from_dict(
        {
            "model": {"name": str(tmp_path / "model")},
            "dataset": {"source": str(tmp_path / "chats.jsonl"), "eval_fraction": 0.2},
            "method": "full", "accelerator": "cpu", "compute_dtype": "fp32", "weights_dtype": "fp32",
            "max_seq_len": 64, "max_steps": 3,
        }
    )  # fmt: skip
    run_dir = tmp_path / "run"
    monkeypatch.setenv("FAULT", json.dumps({"oom_above": 0}))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(child, "spawn", warm.spawn)

    def first(**watchers: object) -> int:
        supervisor = Supervisor(run_dir, module="tests.trainers.faulty_run", **watchers)  # type: ignore[arg-type]
        return supervisor.carry_out(plan)

    assert watch_through(run_dir, first) == exit_codes.DONE
    followed = tmp_path / "run-lora"
    after = load_plan(followed / "plan.toml")
    assert (after.method, after.max_seq_len, after.max_steps, after.dataset) == ("lora", 64, 3, plan.dataset)
    assert (followed / "result" / "adapter_model.safetensors").is_file()
    assert f"the next method that fits is lora: the task continues in {followed}" in capsys.readouterr().err
    events = [json.loads(line)["event"] for line in (run_dir / "events.jsonl").read_text().splitlines()]
    assert events[-2:] == ["end", "next_method"]
