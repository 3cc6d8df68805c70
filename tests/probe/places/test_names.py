"""Machines as people write them, each with what it is: nodes, devices of a node, the card, and its RAM."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.base.errors import InputError
from advisor.probe import hardware_from_text
from advisor.probe.places.context import host_words, names_no_card, without_context
from advisor.probe.places.table import places

GIB = 1024**3
H100, A100, RTX4090 = "NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-80GB", "NVIDIA GeForce RTX 4090"
SAID = list(csv.DictReader((Path(__file__).parents[2] / "fixtures/machines/said.csv").open(encoding="utf-8")))
LAPTOP = "NVIDIA GeForce RTX {} Laptop GPU"


@pytest.mark.parametrize("row", SAID, ids=lambda row: row["said"])
def test_names_as_people_write_them_mean_these_machines(row: dict[str, str]) -> None:
    hardware = hardware_from_text(row["said"])
    assert {gpu.name for gpu in hardware.gpus} == {row["name"]}
    assert (hardware.num_nodes, len(hardware.gpus)) == (int(row["nodes"]), int(row["gpus"]))
    assert round((hardware.gpus[0].total_bytes or 0) / GIB, 1) == float(row["gib"])
    assert (hardware.offer.place if hardware.offer else "") == row["place"]
    assert not row["ram_gib"] or hardware.host.ram_total_bytes == float(row["ram_gib"]) * GIB


@pytest.mark.parametrize(
    ("text", "cards"),
    [
        ("1x4090 1x3090", (1, 1)),
        ("4090 3090", (1, 1)),
        ("2x4090 2x3090", (2, 2)),
        ("rtx 4090 and a 3090", (1, 1)),
        ("4090＋3090, 64G内存", (1, 1)),
    ],
)
def test_two_kinds_of_card_need_no_plus(text: str, cards: tuple[int, int]) -> None:
    names = [gpu.name for gpu in hardware_from_text(text).gpus]
    assert tuple(names.count(f"NVIDIA GeForce RTX {number}") for number in (4090, 3090)) == cards


@pytest.mark.parametrize("text", ["epyc 7763 256gb", "ryzen 7950x, 64gb", "i9-13900k 32gb"])
def test_a_size_beside_a_processor_is_no_card(text: str) -> None:
    with pytest.raises(InputError) as caught:
        hardware_from_text(text)
    assert "names no GPU" in (caught.value.problems[0].why or "")


@pytest.mark.parametrize("text", ["4070 32gb", "4090 8gb", "4090 8gb 3090", "rtx 6000 4090"])
def test_what_is_not_understood_is_not_cut_until_it_is(text: str) -> None:
    with pytest.raises(InputError):
        hardware_from_text(text)


def test_words_of_another_script_that_nobody_reads_are_named() -> None:
    (note,) = [finding for finding in hardware_from_text("矩池云 3090").findings if finding.code == "words-left-out"]
    assert "矩池云" in note.what
    assert not any(finding.code == "words-left-out" for finding in hardware_from_text("两张3090").findings)


@pytest.mark.parametrize(
    ("text", "nodes", "count", "name"),
    [
        ("modal H100:8", 1, 8, H100),
        ("modal 8x H100", 1, 8, H100),
        ("2 nodes of modal H100:8", 2, 8, H100),
        ("16x modal H100", 2, 8, H100),
        ("RunPod 4x A100 SXM", 1, 4, A100),
        ("vast.ai 2x 4090", 1, 2, RTX4090),
        ("Colab with L4", 1, 1, "NVIDIA L4"),
        ("Kaggle T4", 1, 2, "Tesla T4"),
        ("together 8x h100", 1, 8, H100),
        ("p5.48xlarge spot", 1, 8, H100),
        ("16x H100 (2 nodes)", 2, 8, H100),
        ("16x H100 (2x8)", 2, 8, H100),
        ("H100 (8 GPUs)", 1, 8, H100),
        ("8 gpu h100 node", 1, 8, H100),
        ("(8x) H100", 1, 8, H100),
        ("slurm 4 nodes 4xA100", 4, 4, A100),
        ("slurm: 2 nodes, 8x H100", 2, 8, H100),
        ("slurm --gres=gpu:a100:4", 1, 4, A100),
        ('{"H100": 8}', 1, 8, H100),
        ("accelerators: A100-80GB:8", 1, 8, A100),
        ("kubernetes 4x L4", 1, 4, "NVIDIA L4"),
        ("3 pcs with a 3090 each", 3, 1, "NVIDIA GeForce RTX 3090"),
        ("supermicro 8x h100", 1, 8, H100),
        ("asus esc8000 with 8x 4090", 1, 8, RTX4090),
        ("workstation 2x RTX 4090", 1, 2, RTX4090),
        ("i9 with 4090", 1, 1, RTX4090),
        ("i9-13900K with RTX 4090", 1, 1, RTX4090),
        ("Ryzen 9 7950X + RTX 4090", 1, 1, RTX4090),
        ("epyc 7763 8x A100", 1, 8, A100),
        ("RTX 4090 on WSL2", 1, 1, RTX4090),
        ("ubuntu 22.04, rtx 4090", 1, 1, RTX4090),
        ("intel core i7-12700H with RTX 3060 laptop", 1, 1, LAPTOP.format(3060)),
        ("razer blade 4090", 1, 1, LAPTOP.format(4090)),
        ("dell xps 15 rtx 4050 laptop", 1, 1, LAPTOP.format(4050)),
        ("asus rog zephyrus g14 4060", 1, 1, LAPTOP.format(4060)),
        ("gtx 1660 ti laptop", 1, 1, "NVIDIA GeForce GTX 1660 Ti"),
        ("8 GB laptop", 1, 1, "GPU with 8 GiB"),
        ("H20x8 96G", 1, 8, "NVIDIA H20"),
        ("mac studio 96gb m3 ultra", 1, 1, "Apple M3 Ultra"),
        ("mining rig 6x 3060 12gb", 1, 6, "NVIDIA GeForce RTX 3060"),
        ("Azure ND A100 v4", 1, 8, "NVIDIA A100-SXM4-40GB"),
        ("hgx h800", 1, 8, "NVIDIA H800"),
        ("hgx a100 4-gpu", 1, 4, A100),
        ("8xH100 DGX", 1, 8, H100),
        ("gb200 nvl4", 1, 4, "NVIDIA GB200"),
        ("GB200 NVL36", 9, 4, "NVIDIA GB200"),
        ("2x DGX Spark", 2, 1, "NVIDIA GB10"),
        ("dgx spark cluster", 2, 1, "NVIDIA GB10"),
        ("4x MI300A", 1, 4, "AMD Instinct MI300A"),
        ("MI250 128GB", 1, 2, "AMD Instinct MI250"),
        ("RTX 6000 PRO Blackwell", 1, 1, "NVIDIA RTX PRO 6000 Blackwell Workstation Edition"),
        ("两台8卡H800", 2, 8, "NVIDIA H800"),
        ("2机16卡 H100", 2, 8, H100),
        ("笔记本 4060", 1, 1, LAPTOP.format(4060)),
        ("RTX 4090 双卡 64G内存", 1, 2, RTX4090),
    ],
)
def test_what_stands_around_a_card_is_understood(text: str, nodes: int, count: int, name: str) -> None:
    hardware = hardware_from_text(text)
    assert (hardware.num_nodes, len(hardware.gpus), hardware.gpus[0].name) == (nodes, count, name)


@pytest.mark.parametrize(
    ("text", "gpus", "ram_gib", "cores"),
    [
        ("cpu only, 32 gb", 0, 32, None),
        ("cpu 16 cores 64gb", 0, 64, 16),
        ("64GB RAM cpu", 0, 64, None),
        ("8 core cpu with 32gb", 0, 32, 8),
        ("cpu, 8 cores, 32 GB", 0, 32, 8),
        ("no gpu, 16gb ram", 0, 16, None),
        ("Xeon server, 128 GB RAM, no GPU", 0, 128, None),
        ("i7 laptop 16GB RAM, no GPU", 0, 16, None),
        ("no graphics card, 16gb", 0, 16, None),
        ("rtx 3060 12gb, 32gb", 1, 32, None),
        ("RTX 4090, 64GB DDR5", 1, 64, None),
        ("rtx 4080, 16 cores, 64gb", 1, 64, 16),
        ("A100 40GB, 40GB", 1, None, None),
        ("n1-highmem-8 with 4 T4", 4, 52, 8),
        ("24GB + 48GB", 2, None, None),
    ],
)
def test_a_size_alone_is_ram_beside_a_card(text: str, gpus: int, ram_gib: float | None, cores: int | None) -> None:
    hardware = hardware_from_text(text)
    assert (len(hardware.gpus), hardware.host.cpu_cores) == (gpus, cores)
    assert hardware.host.ram_total_bytes == (None if ram_gib is None else ram_gib * GIB)


def test_a_disk_and_a_bridge_can_be_said() -> None:
    hardware = hardware_from_text("2x RTX 3090 NVLink, 128GB RAM, 1TB SSD")
    assert hardware.link == "nvlink" and hardware.host.ram_total_bytes == 128 * GIB
    assert hardware.host.output is not None and hardware.host.output.free_bytes == 1024 * GIB
    assert hardware_from_text("2x RTX 4090 NVLink").link == "pcie"


@pytest.mark.parametrize("count", [2, 4, 8])
def test_gpus_sold_singly_cost_their_number(count: int) -> None:
    one, several = hardware_from_text("modal h100").offer, hardware_from_text(f"modal h100:{count}").offer
    assert one is not None and one.usd_per_hour is not None and several is not None
    assert several.usd_per_hour == pytest.approx(one.usd_per_hour * count)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("g7.8xlarge", "one card or two"),
        ("Azure Standard_NC24lds_xl_RTXPRO6000BSE_v6", "a part of a card"),
        ("Colab Pro+", "which machine of Google Colab"),
        ("dgx superpod", "their number"),
        ("dgx gh200", "many sizes"),
        ("g4ad.xlarge", "RDNA 1"),
        ("kaggle tpu", "TPU"),
        ("AWS dl1", "Gaudi"),
        ("RX 580", "before RDNA 2"),
        ("Intel Iris Xe", "Iris"),
        ("nvidia gpu", "does not say which"),
        ("\u6607\u817e910B", "Ascend"),
        ("i9, 64GB RAM", "names no GPU"),
        ("i5 desktop 8gb ram", "names no GPU"),
        ("g5.13xlarge", "a cloud's machine type"),
        ("ecs.gn7i-c99g1.2xlarge", "a cloud's machine type"),
        ("Hugging Face Space ZeroGPU", "to answer and not to train"),
        ("Colab CPU", "without a GPU"),
        ("\u6c90\u66e6 C500", "MetaX"),
    ],
)
def test_a_refusal_says_the_true_reason(text: str, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        hardware_from_text(text)
    assert reason in (caught.value.problems[0].why or "")


def test_a_machine_type_that_is_not_in_the_table_leads_to_its_like() -> None:
    with pytest.raises(InputError) as caught:
        hardware_from_text("g5.13xlarge")
    assert "AWS g5.12xlarge" in (caught.value.problems[0].fix or "")


def test_context_alone_is_no_card_and_a_place_keeps_its_words() -> None:
    assert names_no_card("i9-13900k") and not names_no_card("rtx 4090")
    assert host_words("rtx 4090") is None
    for place in places():
        name = place.name.lower()
        assert hardware_name(name) == hardware_name(without_context(name)), name


def hardware_name(text: str) -> str:
    try:
        return hardware_from_text(text).gpus[0].name
    except InputError as error:
        return str(error.problems[0].why)


@given(st.integers(2, 8), st.sampled_from(["h100", "4090", "l40s", "a100 80gb"]))
def test_every_way_to_write_a_count_says_the_same(count: int, card: str) -> None:
    forms = (
        f"{count}x {card}",
        f"{card} x{count}",
        f"{card}:{count}",
        f"{count} gpus {card}",
        f"{card} ({count} gpus)",
    )
    assert {len(hardware_from_text(form).gpus) for form in forms} == {count}
