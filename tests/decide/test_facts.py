"""Facts: which devices work together, what is derived, and that unknown stays absent."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.decide.facts import DISPLAY_RESERVE_BYTES, GIB, build_facts, choose_devices
from advisor.model import resolve_model
from advisor.probe import hardware_from_text
from advisor.probe.hardware import Gpu, Hardware, Host
from rules.facts import BY_PATH
from trainers.accelerators import ACCELERATORS


def machine(*gpus: Gpu, nodes: int = 1) -> Hardware:
    return Hardware(state="ok", accelerator="cuda", gpus=gpus, num_nodes=nodes)


def card(index: int, name: str, gib: float, **fields: object) -> Gpu:
    size = int(gib * GIB)
    return Gpu(index=index, name=name, total_bytes=size, free_bytes=size, **fields)  # type: ignore[arg-type]


def test_unequal_cards_work_together_when_that_gives_more_memory() -> None:
    devices = choose_devices(machine(card(0, "RTX 3090", 24), card(1, "RTX 5090", 32)))
    assert devices.count == 2
    assert devices.available_bytes == 24 * GIB
    assert "smallest" in devices.notes[0]


def test_a_small_odd_card_is_left_out_and_said_so() -> None:
    devices = choose_devices(machine(card(0, "T4", 16), card(1, "A100", 80), card(2, "A100", 80)))
    assert [gpu.name for gpu in devices.gpus] == ["A100", "A100"]
    assert "leaves out T4" in devices.notes[0]


def test_a_display_keeps_its_reserve() -> None:
    devices = choose_devices(machine(card(0, "RTX 4090", 24, display_active=True)))
    assert devices.available_bytes == 24 * GIB - DISPLAY_RESERVE_BYTES


def test_without_a_gpu_the_budget_is_the_ram() -> None:
    devices = choose_devices(Hardware(host=Host(ram_available_bytes=10 * GIB)))
    assert (devices.accelerator, devices.count, devices.available_bytes) == ("cpu", 1, 10 * GIB)


@given(st.lists(st.tuples(st.sampled_from(["A", "B", "C"]), st.integers(1, 80)), min_size=1, max_size=8))
def test_the_budget_is_never_above_any_used_card(cards: list[tuple[str, int]]) -> None:
    devices = choose_devices(machine(*(card(i, name, gib) for i, (name, gib) in enumerate(cards))))
    assert devices.gpus
    assert devices.available_bytes is not None
    assert all(devices.available_bytes <= (gpu.free_bytes or 0) for gpu in devices.gpus)


@pytest.mark.parametrize(
    ("hardware", "expected"),
    [
        ("RTX 4090", "limited"),
        ("cpu", "limited"),
        ("A100-80GB", "medium"),
        ("4x RTX 4090", "medium"),
        ("8x H100", "ample"),
    ],
)
def test_machine_class_follows_the_guide(hardware: str, expected: str) -> None:
    probed = hardware_from_text(hardware)
    facts = build_facts({}, probed, choose_devices(probed), resolve_model("Qwen3-8B"), None, None)
    assert facts.get("machine.class") == expected
    assert facts.reasons["machine.class"]


def test_every_fact_is_in_the_vocabulary_and_unknown_is_absent() -> None:
    probed = hardware_from_text("2x 24GiB")
    facts = build_facts({"task.count": 3}, probed, choose_devices(probed), resolve_model("Qwen3-8B"), None, None)
    assert set(facts.values) <= set(BY_PATH)
    assert None not in facts.values.values()
    assert facts.get("data.examples") is None
    assert facts.get("storage.variants") == 3


def test_an_answer_outweighs_what_was_derived() -> None:
    probed = hardware_from_text("RTX 4090")
    answers = {"task.count": 3, "storage.variants": 5, "data.examples": 10, "data.total_tokens": 1000}
    facts = build_facts(answers, probed, choose_devices(probed), resolve_model("Qwen3-8B"), None, None)
    assert facts.get("storage.variants") == 5
    assert facts.get("data.len_mean") == 100


def test_mig_slices_never_work_together() -> None:
    slices = [msgspec.structs.replace(card(i, "A100 MIG", 10 * (i + 1)), kind="mig") for i in range(3)]
    devices = choose_devices(machine(*slices))
    assert devices.count == 1
    assert devices.available_bytes == 30 * GIB


def test_four_bit_kernels_are_claimed_for_exactly_the_devices_that_the_tested_bitsandbytes_names() -> None:
    named = pytest.importorskip("bitsandbytes").supported_torch_devices
    assert {name: row.four_bit for name, row in ACCELERATORS.items()} == {
        name: row.torch_device in named for name, row in ACCELERATORS.items()
    }
