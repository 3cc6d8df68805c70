"""ZeRO-2 and ZeRO-3 for real, on two processes of this CPU: `pip install deepspeed` to run it."""

import importlib.util
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.trainers import warm
from tests.trainers.training.test_distributed import TWO, as_if_killed, losses
from trainers import exit_codes
from trainers.plan import plan_from_dict, save_plan
from trainers.supervision.supervise import Supervisor
from trainers.training import run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("deepspeed") is None, reason="pip install deepspeed"),
]


@pytest.mark.parametrize(("method", "sharding"), [("lora", "zero2"), ("lora", "zero3"), ("full", "zero3")])
def test_zero_has_the_curve_of_one_process_and_resumes(
    make_plan: Callable[..., dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    sharding: str,
) -> None:
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    alone, two = tmp_path / "alone", tmp_path / "two"
    save_plan(plan_from_dict(make_plan(method)), alone / "plan.toml")
    assert run.main([str(alone / "plan.toml"), "--run-dir", str(alone)]) == exit_codes.DONE

    save_plan(plan_from_dict(make_plan(method, sharding=sharding, **TWO)), two / "plan.toml")
    for _ in range(2):
        done = warm.run("tests.trainers.zero_on_cpu", str(two / "plan.toml"), "--run-dir", str(two), processes=2)
        assert done.returncode == exit_codes.DONE, done.stderr[-3000:]
        assert losses(two) == pytest.approx(losses(alone), abs=1e-4)
        assert json.loads((two / "run.json").read_bytes())["reload"]["passed"]
        as_if_killed(two, at_step=4)
    assert "going on from step 4" in done.stderr


def test_a_zero_run_that_is_stopped_goes_on_under_the_supervisor(
    make_plan: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    alone, two, many = tmp_path / "alone", tmp_path / "two", {"max_steps": 40, "save_steps": 20, "eval_steps": 40}
    save_plan(plan_from_dict(make_plan(**many)), alone / "plan.toml")
    assert run.main([str(alone / "plan.toml"), "--run-dir", str(alone)]) == exit_codes.DONE

    def stop_it(piece: bytes) -> None:
        if b"step 1/40" in piece:
            os.kill(os.getpid(), signal.SIGTERM)

    two.mkdir()
    plan = plan_from_dict(make_plan(sharding="zero3", **many, **TWO))
    supervisor = Supervisor(two, module="tests.trainers.zero_on_cpu", echo=stop_it)
    assert supervisor.carry_out(plan) == exit_codes.STOPPED
    assert len(losses(two)) < 40
    assert supervisor.carry_out(plan) == exit_codes.DONE
    assert losses(two) == pytest.approx(losses(alone), abs=1e-4)
