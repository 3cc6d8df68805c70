"""What is said before a race begins."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from advisor.commands.race import _Racing
from tests.trainers.plans import lora_plan


def test_a_race_by_steps_says_how_many_starts_come_beside_its_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"messages": [{"role": "user", "content": "How are you?"}, {"role": "assistant", "content": "Well."}]}
    data = tmp_path / "chats.jsonl"
    data.write_text(f"{json.dumps(row)}\n" * 40)
    plan = lora_plan(model={"name": "SmolLM2-135M"}, dataset={"source": str(data), "num_examples": 40})
    arguments = argparse.Namespace(
        sweep=["learning_rate"], minutes=None, steps=24, tokens=None, run_dir=tmp_path / "race", allow=[]
    )
    racing = _Racing(arguments, plan)
    racing.field = racing._sheet().trials(racing.folder)
    racing._say_prediction()
    said = capsys.readouterr().err
    assert "3 trials: plan, learning_rate-" in said
    assert "24 steps of the plan" in said
    assert "and 3 starts beside it" in said
