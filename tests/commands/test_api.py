"""The Python API: what `from advisor import ...` gives, whatever was imported before, and what it answers."""

from __future__ import annotations

import doctest
import subprocess
import sys
from pathlib import Path

import pytest

import advisor.commands.api
from advisor.base.errors import InputError
from advisor.commands.api import advise, check_data, estimate, launch, probe
from tests.real_data import chatterbot_messages
from tests.waiting import PATIENCE_SECONDS
from trainers.plan import load_plan

FIRST = "from advisor import advise, probe, estimate, check_data, launch"


def test_the_examples_hold() -> None:
    found = doctest.testmod(advisor.commands.api)
    assert found.attempted >= 6 and found.failed == 0


@pytest.mark.parametrize(
    "lines",
    [
        f"{FIRST}; import advisor.probe.machine, advisor.estimate.result",
        f"import advisor.probe.machine, advisor.estimate.result; {FIRST}",
        f"{FIRST}; from advisor.probe import lookup; from advisor.estimate import Stack",
    ],
)
def test_rooms_and_functions_share_a_name_in_any_order_and_import_nothing_heavy(lines: str) -> None:
    called = "assert probe('RTX 4090').gpus and estimate(model='Qwen3-8B', hardware='RTX 4090').fits"
    heavy = "import sys; assert not {'torch', 'transformers', 'numpy', 'polars'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", f"{lines}; {called}; {heavy}"], check=True, timeout=PATIENCE_SECONDS)


def test_an_advice_holds_the_plan_that_the_command_saves(tmp_path: Path) -> None:
    advice = advise(model="Qwen3-8B", hardware="RTX 4090", data_examples=5000)
    advice.save_plan(tmp_path / "plan.toml")
    assert load_plan(tmp_path / "plan.toml") == advice.plan
    assert advice.summary.headline == advice.headline
    shown = advice._repr_html_()
    assert shown.startswith("<iframe srcdoc=") and "Qwen3-8B" in shown and shown.count("<") == 2
    assert estimate(advice.plan, model="Qwen3-8B", hardware="RTX 4090").plan == advice.plan


def test_an_unknown_keyword_is_answered_with_the_nearest_question() -> None:
    with pytest.raises(InputError) as refused:
        advise(model="Qwen3-8B", data_example=5000)
    assert refused.value.problems[0].fix == "did you mean data_examples?"


def test_data_are_checked_and_a_plan_without_data_is_refused(tmp_path: Path) -> None:
    chatterbot_messages(tmp_path / "chats.jsonl", limit=20)
    assert check_data(tmp_path / "chats.jsonl").profile.num_examples == 20
    plan = advise(model="Qwen3-8B", hardware="RTX 4090", data_examples=5000).plan
    assert plan is not None
    with pytest.raises(InputError, match="names no dataset"):
        launch(plan)
    assert probe("cpu").accelerator == "cpu"
