"""What stops every method on a machine is said first, and the plan below is that of the repaired machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from advisor.base.errors import EXIT_ENVIRONMENT
from advisor.commands.answer import EXIT_CODES
from advisor.decide.advise import advise
from advisor.decide.environment import as_if_repaired, fault_of_packages, faults_of_devices
from advisor.decide.recommendation import Recommendation
from advisor.model import resolve_model
from advisor.probe import hardware_from_text
from advisor.probe.hardware import GIB, Disk, Finding, Gpu, Hardware, Host, Software
from rules.engine import RuleBook
from tests.decide.conftest import CHATS

Measured = Callable[..., Recommendation]
ROOM = Host(ram_total_bytes=256 * GIB, ram_available_bytes=200 * GIB, cpu_cores=16)


@pytest.fixture
def measured(book: RuleBook) -> Measured:
    def run(hardware: Hardware, model: str = "Llama-3.1-8B", **answers: object) -> Recommendation:
        return advise(CHATS | answers, hardware, resolve_model(model), None, book, search_changes=False)

    return run


def broken(**facts: object) -> Hardware:
    """One H100 with a fault, as the probe leaves it."""
    card = Gpu(index=0, name="NVIDIA H100 80GB HBM3", **facts)  # type: ignore[arg-type]
    fault = Finding(code="nvml-gpu-lost", severity="error", what="GPU 0 is lost.", fix="power-cycle it", device=0)
    return Hardware(state="unusable", gpus=(card,), host=ROOM, findings=(fault,))


def with_driver(name: str, total_gib: int, capability: str, driver: str) -> Hardware:
    total = total_gib * GIB
    card = Gpu(index=0, name=name, total_bytes=total, free_bytes=total - GIB, compute_capability=capability)
    return Hardware(state="ok", accelerator="cuda", gpus=(card,), driver_version=driver, host=ROOM)


@pytest.mark.parametrize("facts", [{"state": "lost"}, {"state": "prohibited", "total_bytes": 80 * GIB}])
def test_a_dead_card_is_to_be_repaired_and_planned_on_as_if_it_were(
    measured: Measured, facts: dict[str, object]
) -> None:
    result = measured(broken(**facts))
    assert EXIT_CODES[result.verdict] == EXIT_ENVIRONMENT
    assert result.headline.startswith("Repair this machine first: GPU 0 is lost.")
    assert result.warnings[0].fix == "power-cycle it"
    assert result.best is not None
    assert result.best.plan.accelerator == "cuda"


def test_a_card_in_mig_mode_without_an_instance_is_planned_on_whole() -> None:
    fault = Finding(code="mig-no-instance", severity="error", what="has none", fix="nvidia-smi mig -cgi 0", device=0)
    card = Gpu(index=0, name="NVIDIA A100-SXM4-80GB", state="error", visible=False)
    repaired = as_if_repaired(Hardware(state="unusable", gpus=(card,), findings=(fault,)))
    assert [gpu.usable for gpu in repaired.gpus] == [True]


@pytest.mark.parametrize(
    ("card", "repair"),
    [
        (("Tesla V100-SXM2-32GB", 32, "7.0", "418.40"), "Update the NVIDIA driver"),
        (("Tesla K80", 11, "3.7", "470.82"), "5.0 or newer"),
    ],
)
def test_a_card_that_no_torch_runs_on_is_an_environment_to_repair(
    measured: Measured, card: tuple[str, int, str, str], repair: str
) -> None:
    result = measured(with_driver(*card))
    assert result.verdict == "repair_first"
    assert repair in result.repairs[0].fix
    assert not any("only the cu126 wheel" in warning.message for warning in result.warnings) or card[2] == "7.0"


def test_a_card_newer_than_this_version_is_not_called_impossible() -> None:
    assert faults_of_devices(with_driver("NVIDIA R200", 200, "14.0", "700.10")) == ()


def test_one_dead_card_of_several_stops_nothing() -> None:
    pair = hardware_from_text("2x RTX 4090")
    lost = msgspec.structs.replace(pair.gpus[1], state="lost")
    assert faults_of_devices(msgspec.structs.replace(pair, state="partial", gpus=(pair.gpus[0], lost))) == ()


def test_a_cache_without_room_for_the_download_is_said_with_its_repair(measured: Measured, tmp_path: Path) -> None:
    cache = Disk(path=str(tmp_path), total_bytes=GIB, free_bytes=GIB // 5)
    host = msgspec.structs.replace(ROOM, cache=cache)
    full = msgspec.structs.replace(hardware_from_text("RTX 4090"), host=host)
    result = measured(full)
    assert result.verdict == "repair_first"
    assert "HF_HOME" in result.repairs[0].fix
    weights = tmp_path / "models--meta-llama--Llama-3.1-8B" / "snapshots" / "abc" / "model.safetensors"
    weights.parent.mkdir(parents=True)
    weights.touch()
    assert measured(full).verdict == "recommended"


def test_a_gated_model_without_a_token_is_said_with_the_way_to_one(measured: Measured, tmp_path: Path) -> None:
    room = Disk(path=str(tmp_path), total_bytes=900 * GIB, free_bytes=900 * GIB)
    for token, verdict in ((False, "repair_first"), (True, "recommended"), (None, "recommended")):
        host = msgspec.structs.replace(ROOM, cache=room, hub_token=token)
        machine = msgspec.structs.replace(hardware_from_text("RTX 4090"), host=host)
        assert measured(machine).verdict == verdict
        assert measured(machine, "Qwen3-8B").verdict == "recommended"


def test_a_package_that_the_method_needs_is_a_repair_where_it_is_missing(book: RuleBook) -> None:
    installed = {name: "1.0" for name in Software.__struct_fields__ if name != "torch_build"}
    for missing, verdict in (("peft", "repair_first"), ("flash_attn", "recommended")):
        software = Software(**(installed | {missing: None}))
        machine, model = hardware_from_text("RTX 4090"), resolve_model("Qwen3-8B")
        result = advise(CHATS, machine, model, None, book, software=software, search_changes=False)
        assert result.verdict == verdict
    assert fault_of_packages(Software(python="3.12"), "lora") is not None
    assert fault_of_packages(None, "lora") is None


def test_a_change_is_judged_on_the_machine_as_it_was_found(book: RuleBook) -> None:
    """A change of an answer leaves the card dead, and one of the machine does not."""
    changes = advise(CHATS, broken(state="lost"), resolve_model("Llama-3.1-8B"), None, book).changes
    assert changes
    for change in changes:
        assert (change.verdict == "recommended") == ("--hardware" in change.flag)


def test_a_gate_comes_before_a_repair(measured: Measured) -> None:
    assert measured(broken(state="lost"), **{"data.examples": 10}).verdict == "do_not_fine_tune"


def test_an_old_card_for_the_display_beside_a_good_one_stops_nothing() -> None:
    good = Gpu(
        index=0, name="NVIDIA GeForce RTX 3090", compute_capability="8.6", total_bytes=24 * GIB, free_bytes=23 * GIB
    )
    old = Gpu(
        index=1, name="NVIDIA GeForce GT 710", compute_capability="3.5", total_bytes=2 * GIB, free_bytes=2 * GIB
    )
    both = Hardware(state="ok", accelerator="cuda", gpus=(good, old), host=ROOM, driver_version="550.54")
    assert faults_of_devices(both) == ()
    assert faults_of_devices(msgspec.structs.replace(both, gpus=(old,)))
