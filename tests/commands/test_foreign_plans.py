"""What a plan of somebody else is refused for, or said of it, before anything is started."""

import json
from pathlib import Path

import pytest

from advisor.base.errors import InputError
from advisor.commands.launch import _say_who_is_told, require_no_own_code
from tests.trainers.plans import lora_plan
from trainers.network import VARIABLE
from trainers.plan import ModelRef


def own_code(folder: Path) -> Path:
    folder.mkdir()
    config = {"model_type": "brand-new", "auto_map": {"AutoModelForCausalLM": "evil.Model"}, "hidden_size": 64}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_a_model_with_program_code_of_its_own_is_refused_before_the_run(tmp_path: Path) -> None:
    plan = lora_plan(model=ModelRef(name=str(own_code(tmp_path / "model"))))
    with pytest.raises(InputError, match="cannot be fine-tuned here") as refused:
        require_no_own_code(plan)
    assert "foreign code is never run" in refused.value.problems[0].why


def test_a_model_of_the_hub_is_left_to_the_run() -> None:
    require_no_own_code(lora_plan(model=ModelRef(name="org/model")))


def test_who_is_told_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    plan = lora_plan(report_to=("wandb", "tensorboard"))
    monkeypatch.delenv(VARIABLE, raising=False)
    _say_who_is_told(plan)
    assert "reports to wandb from your account" in capsys.readouterr().err
    monkeypatch.setenv(VARIABLE, "none")
    _say_who_is_told(plan)
    _say_who_is_told(lora_plan())
    assert capsys.readouterr().err == ""
