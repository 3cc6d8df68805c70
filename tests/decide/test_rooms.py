"""Rooms other than the cards: RAM, disk and storage; more of one never makes the answer worse."""

from __future__ import annotations

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.decide.decision import Inputs, decide
from advisor.model import resolve_model
from advisor.probe import hardware_from_text
from advisor.probe.hardware import Disk, Hardware
from rules.engine import RuleBook
from tests.decide.conftest import CHATS, Advise
from trainers.amounts import MIB

EXPLORED = settings().max_examples
"""100 in `make test`, many more in `make explore`."""
MACHINES = ("RTX 4090", "2x RTX 4090", "8x A100-80GB", "cpu", "M3 Max 64GB")
MODELS = ("Llama-3.2-1B", "Qwen3-8B", "Qwen3-32B", "Qwen3-30B-A3B")


@settings(
    max_examples=EXPLORED // 5 if EXPLORED <= 100 else EXPLORED,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    machine=st.sampled_from(MACHINES),
    model=st.sampled_from(MODELS),
    smaller=st.integers(20, 200_000),
    more=st.floats(1.0, 50.0),
    variants=st.sampled_from([1, 3, 20]),
    weights=st.sampled_from([None, "16bit", "gguf"]),
    room=st.sampled_from(["budget", "ram", "disk"]),
)
def test_more_room_is_never_worse(
    book: RuleBook,
    machine: str,
    model: str,
    smaller: int,
    more: float,
    variants: int,
    weights: str | None,
    room: str,
) -> None:
    """`smaller` in MiB."""
    answers = CHATS | {"storage.variants": variants} | ({"deploy.weights": weights} if weights else {})
    usable = []
    for amount in (smaller * MIB, int(smaller * more * MIB)):
        hardware = with_room(hardware_from_text(machine), room, amount)
        given = answers | ({"storage.budget_bytes": amount} if room == "budget" else {})
        inputs = Inputs(answers=given, hardware=hardware, model=resolve_model(model), data=None, book=book)
        usable.append({candidate.method for candidate in decide(inputs, traced=False).ranked})
    assert usable[0] <= usable[1]


def with_room(hardware: Hardware, room: str, num_bytes: int) -> Hardware:
    replace = msgspec.structs.replace
    if room == "ram":
        return replace(
            hardware, host=replace(hardware.host, ram_total_bytes=num_bytes, ram_available_bytes=num_bytes)
        )
    if room == "disk":
        output = Disk(path="runs", total_bytes=num_bytes, free_bytes=num_bytes)
        return replace(hardware, host=replace(hardware.host, output=output))
    return hardware


def test_loading_a_sharded_model_needs_ram_and_the_remedy_says_how_much(recommend: Advise) -> None:
    result = recommend("4x RTX 4090, 32GB RAM", "Qwen3-32B")
    assert result.verdict == "nothing_fits"
    assert result.remedies[0].startswith("128 GB of RAM")


def test_too_little_disk_names_what_the_leanest_method_writes(recommend: Advise) -> None:
    result = recommend("H100, 256GB RAM, 1GB disk", "Qwen3-32B", data__new_language=True)
    assert result.best is None
    assert any("make room for the run" in remedy for remedy in result.remedies)


def test_a_run_of_days_says_what_would_do_it_in_one(recommend: Advise) -> None:
    result = recommend("cpu, 64GB RAM, 4 cores", "Llama-3.1-8B")
    assert "this CPU is predicted to take" in result.headline
    assert "RTX 4090 would take" in result.headline
