"""The catalogue: exact names only, and a measured total above everything."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.probe import catalogue
from advisor.probe.catalogue import MIB, cards, lookup, without_vendor
from advisor.probe.hardware import GIB


def test_every_card_is_found_by_its_names_and_makes_sense() -> None:
    names = [card.name for card in cards()]
    assert len(set(names)) == len(names) >= 300
    for card in cards():
        assert lookup(card.name) == card
        assert all(lookup(alias) is not None for alias in card.aliases)
        assert card.source
        assert card.memory_bandwidth_gbs is None or 20 < card.memory_bandwidth_gbs < 20_000
        if card.memory_mib is not None and not card.unified:
            assert card.usable_bytes is not None and card.total_bytes is not None
            assert 0.93 * card.total_bytes < card.usable_bytes <= card.total_bytes
        if card.vendor == "nvidia":
            assert card.compute_capability is not None
            old = float(card.compute_capability) < 8.0
            assert card.bf16_dense_tflops is None or not old
        else:
            assert card.architecture is not None


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA H100 CNX",
        "NVIDIA A10H",
        "NVIDIA GeForce RTX 4090 Ti",
        "Matrox",
        "",
        "NVIDIA",
        "RTX",
        "100",
        "NVIDIA L",
    ],
)
def test_never_by_resemblance(name: str) -> None:
    assert lookup(name) is None


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB HBM3"),
        ("NVIDIA H100 PCIe", "NVIDIA H100 PCIe"),
        ("NVIDIA H200", "NVIDIA H200"),
        ("NVIDIA L40S", "NVIDIA L40S"),
        ("NVIDIA A10G", "NVIDIA A10G"),
        ("GeForce RTX 3090", "NVIDIA GeForce RTX 3090"),
        ("NVIDIA T4", "Tesla T4"),
        ("tesla t4", "Tesla T4"),
        ("NVIDIA A40-48Q", "NVIDIA A40"),
        ("GRID T4-16Q", "Tesla T4"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "NVIDIA GeForce RTX 4090 Laptop GPU"),
    ],
)
def test_the_names_that_fuzzy_searches_get_wrong(name: str, found: str) -> None:
    card = lookup(name)
    assert card is not None and card.name == found


@pytest.mark.parametrize(
    ("name", "gib", "bandwidth"),
    [
        ("NVIDIA GeForce RTX 3060", 12.0, 360),
        ("NVIDIA GeForce RTX 3060", 8.0, 240),
        ("NVIDIA GeForce RTX 3080", 12.0, 912),
        ("NVIDIA GeForce RTX 4090", 47.99, 1008),
    ],
)
def test_the_measured_total_decides_between_two_sizes(name: str, gib: float, bandwidth: float) -> None:
    total = int(gib * GIB) // MIB * MIB
    card = lookup(name, total)
    assert card is not None
    assert card.total_bytes == total
    assert card.memory_bandwidth_gbs == bandwidth


@given(st.sampled_from([card.name for card in cards()]), st.integers(1, 400_000))
def test_a_measured_total_always_wins(name: str, mib: int) -> None:
    card = lookup(name, mib * MIB)
    assert card is not None and card.total_bytes == mib * MIB
    assert (card.usable_bytes is not None and card.usable_bytes <= mib * MIB) or card.memory_mib == mib


def test_vendor_words() -> None:
    assert without_vendor("NVIDIA GeForce RTX 4090") == "rtx 4090"
    assert without_vendor("Intel(R) Arc(TM) B580 Graphics") == "arc b580 graphics"


def test_a_kept_copy_gives_the_same_cards_and_a_broken_one_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFT_ADVISOR_HOME", str(tmp_path))
    read = catalogue.cards.__wrapped__  # past the cache that the other tests share
    parsed = read()
    (kept,) = tmp_path.glob("cards-*.msgpack")
    assert read() == parsed
    kept.write_bytes(b"\x93")
    assert read() == parsed
