from pathlib import Path

import pytest

from tests.trainers.plans import lora_plan
from trainers.training.reporters import prepare_reporters


def test_wandb_without_an_account_writes_into_the_run_folder_and_says_so(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path)}
    said = prepare_reporters(lora_plan(report_to=["wandb"]), tmp_path / "run", environment)
    assert environment["WANDB_MODE"] == "offline"
    assert environment["WANDB_DIR"] == str(tmp_path / "run")
    assert "`wandb sync` sends it later" in said


@pytest.mark.parametrize("known", [{"WANDB_API_KEY": "k"}, {"WANDB_MODE": "disabled"}, {"netrc": "api.wandb.ai"}])
def test_what_the_user_has_set_up_stays(tmp_path: Path, known: dict[str, str]) -> None:
    environment = {"HOME": str(tmp_path), **known}
    if host := known.get("netrc"):
        (tmp_path / ".netrc").write_text(f"machine {host}\n  login user\n  password secret\n")
        (tmp_path / ".netrc").chmod(0o600)
    assert prepare_reporters(lora_plan(report_to=["wandb"]), tmp_path / "run", environment) == ""
    assert environment.get("WANDB_MODE") == known.get("WANDB_MODE")


def test_nothing_is_set_for_others(tmp_path: Path) -> None:
    environment: dict[str, str] = {}
    assert prepare_reporters(lora_plan(report_to=["tensorboard"]), tmp_path, environment) == ""
    assert environment == {}
