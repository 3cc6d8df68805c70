"""Places: each name finds one machine, and what it brings is said with its day and source."""

from __future__ import annotations

import pytest

from advisor.base.errors import InputError
from advisor.probe import hardware_from_text, lookup
from advisor.probe.places.table import place_of, places

GIB = 1024**3


def test_every_place_is_found_by_each_of_its_names_and_has_a_known_card() -> None:
    assert len(places()) > 500
    for place in places():
        for name in (place.name, *place.aliases):
            assert place_of(name) is place, name
        card = lookup(place.gpu)
        assert card is not None or "Gaudi" in place.gpu, place.gpu
        assert place.source and place.gpus > 0 and place.nodes > 0
        assert place.usd_per_hour is None or place.price_date, place.name


def test_every_place_that_can_be_trained_on_can_be_described_by_its_name() -> None:
    for place in places():
        if "Gaudi" in place.gpu:
            with pytest.raises(InputError, match="not supported"):
                hardware_from_text(place.aliases[0])
            continue
        hardware = hardware_from_text(place.name)
        assert (hardware.num_nodes, len(hardware.gpus)) == (place.nodes, place.gpus), place.name
        assert hardware.offer is not None and hardware.offer.place == place.name
        if place.gpu_memory_gib:
            gib = (hardware.gpus[0].total_bytes or 0) / GIB
            assert gib == pytest.approx(place.gpu_memory_gib, rel=0.02), place.name


@pytest.mark.parametrize(
    ("text", "nodes", "count", "name", "ram_gib"),
    [
        ("Colab", 1, 1, "Tesla T4", 12.7),
        ("Colab T4", 1, 1, "Tesla T4", 12.7),
        ("colab pro+ A100", 1, 1, "NVIDIA A100-SXM4-40GB", 83.5),
        ("Kaggle T4 x2", 1, 2, "Tesla T4", 31.36),
        ("g5.12xlarge", 1, 4, "NVIDIA A10G", 192),
        ("ml.g5.12xlarge instance", 1, 4, "NVIDIA A10G", 192),
        ("2x g5.12xlarge", 2, 4, "NVIDIA A10G", 192),
        ("4 nodes of p5.48xlarge", 4, 8, "NVIDIA H100 80GB HBM3", 2048),
        ("p4d", 1, 8, "NVIDIA A100-SXM4-40GB", 1152),
        ("a3-highgpu-8g", 1, 8, "NVIDIA H100 80GB HBM3", 1872),
        ("NC24ads_A100_v4", 1, 1, "NVIDIA A100 80GB PCIe", 220),
        ("Azure Standard NC24ads A100 v4", 1, 1, "NVIDIA A100 80GB PCIe", 220),
        ("p4d.24xl", 1, 8, "NVIDIA A100-SXM4-40GB", 1152),
        ("p5en", 1, 8, "NVIDIA H200", 2048),
        ("Google Colab T4", 1, 1, "Tesla T4", 12.7),
        ("Databricks g5.4xlarge", 1, 1, "NVIDIA A10G", 64),
        ("ND H100 v5", 1, 8, "NVIDIA H100 80GB HBM3", 1900),
        ("DGX H100", 1, 8, "NVIDIA H100 80GB HBM3", 2048),
        ("2 nodes of DGX H100", 2, 8, "NVIDIA H100 80GB HBM3", 2048),
        ("HGX B200", 1, 8, "NVIDIA B200", 1907),
        ("GB200 NVL72", 18, 4, "NVIDIA GB200", 1583),
        ("Lambda 8x H100", 1, 8, "NVIDIA H100 80GB HBM3", 1800),
        ("hf jobs a100x8", 1, 8, "NVIDIA A100-SXM4-80GB", 1136),
    ],
)
def test_places_people_name(text: str, nodes: int, count: int, name: str, ram_gib: float) -> None:
    hardware = hardware_from_text(text)
    assert (hardware.num_nodes, len(hardware.gpus), hardware.gpus[0].name) == (nodes, count, name)
    assert (hardware.host.ram_total_bytes or 0) / GIB == pytest.approx(ram_gib)
    (note,) = [finding for finding in hardware.findings if finding.code == "place-read"]
    assert "was taken for" in note.what and "Source: " in note.why


@pytest.mark.parametrize(
    ("text", "count", "name"),
    [
        ("RunPod A100", 1, "NVIDIA A100-SXM4-80GB"),
        ("vast.ai 4090", 1, "NVIDIA GeForce RTX 4090"),
        ("RunPod 2x 4090", 2, "NVIDIA GeForce RTX 4090"),
        ("H100 on RunPod", 1, "NVIDIA H100 80GB HBM3"),
        ("AWS 8x A100 40GB", 8, "NVIDIA A100-SXM4-40GB"),
    ],
)
def test_a_provider_and_a_card(text: str, count: int, name: str) -> None:
    hardware = hardware_from_text(text)
    assert (len(hardware.gpus), hardware.gpus[0].name) == (count, name)
    assert any(finding.code == "place-read" for finding in hardware.findings)


def test_a_session_limit_a_price_and_its_day_come_with_the_place() -> None:
    free = hardware_from_text("colab").offer
    assert free is not None and (free.usd_per_hour, free.session_hours) == (0, 12)
    hardware = hardware_from_text("g5.xlarge")
    assert hardware.offer is not None and hardware.offer.usd_per_hour == pytest.approx(1.006)
    assert hardware.offer.price_date == "2026-07-20"
    (note,) = hardware.findings
    assert "1.01 US dollars an hour (2026-07-20" in note.why
    assert hardware.host.shm_bytes == 8 * GIB
    assert hardware.host.output is not None and hardware.host.output.free_bytes == 233 * GIB


def test_what_is_said_outweighs_what_the_place_brings() -> None:
    assert hardware_from_text("g5.xlarge, 64GB RAM").host.ram_total_bytes == 64 * GIB


@pytest.mark.parametrize("text", ["Colab Pro", "RunPod", "g5.xlarge + RTX 4090", "AWS banana"])
def test_half_a_place_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        hardware_from_text(text)
