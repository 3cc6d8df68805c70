"""AMD, Intel and Apple without torch, from trees of sysfs and a stand-in for sysctl."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.probe import amd, intel
from advisor.probe.amd import visible_amd
from advisor.probe.apple import read_apple
from advisor.probe.machine import probe
from advisor.probe.surroundings import Surroundings

GIB = 1024**3


def around(root: Path) -> Surroundings:
    return Surroundings(root=root, env={}, ram_total_bytes=64 * GIB, ram_available_bytes=40 * GIB)


def drm(root: Path, number: int, vendor: str, **files: str) -> None:
    device = root / f"sys/class/drm/card{number}/device"
    device.mkdir(parents=True)
    (device / "vendor").write_text(vendor + "\n")
    (device / "uevent").write_text(f"DRIVER=x\nPCI_SLOT_NAME=0000:0{number + 3}:00.0\n")
    for name, text in files.items():
        (device / name).write_text(text + "\n")
    (root / f"sys/class/drm/card{number}-DP-1").mkdir()


def instinct(root: Path, number: int, used: int = 0) -> None:
    drm(
        root,
        number,
        "0x1002",
        mem_info_vram_total=str(192 * GIB),
        mem_info_vram_used=str(used),
        mem_info_gtt_total=str(30 * GIB),
        product_name="AMD Instinct MI300X",
    )


def test_an_amd_server(root: Path) -> None:
    instinct(root, 0, used=2 * GIB)
    instinct(root, 1)
    (root / "dev/kfd").touch()
    hardware = probe(env={}, root=root)
    assert (hardware.accelerator, hardware.state, len(hardware.usable_gpus)) == ("rocm", "ok", 2)
    first = hardware.gpus[0]
    assert (first.total_bytes, first.free_bytes, first.architecture) == (192 * GIB, 190 * GIB, "gfx942")
    assert first.sm is None
    assert first.catalogue_name == "AMD Instinct MI300X"


def test_an_amd_card_without_the_compute_device(root: Path) -> None:
    instinct(root, 0)
    hardware = probe(env={}, root=root)
    assert (hardware.accelerator, hardware.state) == ("cpu", "unusable")
    assert "amd-no-kfd" in {finding.code for finding in hardware.findings}


def test_an_apu_is_counted_as_system_memory(root: Path) -> None:
    drm(
        root,
        0,
        "0x1002",
        mem_info_vram_total=str(GIB // 2),
        mem_info_vram_used="0",
        mem_info_gtt_total=str(128 * GIB),
    )
    (root / "dev/kfd").touch()
    gpus, findings = amd.read(around(root))
    assert (gpus[0].kind, gpus[0].total_bytes, gpus[0].free_bytes) == ("unified", 48 * GIB, 40 * GIB)
    assert "gpu-unified" in {finding.code for finding in findings}


@pytest.mark.parametrize(
    ("env", "left"),
    [
        ({}, [0, 1, 2, 3]),
        ({"ROCR_VISIBLE_DEVICES": "2,3"}, [2, 3]),
        ({"ROCR_VISIBLE_DEVICES": "2,3", "HIP_VISIBLE_DEVICES": "1"}, [3]),
        ({"CUDA_VISIBLE_DEVICES": "0"}, [0]),
        ({"HIP_VISIBLE_DEVICES": ""}, []),
        ({"HIP_VISIBLE_DEVICES": "0,9,1"}, [0]),
    ],
)
def test_visibility_of_amd_cards(env: dict[str, str], left: list[int]) -> None:
    assert visible_amd(env, 4) == left


def test_an_intel_card_and_an_integrated_one(root: Path) -> None:
    drm(root, 0, "0x8086", device="0x46a6")
    device = root / "sys/class/drm/card0/device"
    (device / "uevent").write_text("PCI_SLOT_NAME=0000:00:02.0\n")
    assert intel.read(around(root)) == ([], [])
    drm(root, 1, "0x8086", device="0xe20b")
    tile = root / "sys/class/drm/card1/device/tile0"
    tile.mkdir()
    (tile / "physical_vram_size_bytes").write_text(hex(12 * GIB))
    hardware = probe(env={}, root=root)
    assert (hardware.accelerator, hardware.gpus[0].name) == ("xpu", "Intel(R) Arc(TM) B580 Graphics")
    assert hardware.gpus[0].total_bytes == 12 * GIB


def test_an_intel_card_without_figures(root: Path) -> None:
    drm(root, 0, "0x8086", device="0x56a0")
    hardware = probe(env={}, root=root)
    assert (hardware.state, hardware.accelerator) == ("unusable", "cpu")
    assert "intel-no-memory" in {finding.code for finding in hardware.findings}


def test_apple_silicon() -> None:
    answers = {"hw.memsize": str(64 * GIB), "machdep.cpu.brand_string": "Apple M3 Max"}
    gpus, findings, memory = read_apple(lambda name: answers.get(name, ""))
    assert memory == 64 * GIB
    assert (gpus[0].name, gpus[0].kind, gpus[0].free_bytes) == ("Apple M3 Max", "unified", 64 * GIB * 67 // 100)
    assert [finding.code for finding in findings] == ["gpu-unified"]


def test_apple_limits_and_rosetta() -> None:
    answers = {"hw.memsize": str(24 * GIB), "iogpu.wired_limit_mb": "20480", "sysctl.proc_translated": "1"}
    gpus, findings, _ = read_apple(lambda name: answers.get(name, ""))
    assert gpus[0].free_bytes == 20 * GIB
    assert "apple-rosetta" in {finding.code for finding in findings}
    assert read_apple(lambda name: "") == ([], [], None)


def test_display_cards_of_others_are_no_gpu(root: Path) -> None:
    drm(root, 0, "0x1a03")
    assert probe(env={}, root=root).accelerator == "cpu"
