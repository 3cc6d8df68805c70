"""Machines in words: what people write is understood, what nobody can mean is refused with the nearest names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from advisor.base.errors import InputError
from advisor.probe import cards, hardware_from_text
from advisor.probe.hardware import Hardware

GIB = 1024**3


def summary(hardware: Hardware) -> tuple[int, int, str]:
    names = list(dict.fromkeys(gpu.name for gpu in hardware.gpus))
    return hardware.num_nodes, len(hardware.gpus), " + ".join(names)


A80, A40 = "NVIDIA A100-SXM4-80GB", "NVIDIA A100-SXM4-40GB"
H100, RTX3090, RTX4090 = "NVIDIA H100 80GB HBM3", "NVIDIA GeForce RTX 3090", "NVIDIA GeForce RTX 4090"


@pytest.mark.parametrize(
    ("text", "nodes", "count", "name"),
    [
        ("RTX 4090", 1, 1, RTX4090),
        ("4090", 1, 1, RTX4090),
        ("rtx4090", 1, 1, RTX4090),
        ("NVIDIA GeForce RTX 4090", 1, 1, RTX4090),
        ("rtx 4090 24GB", 1, 1, RTX4090),
        ("a single RTX 4090", 1, 1, RTX4090),
        ("one 4090", 1, 1, RTX4090),
        ("RTX 4090 Laptop", 1, 1, "NVIDIA GeForce RTX 4090 Laptop GPU"),
        ("8x H100-80GB", 1, 8, H100),
        ("8 x H100", 1, 8, H100),
        ("8×H100", 1, 8, H100),
        ("8*H100", 1, 8, H100),
        ("8 H100s", 1, 8, H100),
        ("H100 x8", 1, 8, H100),
        ("H100 (8x)", 1, 8, H100),
        ("H100 NVL", 1, 1, "NVIDIA H100 NVL"),
        ("h100 pcie", 1, 1, "NVIDIA H100 PCIe"),
        ("2x 24GiB", 1, 2, "GPU with 24 GiB"),
        ("24 GB", 1, 1, "GPU with 24 GiB"),
        ("80GB GPU", 1, 1, "GPU with 80 GiB"),
        ("A100", 1, 1, A80),
        ("A100 40GB", 1, 1, A40),
        ("A100-40G", 1, 1, A40),
        ("A100 80GB PCIe", 1, 1, "NVIDIA A100 80GB PCIe"),
        ("V100 32GB", 1, 1, "Tesla V100-SXM2-32GB"),
        ("T4", 1, 1, "Tesla T4"),
        ("L40S 48GB", 1, 1, "NVIDIA L40S"),
        ("4x A6000", 1, 4, "NVIDIA RTX A6000"),
        ("6000 Ada", 1, 1, "NVIDIA RTX 6000 Ada Generation"),
        ("two RTX 3090s", 1, 2, RTX3090),
        ("dual 3090", 1, 2, RTX3090),
        ("a pair of RTX 3090", 1, 2, RTX3090),
        ("2 nodes of 8x A100-80GB", 2, 8, A80),
        ("2 nodes with 8 A100", 2, 8, A80),
        ("four servers with 4x L40S each", 4, 4, "NVIDIA L40S"),
        ("8x H100 per node, 2 nodes", 2, 8, H100),
        ("16x H100", 2, 8, H100),
        ("2x8 H100", 2, 8, H100),
        ("2x(8x H100)", 2, 8, H100),
        ("8x H100 x 2 nodes", 2, 8, H100),
        ("16x H100 across 2 nodes", 2, 8, H100),
        ("72x GB200", 18, 4, "NVIDIA GB200"),
        ("10x 3090", 1, 10, RTX3090),
        ("1x RTX 3090 + 1x RTX 5090", 1, 2, f"{RTX3090} + NVIDIA GeForce RTX 5090"),
        ("3090 and 5090", 1, 2, f"{RTX3090} + NVIDIA GeForce RTX 5090"),
        ("DGX Spark", 1, 1, "NVIDIA GB10"),
        ("8x MI300X", 1, 8, "AMD Instinct MI300X"),
        ("Arc B580", 1, 1, "Intel(R) Arc(TM) B580 Graphics"),
        ("MacBook Pro M3 Max 64GB", 1, 1, "Apple M3 Max"),
        ("H100x8", 1, 8, H100),
        ("h100:8", 1, 8, H100),
        ("L40Sx4", 1, 4, "NVIDIA L40S"),
        ("4090x2", 1, 2, RTX4090),
        ("4090 x 2", 1, 2, RTX4090),
        ("4090*2", 1, 2, RTX4090),
        ("a100-80gb:4", 1, 4, A80),
        ("nvidia-tesla-t4:2", 1, 2, "Tesla T4"),
        ("2 nodes of H100:8", 2, 8, H100),
        ("1000 H100", 125, 8, H100),
        ("7900 XTX", 1, 1, "AMD Radeon RX 7900 XTX"),
        ("Radeon 7900 XTX", 1, 1, "AMD Radeon RX 7900 XTX"),
        ("MI250X", 1, 2, "AMD Instinct MI250X"),
        ("8x MI250X", 1, 16, "AMD Instinct MI250X"),
        ("K80", 1, 2, "Tesla K80"),
        ("8x A16", 2, 16, "NVIDIA A16"),
        ("GH200 144GB", 1, 1, "NVIDIA GH200 144G HBM3e"),
        ("Jetson Orin Nano 8GB", 1, 1, "Jetson Orin Nano 8GB"),
        ("Jetson Thor", 1, 1, "Jetson AGX Thor T5000"),
        ("Ryzen AI Max+ 395 128GB", 1, 1, "AMD Radeon 8060S"),
        ("M3 Max 30-core 96GB", 1, 1, "Apple M3 Max (30-core GPU)"),
        ("laptop with RTX 3070", 1, 1, "NVIDIA GeForce RTX 3070 Laptop GPU"),
        ("gaming laptop with RTX 4070, 32GB RAM", 1, 1, "NVIDIA GeForce RTX 4070 Laptop GPU"),
        ("RTX7900XT", 1, 1, "AMD Radeon RX 7900 XT"),
        ("8 GPUs with 80GB each", 1, 8, "GPU with 80 GiB"),
        ("12 gigs of vram", 1, 1, "GPU with 12 GiB"),
        ("RTX 4090 with 24GB", 1, 1, RTX4090),
        ("2x RTX 4090 with 24GB and 128GB RAM", 1, 2, RTX4090),
        ("RTX 2080 with Max-Q Design", 1, 1, "NVIDIA GeForce RTX 2080 with Max-Q Design"),
        ("MacBook Pro 14 M3 Pro 18GB", 1, 1, "Apple M3 Pro"),
        ("iMac M1 16GB", 1, 1, "Apple M1"),
        ("64 core CPU, 256GB RAM", 1, 0, ""),
        ("CPU with 64GB", 1, 0, ""),
        ("none", 1, 0, ""),
        ("CPU 64GB", 1, 0, ""),
        ("cpu", 1, 0, ""),
        ("CPU only, 16 cores, 64GB RAM", 1, 0, ""),
    ],
)
def test_what_people_write(text: str, nodes: int, count: int, name: str) -> None:
    hardware = hardware_from_text(text)
    assert summary(hardware) == (nodes, count, name)
    assert (hardware.origin, hardware.description) == ("described", text)
    assert all(gpu.free_bytes == gpu.usable_bytes for gpu in hardware.gpus)
    assert [gpu.index for gpu in hardware.gpus] == list(range(count))


@pytest.mark.parametrize(
    ("text", "free_gib"),
    [
        ("RTX 4090", 23.52),
        ("RTX 4090 48GB", 47.03),
        ("RTX 3060 8GB", 7.84),
        ("A10G", 21.96),
        ("T4", 14.56),
        ("2x 24GiB", 23.52),
        ("H200", 139.72),
    ],
)
def test_a_described_card_offers_what_torch_would_show(text: str, free_gib: float) -> None:
    assert (hardware_from_text(text).smallest_free_bytes or 0) / GIB == pytest.approx(free_gib, abs=0.01)


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("8x H100", "nvlink"),
        ("8x B200", "nvlink"),
        ("2x RTX 3090", "pcie"),
        ("2x RTX 4090", "pcie"),
        ("4x H100 PCIe", "pcie"),
        ("2x 24GiB", "unknown"),
        ("H100", "unknown"),
    ],
)
def test_links_are_never_better_than_known(text: str, link: str) -> None:
    assert hardware_from_text(text).link == link


def test_what_was_assumed_is_told() -> None:
    notes = [finding.what for finding in hardware_from_text("A100").findings if finding.code == "card-assumed"]
    assert len(notes) == 1 and "A100 40GB SXM" in notes[0]
    assert hardware_from_text("A100-SXM4-80GB").findings == ()
    assert "8GB" in hardware_from_text("RTX 3060").findings[0].what
    assert "2 machines with 8 GPUs each" in str(hardware_from_text("16x B200").findings)
    assert hardware_from_text("2 nodes of 8x B200").findings == ()
    assert "one machine with 12 GPUs" in str(hardware_from_text("12x A100").findings)
    assert "shows as 2 devices" in str(hardware_from_text("MI250X").findings)
    assert "power" in str(hardware_from_text("RTX 4060 Laptop").findings)


def test_the_host_is_unknown_unless_told() -> None:
    assert hardware_from_text("RTX 4090").host.ram_available_bytes is None
    assert hardware_from_text("CPU 64GB").host.ram_available_bytes == 64 * GIB
    told = hardware_from_text("RTX 4090, 64GB RAM, 16 cores").host
    assert (told.ram_available_bytes, told.cpu_cores) == (64 * GIB, 16)


def test_unified_memory_is_one_pool() -> None:
    hardware = hardware_from_text("M2 Ultra 192GB")
    assert hardware.accelerator == "mps"
    assert hardware.gpus[0].kind == "unified"
    assert hardware.host.ram_available_bytes == hardware.gpus[0].free_bytes


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "RTX 4090"),
        ("   ", "RTX 4090"),
        ("banana", "RTX 4090"),
        ("RTX 409", "RTX 4090"),
        ("RTX 6000", "RTX 6000 Ada"),
        ("RTX 6000 48GB", "RTX A6000"),
        ("A100 60GB", "A100 40GB SXM"),
        ("TPU v5e", "NVIDIA"),
        ("Ascend 910B", "NVIDIA"),
        ("Gaudi 3", "NVIDIA"),
        ("my laptop", "RTX 4090"),
        ("Jetson", "Jetson Orin Nano 8GB"),
        ("macaroni", "RTX 4090"),
        ("MacBook", "M3 Max 64GB"),
        ("M3 Max", "M3 Max 64GB"),
        ("Radeon 780M", "128GB"),
        ("0x RTX 4090", "RTX 4090"),
        ("-1x RTX 4090", "RTX 4090"),
        ("1001x RTX 3090", "2 nodes of 8x"),
        ("17x A100 over 2 nodes", "RTX 4090"),
        ("RTX 4090, MI300X", "RTX 4090"),
        ("cpu, RTX 4090", "RTX 4090"),
        ("64GB RAM", "RTX 4090"),
        ("0 nodes of 8x H100", "RTX 4090"),
        ("99999 nodes of H100", "RTX 4090"),
        ("0GB", "RTX 4090"),
        ("99999GB", "RTX 4090"),
        ("2x M3 Max 64GB", "RTX 4090"),
        ("8x", "RTX 4090"),
        ("/no/such/file.json", "sft-advisor probe --json"),
        ("nothing.json", "sft-advisor probe --json"),
        ("\0", "RTX 4090"),
    ],
)
def test_nonsense_is_refused_with_the_nearest_names(text: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        hardware_from_text(text)
    for problem in caught.value.problems:
        assert problem.what and problem.why and problem.fix
    assert any(hint in problem.fix for problem in caught.value.problems)


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        hardware_from_text("1x banana + 2x A100 60GB")
    assert len(caught.value.problems) == 2


@given(st.text(max_size=40))
def test_any_text_is_a_machine_or_a_clear_error(text: str) -> None:
    try:
        hardware = hardware_from_text(text)
    except InputError as error:
        assert all(problem.fix for problem in error.problems)
    else:
        assert hardware.origin in ("described", "profile")


@given(st.sampled_from([c for c in cards() if not c.unified]), st.integers(1, 8))
def test_every_card_can_be_described_by_its_label(card: object, count: int) -> None:
    label = card.label  # type: ignore[attr-defined]
    assume(count * card.devices <= 16)  # type: ignore[attr-defined]
    hardware = hardware_from_text(f"{count}x {label}")
    assert {gpu.name for gpu in hardware.gpus} == {card.name}  # type: ignore[attr-defined]
    devices = 1 if "one of" in label else card.devices  # type: ignore[attr-defined]
    assert len(hardware.gpus) * hardware.num_nodes == count * devices


@pytest.mark.parametrize("text", ["this machine", "local", "auto", "Here"])
def test_this_machine_is_measured(text: str) -> None:
    hardware = hardware_from_text(text)
    assert hardware.origin == "measured"
    assert hardware.host.ram_total_bytes


def test_a_described_machine_loads_nothing_of_the_drivers_side() -> None:
    code = "import sys; from advisor.probe import hardware_from_text as read; read('Colab T4'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"advisor.probe.machine", "advisor.probe.nvml", "advisor.probe.nvidia"} & set(done.stdout.split())


def test_a_file_without_a_suffix_is_a_profile(tmp_path: Path) -> None:
    from advisor.probe import hardware_to_json

    file = tmp_path / "machine"
    file.write_bytes(hardware_to_json(hardware_from_text("2x T4")))
    assert len(hardware_from_text(str(file)).gpus) == 2


@pytest.mark.parametrize(
    ("text", "name", "gib"),
    [
        ("A100 MIG 3g.40gb", A80, 38.0),
        ("A100 MIG 3g.20gb", A40, 19.0),
        ("7x A100 1g.10gb", A80, 9.5),
        ("A100 40GB 1g.10gb", A40, 9.5),
        ("H100 1g.20gb", H100, 19.0),
    ],
)
def test_mig_instances_in_words(text: str, name: str, gib: float) -> None:
    hardware = hardware_from_text(text)
    assert len(hardware.usable_gpus) == 1
    gpu = hardware.usable_gpus[0]
    assert (gpu.kind, gpu.name) == ("mig", name)
    assert (gpu.free_bytes or 0) / GIB == pytest.approx(gib)
    assert gpu.compute_share is not None and 0 < gpu.compute_share < 0.6


@pytest.mark.parametrize("text", ["T4 1g.10gb", "3g.40gb", "A100 7g.90gb", "banana 1g.10gb", "A100 60GB 1g.10gb"])
def test_instances_that_no_card_has(text: str) -> None:
    with pytest.raises(InputError):
        hardware_from_text(text)
