"""Every card of the facts table is known by its driver's name and by each alias, with the table's figures."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from advisor.base.errors import InputError
from advisor.probe import hardware_from_text, lookup

ROWS = list(csv.DictReader((Path(__file__).parents[2] / "fixtures/machines/cards.csv").open()))
SUPPORTED = [row for row in ROWS if row["compute_capability"] != "hpu"]
OF_TWO_CHIPS = {"M3 Max"}
"""One name for two chips of different width: the alias means the first."""
OF_A_MACHINE = {"HGX B200", "HGX B300", "AWS g5", "AWS g5g"}
"""The words mean a machine with such cards."""


def number(text: str) -> float | None:
    return float(text) if text else None


@pytest.mark.parametrize("row", SUPPORTED, ids=lambda row: row["name"])
def test_a_card_is_found_by_name_and_alias_with_its_figures(row: dict[str, str]) -> None:
    card = lookup(row["name"])
    assert card is not None and card.name == row["name"]
    assert card.memory_bandwidth_gbs == number(row["memory_bandwidth_gbs"])
    assert card.fp16_dense_tflops == number(row["fp16_dense_tflops"])
    assert card.bf16_dense_tflops == number(row["bf16_dense_tflops"])
    assert (card.compute_capability or card.architecture) == row["compute_capability"]
    if row["memory_mib_nvml"]:
        assert card.memory_mib == int(row["memory_mib_nvml"])
    for alias in set(row["aliases"].split(";")) - OF_TWO_CHIPS:
        found = lookup(alias)
        assert found is not None and found.name == row["name"], alias


@pytest.mark.parametrize("row", [row for row in SUPPORTED if row["memory_mib_nvml"]], ids=lambda row: row["name"])
def test_each_alias_can_be_planned_for(row: dict[str, str]) -> None:
    for alias in {row["name"], *row["aliases"].split(";")} - OF_A_MACHINE:
        gpus = hardware_from_text(alias).gpus
        assert {gpu.name for gpu in gpus} == {row["name"]}, alias
        assert {gpu.total_bytes for gpu in gpus} == {int(row["memory_mib_nvml"]) * 1024**2}, alias


@pytest.mark.parametrize("row", [row for row in ROWS if row not in SUPPORTED], ids=lambda row: row["name"])
def test_an_accelerator_that_nothing_trains_on_is_refused_with_what_is_supported(row: dict[str, str]) -> None:
    for alias in (row["name"], row["aliases"].split(";")[0]):
        with pytest.raises(InputError, match="not supported") as caught:
            hardware_from_text(alias)
        assert "NVIDIA" in caught.value.problems[0].fix and "AMD" in caught.value.problems[0].fix
