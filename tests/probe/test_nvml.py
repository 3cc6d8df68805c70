"""The NVIDIA side, through the real pynvml and a stand-in for the driver's library."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.probe.hardware import Gpu
from advisor.probe.nvml import _text
from tests.probe import stand_in as machines
from tests.probe.stand_in import codes, fault, gpu, mig, one, probe_machines, process, system

MIB, GIB = 1024**2, 1024**3


@pytest.mark.parametrize(
    ("profile", "count", "total_mib", "free_mib", "capability", "link"),
    [
        (machines.A100, 8, 81920, 81120, "8.0", "nvlink"),
        (machines.H100, 8, 81559, 81209, "9.0", "nvlink"),
        (machines.B200, 8, 183359, 182659, "10.0", "nvlink"),
        (machines.GB200, 4, 189471, 188771, "10.0", "nvlink"),
        (machines.L40S, 2, 46068, 45668, "8.9", "pcie"),
        (machines.T4, 1, 15360, 14911, "7.5", "unknown"),
        (machines.A10G, 1, 23028, 22515, "8.6", "unknown"),
    ],
    ids=["A100", "H100", "B200", "GB200", "L40S", "T4", "A10G"],
)
def test_a_healthy_server(
    library: Path, root: Path, profile: str, count: int, total_mib: int, free_mib: int, capability: str, link: str
) -> None:
    hardware = one(library, profile, root)
    assert (hardware.state, hardware.accelerator, len(hardware.usable_gpus)) == ("ok", "cuda", count)
    assert {(g.total_bytes, g.free_bytes, g.usable_bytes) for g in hardware.gpus} == {
        (total_mib * MIB, free_mib * MIB, free_mib * MIB)
    }
    assert {g.compute_capability for g in hardware.gpus} == {capability}
    assert hardware.link == link
    assert all(g.catalogue_name == g.name for g in hardware.gpus)
    assert (hardware.driver_version, hardware.cuda_version) == ("580.95.05", "13.0")
    assert codes(hardware) <= {"torch-build", "gpu-coherent"}  # of the torch that is installed where the test runs


def test_a_desktop_shows_who_holds_memory(library: Path, root: Path) -> None:
    card = one(library, machines.DESKTOP_4090, root).gpus[0]
    assert card.display_active is True
    assert card.free_bytes == (24564 - 474 - 900) * MIB
    assert [(p.pid, p.used_bytes, p.graphics) for p in card.processes] == [(1200, 900 * MIB, True)]


def test_a_display_that_the_flag_denies_is_seen_by_its_process(library: Path, root: Path) -> None:
    profile = system() + gpu("NVIDIA GeForce RTX 3090", 24576, "8.6", display=0) + process(7, 400, graphics=1)
    hardware = one(library, profile, root)
    assert hardware.gpus[0].display_active is True
    assert "gpu-display" in codes(hardware)


def test_a_neighbour_is_named_with_what_he_holds(library: Path, root: Path) -> None:
    (root / "proc/4242").mkdir()
    (root / "proc/4242/comm").write_text("python3\n")
    profile = system() + gpu("NVIDIA A100-SXM4-80GB", 81920, "8.0", used=30720) + process(4242, 30720)
    hardware = one(library, profile, root)
    assert hardware.gpus[0].processes[0].name == "python3"
    shared = next(finding for finding in hardware.findings if finding.code == "gpu-shared")
    assert "30.0 GiB" in shared.what and "4242" in shared.what


def test_a_process_of_both_kinds_is_counted_once(library: Path, root: Path) -> None:
    profile = system() + gpu("Tesla T4", 15360, "7.5", used=100) + process(9, 100) + process(9, 100, graphics=1)
    assert len(one(library, profile, root).gpus[0].processes) == 1


def test_memory_of_processes_is_unknown_under_windows(library: Path, root: Path) -> None:
    (root / "proc/sys/kernel").mkdir(parents=True)
    (root / "proc/sys/kernel/osrelease").write_text("5.15.90.1-microsoft-standard-WSL2\n")
    profile = system() + gpu("NVIDIA GeForce RTX 4090", 24564, "8.9", used=3000) + process(11, -1)
    hardware = one(library, profile, root)
    assert hardware.gpus[0].processes[0].used_bytes is None
    assert {"wsl", "gpu-shared"} <= codes(hardware)
    assert hardware.host.wsl


def test_the_driver_that_miscounts_processes_is_not_believed(library: Path, root: Path) -> None:
    profile = system("535.54.03") + gpu("Tesla T4", 15360, "7.5") + process(9, 100)
    assert one(library, profile, root).gpus[0].processes[0].used_bytes is None
    assert one(library, profile.replace("535.54.03", "535.104.05"), root).gpus[0].processes[0].used_bytes == 100 * MIB


def test_one_lost_card_does_not_hide_the_other(library: Path, root: Path) -> None:
    hardware = one(library, machines.LOST, root)
    assert hardware.state == "partial"
    assert [g.state for g in hardware.gpus] == ["ok", "lost"]
    assert len(hardware.usable_gpus) == 1
    lost = next(finding for finding in hardware.findings if finding.code == "nvml-gpu-lost")
    assert (lost.severity, lost.device) == ("error", 1) and "power-cycle" in lost.fix


def test_cards_of_other_jobs_are_a_note(library: Path, root: Path) -> None:
    denied = "".join(fault("nvmlDeviceGetHandleByIndex_v2", 4, device=number) for number in range(1, 8))
    hardware = one(library, machines.A100 + denied, root)
    assert (hardware.state, len(hardware.usable_gpus)) == ("ok", 1)
    told = [finding for finding in hardware.findings if finding.code == "nvml-no-permission"]
    assert [finding.severity for finding in told] == ["note"] and "1, 2, 3, 4, 5, 6, 7" in told[0].what
    alone = one(library, machines.T4 + fault("nvmlDeviceGetHandleByIndex_v2", 4), root)
    assert alone.state == "unusable"
    assert "error" in {finding.severity for finding in alone.findings}


def test_a_card_lost_half_way_keeps_what_was_read(library: Path, root: Path) -> None:
    card = one(library, machines.PAIR_3090 + fault("nvmlDeviceGetEccMode", 15, device=0), root).gpus[0]
    assert (card.state, card.name) == ("lost", "NVIDIA GeForce RTX 3090")


def test_an_old_driver_lacks_calls_and_still_answers(old_library: Path, root: Path) -> None:
    hardware = one(old_library, system("470.82.01", 11040) + gpu("Tesla T4", 15360, "7.5", used=1000), root)
    card = hardware.gpus[0]
    assert hardware.state == "ok"
    assert card.reserved_bytes is None
    assert card.free_bytes == (15360 - 400 - 1000) * MIB
    assert card.usable_bytes == 15360 * MIB * 97 // 100
    old = next(finding for finding in hardware.findings if finding.code == "nvml-function-not-found")
    assert "compute processes" in old.what and "reserved memory" in old.what


def test_exclusive_mode_is_usable_until_someone_takes_it(library: Path, root: Path) -> None:
    free = one(library, machines.EXCLUSIVE, root)
    taken = one(library, machines.EXCLUSIVE + process(5, 500), root)
    assert (free.gpus[0].exclusive, free.gpus[0].state) == (True, "ok")
    assert taken.gpus[0].state == "prohibited"
    assert "gpu-exclusive-taken" in codes(taken)


def test_prohibited_mode_is_not_usable(library: Path, root: Path) -> None:
    hardware = one(library, system() + gpu("Tesla T4", 15360, "7.5", mode=2), root)
    assert (hardware.gpus[0].state, hardware.usable_gpus) == ("prohibited", ())
    assert "-c DEFAULT" in next(f for f in hardware.findings if f.code == "gpu-prohibited").fix


def test_a_virtual_gpu(library: Path, root: Path) -> None:
    hardware = one(library, machines.VIRTUAL, root)
    assert (hardware.gpus[0].kind, hardware.gpus[0].catalogue_name) == ("vgpu", "NVIDIA A40")
    assert hardware.gpus[0].pcie_width is None
    assert "gpu-virtual" in codes(hardware)


def test_mig_instances_stand_alone(library: Path, root: Path) -> None:
    hardware = one(library, machines.MIG_A100, root)
    assert [(g.kind, g.mig_profile, (g.total_bytes or 0) // MIB) for g in hardware.gpus] == [
        ("mig", "3g.40gb", 40192),
        ("mig", "2g.20gb", 19968),
        ("mig", "1g.10gb", 9728),
    ]
    assert [g.mig_profile for g in hardware.usable_gpus] == ["3g.40gb"]
    assert hardware.gpus[0].compute_share == pytest.approx(42 / 108)
    assert hardware.gpus[0].compute_capability == "8.0"
    assert "mig" in codes(hardware)


def test_an_instance_that_reports_the_whole_card_is_not_believed(library: Path, root: Path) -> None:
    whole = mig(0, 81920, 14, "1g.10gb").replace("memory_mb=81920", "memory_mb=9728")
    profile = system() + gpu("NVIDIA A100-SXM4-80GB", -4, "8.0", mig=1) + whole
    assert one(library, profile, root).gpus[0].total_bytes == 9728 * MIB


def test_mig_mode_without_an_instance_is_no_gpu_to_use(library: Path, root: Path) -> None:
    hardware = one(library, system() + gpu("NVIDIA A100-SXM4-80GB", -4, "8.0", mig=1), root)
    assert (hardware.state, hardware.usable_gpus) == ("unusable", ())
    assert "mig -i 0 -cgi" in next(f for f in hardware.findings if f.code == "mig-no-instance").fix


def test_a_pending_mig_change_is_told(library: Path, root: Path) -> None:
    assert "mig-pending" in codes(
        one(library, system() + gpu("NVIDIA A100-SXM4-80GB", 81920, "8.0", mig=0, pending=1), root)
    )


def test_whole_cards_are_preferred_to_slices(library: Path, root: Path) -> None:
    profile = machines.MIG_A100 + gpu("NVIDIA A100-SXM4-80GB", 81920, "8.0", number=1, mig=0)
    assert [g.kind for g in one(library, profile, root).usable_gpus] == ["gpu"]


def test_unified_memory_is_the_system_memory_once(library: Path, root: Path) -> None:
    hardware = one(library, machines.GB10, root)
    card = hardware.gpus[0]
    assert (card.kind, card.state) == ("unified", "ok")
    assert (card.total_bytes, card.free_bytes) == (64 * GIB, 60 * GIB)
    assert "gpu-unified" in codes(hardware)


def test_unified_memory_that_the_driver_does_report(library: Path, root: Path) -> None:
    card = one(library, system() + gpu("NVIDIA GB10", 65000, "12.1", reserved=0), root).gpus[0]
    assert (card.kind, card.free_bytes) == ("unified", 60 * GIB)


def test_an_unknown_card_without_memory_of_its_own_is_unified(library: Path, root: Path) -> None:
    assert one(library, system() + gpu("NVIDIA Tegra Next", 0, "13.0", reserved=0), root).gpus[0].kind == "unified"


@pytest.mark.parametrize("total", [0, 1 << 21, 1 << 38])
def test_a_known_card_with_a_memory_that_none_has_is_broken_not_unified(
    total: int, library: Path, root: Path
) -> None:
    hardware = one(library, system() + gpu("NVIDIA GeForce RTX 4090", total, "8.9", reserved=0), root)
    assert (hardware.state, hardware.gpus[0].kind, hardware.gpus[0].state) == ("unusable", "gpu", "error")
    assert "gpu-no-memory" in codes(hardware)


def test_a_second_size_of_one_name_is_what_was_measured(library: Path, root: Path) -> None:
    modified = one(library, system() + gpu("NVIDIA GeForce RTX 4090", 49140, "8.9"), root).gpus[0]
    assert modified.total_bytes == 49140 * MIB


@pytest.mark.parametrize(
    ("name", "total", "code"),
    [
        ("NVIDIA H100 CNX", 81559, "gpu-unknown"),
        ("NVIDIA A100-SXM4-80GB", 10000, "gpu-unusual-memory"),
        ("NVIDIA A100-SXM4-80GB", 81251, None),
        ("NVIDIA RTX A6000", 46068, None),
        ("NVIDIA GeForce RTX 3060", 8192, None),
    ],
)
def test_what_the_catalogue_does_not_know_is_told_and_the_measured_figure_used(
    library: Path, root: Path, name: str, total: int, code: str | None
) -> None:
    hardware = one(library, system() + gpu(name, total, "9.0"), root)
    assert hardware.gpus[0].total_bytes == total * MIB
    assert {"gpu-unknown", "gpu-unusual-memory"} & codes(hardware) == ({code} if code else set())


def test_mixed_cards_are_told_and_planned_on_the_smallest(library: Path, root: Path) -> None:
    hardware = one(library, machines.MIXED, root)
    assert hardware.smallest_free_bytes == (24576 - 400) * MIB
    assert {"mixed-cards"} <= codes(hardware)
    assert hardware.link == "pcie"


def test_geforce_40_pairs_need_a_newer_driver(library: Path, root: Path) -> None:
    pair = "".join(gpu("NVIDIA GeForce RTX 4090", 24564, "8.9", number=number) for number in range(2))
    old, new = probe_machines(library, [system("550.40.06") + pair, system("550.40.07") + pair], root=root)
    assert "driver-rtx-40" in codes(old)
    assert "driver-rtx-40" not in codes(new)


def test_weak_links_power_and_memory_errors_are_told(library: Path, root: Path) -> None:
    cards = "".join(
        gpu("NVIDIA GeForce RTX 3090", 24576, "8.6", number=n, width=4, power=200_000, default_power=350_000, rows=1)
        for n in range(2)
    )
    hardware = one(library, system(link="p2p") + cards, root)
    assert hardware.link == "p2p"
    assert hardware.gpus[0].power_limit_ratio == pytest.approx(0.571)
    assert {"gpu-narrow-pcie", "gpu-power-limit", "gpu-rows-pending"} <= codes(hardware)


def test_a_garbled_name_does_not_cost_the_card(library: Path, root: Path) -> None:
    profile = system() + gpu("RTX \udcff\udcfe", 24576, "8.6")
    hardware = one(library, profile, root)
    assert (hardware.state, hardware.gpus[0].state) == ("ok", "ok")
    assert "nvml-garbled-text" in codes(hardware)


def test_old_bindings_return_bytes() -> None:
    assert _text(b"Tesla T4\0") == "Tesla T4"
    assert _text(b"\xff") is not None
    assert _text("") is None


def test_usable_memory_of_a_gpu_is_none_when_nothing_is_known() -> None:
    assert Gpu(index=0, name="x").usable_bytes is None
    assert Gpu(index=0, name="x", total_bytes=100 * GIB).usable_bytes == 97 * GIB
