"""What a run may reach: nothing that its plan does not name, and nothing at all where the user says so."""

from pathlib import Path

import msgspec
import pytest

from tests.trainers.plans import lora_plan
from trainers.network import HUB_OFF, NO_REPORTS, VARIABLE, network_environment, network_of, stay_quiet, trackers_of
from trainers.plan import DatasetRef, ModelRef, TrainingPlan


def plan(model: str, data: str, *trackers: str) -> TrainingPlan:
    return msgspec.structs.replace(
        lora_plan(), model=ModelRef(name=model), dataset=DatasetRef(source=data), report_to=trackers
    )


@pytest.fixture
def here(tmp_path: Path) -> str:
    (tmp_path / "here").mkdir()
    return str(tmp_path / "here")


def test_a_plan_reaches_what_it_names(here: str) -> None:
    assert network_of(plan(here, here), {}) == "none"
    assert network_of(plan("org/model", here), {}) == "hub"
    assert network_of(plan(here, "org/data"), {}) == "hub"
    assert network_of(plan(here, here, "tensorboard"), {}) == "none"
    assert network_of(plan(here, here, "wandb"), {}) == "all"


def test_usage_reports_are_off_and_the_hub_too_where_all_is_local(here: str) -> None:
    assert network_environment(plan(here, here), {}) == NO_REPORTS | HUB_OFF
    assert network_environment(plan("org/model", here), {}) == NO_REPORTS


def test_what_the_user_set_stays_and_the_flag_is_stronger(here: str) -> None:
    user = {"HF_HUB_DISABLE_TELEMETRY": "0", "HF_HUB_OFFLINE": "0"}
    assert not network_environment(plan(here, here), user).keys() & user.keys()
    assert network_environment(plan("org/model", here), {**user, VARIABLE: "none"})["HF_HUB_OFFLINE"] == "1"


def test_a_tracker_writes_to_disk_where_it_may_not_send(here: str) -> None:
    assert network_environment(plan(here, here, "wandb"), {VARIABLE: "hub"})["WANDB_MODE"] == "offline"
    assert "WANDB_MODE" not in network_environment(plan(here, here, "wandb"), {})


def test_this_process_is_quiet_before_a_library_looks() -> None:
    environment = {"DO_NOT_TRACK": "0"}
    stay_quiet(environment, "none")
    assert environment == {**NO_REPORTS, "DO_NOT_TRACK": "0", VARIABLE: "none", **HUB_OFF}


def test_a_tracker_that_lives_elsewhere_gets_nothing_without_all(here: str) -> None:
    named = plan(here, here, "comet_ml", "wandb", "tensorboard")
    assert trackers_of(named, {}) == ["comet_ml", "wandb", "tensorboard"]
    assert trackers_of(named, {VARIABLE: "none"}) == ["wandb", "tensorboard"]
    assert network_environment(named, {VARIABLE: "none"})["WANDB_MODE"] == "offline"
