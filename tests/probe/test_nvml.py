"""The NVIDIA side, through the real pynvml and a stand-in for the driver's library."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from advisor.probe import nvml_errors
from advisor.probe.hardware import Gpu, Hardware
from advisor.probe.nvml import _text
from tests.probe import stand_in as machines
from tests.probe.stand_in import fault, gpu, mig, probe_machines, process, system, timed_probes

MIB, GIB = 1024**2, 1024**3


def one(library: Path, profile: str, root: Path, **more: object) -> Hardware:
    return probe_machines(library, [profile], root=root, **more)[0]  # type: ignore[arg-type]


FROM_A_THREAD = """
import json, os, sys
from pathlib import Path
del os.fork
from advisor.probe import hardware_to_json, probe
os.environ["STAND_IN_NVML"] = sys.argv[1]
sys.stdout.write(hardware_to_json(probe(env={}, root=Path(sys.argv[2]), driver_limit_seconds=0.5)).decode())
sys.stdout.flush()
os._exit(0)  # a thread that hangs in the driver cannot be joined
"""


@pytest.mark.parametrize(("call", "states"), [("nothing", ["ok", "ok"]), ("nvmlDeviceGetMigMode", ["error", "ok"])])
def test_where_there_is_no_fork_a_thread_asks(
    library: Path, root: Path, tmp_path: Path, call: str, states: list[str]
) -> None:
    profile = tmp_path / "machine.txt"
    profile.write_text(machines.PAIR_3090 + fault(call, machines.HANG, device=0))
    child = subprocess.run(
        [sys.executable, "-c", FROM_A_THREAD, str(profile), str(root)],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        cwd=machines.REPOSITORY,
        env={**os.environ, "LD_LIBRARY_PATH": str(library)},
    )
    assert [found["state"] for found in json.loads(child.stdout)["gpus"]] == states


def codes(hardware: Hardware) -> set[str]:
    return {finding.code for finding in hardware.findings}


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


def test_a_known_card_with_zero_memory_is_broken_not_unified(library: Path, root: Path) -> None:
    hardware = one(library, machines.ZERO_TOTAL, root)
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


def test_no_library_is_absent_and_says_so(tmp_path: Path, root: Path) -> None:
    hardware = one(tmp_path, "", root)
    assert hardware.state == "absent"
    assert codes(hardware) == {"nvml-library-not-found"}


@pytest.mark.parametrize("sign", ["dev/nvidia0", "proc/driver/nvidia/version", "dev/dxg"])
def test_no_library_beside_a_card_is_unusable(tmp_path: Path, root: Path, sign: str) -> None:
    (root / sign).parent.mkdir(parents=True, exist_ok=True)
    (root / sign).touch()
    hardware = one(tmp_path, "", root)
    assert hardware.state == "unusable"
    assert hardware.findings[0].severity == "error" and hardware.findings[0].fix


def test_a_jetson_without_the_library_shares_the_system_memory(tmp_path: Path, root: Path) -> None:
    tree = root / "sys/firmware/devicetree/base"
    tree.mkdir(parents=True)
    (tree / "compatible").write_text("nvidia,p3737\0nvidia,tegra234\0")
    (tree / "model").write_text("NVIDIA Jetson AGX Orin Developer Kit\0")
    hardware = one(tmp_path, "", root)
    card = hardware.gpus[0]
    assert (hardware.state, hardware.accelerator, card.kind, card.compute_capability) == (
        "partial",
        "cuda",
        "unified",
        "8.7",
    )
    assert (card.total_bytes, card.free_bytes) == (64 * GIB, 60 * GIB)


def pci_device(root: Path, vendor: str, kind: str) -> None:
    device = root / "sys/bus/pci/devices/0000:01:00.0"
    device.mkdir(parents=True)
    (device / "vendor").write_text(vendor)
    (device / "class").write_text(kind)


@pytest.mark.parametrize(
    ("vendor", "kind", "state"),
    [("0x10de", "0x030200", "unusable"), ("0x10de", "0x040300", "absent"), ("0x8086", "0x030000", "absent")],
)
def test_a_driver_that_is_not_loaded(library: Path, root: Path, vendor: str, kind: str, state: str) -> None:
    pci_device(root, vendor, kind)
    hardware = one(library, fault("nvmlInitWithFlags", 9), root)
    assert hardware.state == state
    assert "nvml-driver-not-loaded" in codes(hardware)


def test_a_driver_without_devices(library: Path, root: Path) -> None:
    assert one(library, system(), root).state == "absent"
    (root / "dev/nvidia0").touch()
    hardware = one(library, system(), root)
    assert (hardware.state, codes(hardware)) == ("unusable", {"nvml-no-device"})
    assert (
        one(library, system(), root, env={"container": "docker", "NVIDIA_VISIBLE_DEVICES": "void"}).state
        == "unusable"
    )


def test_a_hung_call_ends_in_a_finding_and_the_other_cards_are_read(library: Path, root: Path) -> None:
    profile = machines.PAIR_3090 + fault("nvmlDeviceGetMigMode", machines.HANG, device=0)
    start = time.monotonic()
    hardware = one(library, profile, root, limit=0.5)
    assert time.monotonic() - start < 6
    assert hardware.state == "partial"
    assert [g.state for g in hardware.gpus] == ["error", "ok"]
    hung = next(finding for finding in hardware.findings if finding.code == "nvml-hung")
    assert "MIG mode" in hung.what and hung.fix


def test_a_driver_that_hangs_at_once_is_unusable(library: Path, root: Path) -> None:
    hardware = one(library, machines.T4 + fault("nvmlInitWithFlags", machines.HANG), root, limit=0.5)
    assert (hardware.state, codes(hardware)) == ("unusable", {"nvml-hung"})


def test_a_library_that_crashes_takes_only_its_card(library: Path, root: Path) -> None:
    profile = machines.PAIR_3090 + fault("nvmlDeviceGetName", machines.CRASH, device=1)
    hardware = one(library, profile, root)
    assert [g.state for g in hardware.gpus] == ["ok", "error"]
    assert "nvml-crashed" in codes(hardware)


def test_a_library_that_ended_its_session_is_started_again(library: Path, root: Path) -> None:
    hardware = one(library, machines.T4 + fault("nvmlDeviceGetCount_v2", 1), root)
    assert (hardware.state, codes(hardware)) == ("unusable", {"nvml-uninitialized"})


@pytest.mark.parametrize(
    "symbol",
    [
        "nvmlDeviceGetMigMode",
        "nvmlDeviceGetP2PStatus",
        "nvmlSystemGetCudaDriverVersion_v2",
        "nvmlDeviceGetUUID",
        "nvmlDeviceGetCudaComputeCapability",
        "nvmlDeviceGetPciInfo_v3",
        "nvmlErrorString",
        "nvmlShutdown",
    ],
)
def test_any_symbol_may_be_missing(library: Path, tmp_path: Path, root: Path, symbol: str) -> None:
    hardware = one(machines.build(tmp_path / "lib", [symbol]), machines.PAIR_3090, root)
    assert hardware.state == "ok"
    assert len(hardware.usable_gpus) == 2
    assert hardware.gpus[0].compute_capability == "8.6"


SYSTEM_CALLS = (
    "nvmlInitWithFlags",
    "nvmlSystemGetDriverVersion",
    "nvmlSystemGetCudaDriverVersion_v2",
    "nvmlDeviceGetCount_v2",
)
CARD_CALLS = (
    "nvmlDeviceGetHandleByIndex_v2",
    "nvmlDeviceGetUUID",
    "nvmlDeviceGetName",
    "nvmlDeviceGetCudaComputeCapability",
    "nvmlDeviceGetMigMode",
    "nvmlDeviceGetMemoryInfo_v2",
    "nvmlDeviceGetVirtualizationMode",
    "nvmlDeviceGetComputeMode",
    "nvmlDeviceGetDisplayActive",
    "nvmlDeviceGetEccMode",
    "nvmlDeviceGetEnforcedPowerLimit",
    "nvmlDeviceGetPowerManagementDefaultLimit",
    "nvmlDeviceGetMaxPcieLinkGeneration",
    "nvmlDeviceGetMaxPcieLinkWidth",
    "nvmlDeviceGetCurrPcieLinkWidth",
    "nvmlDeviceGetPciInfo_v3",
    "nvmlDeviceGetRemappedRows",
    "nvmlDeviceGetComputeRunningProcesses_v3",
    "nvmlDeviceGetGraphicsRunningProcesses_v3",
    "nvmlDeviceGetP2PStatus",
)
SLICE_CALLS = (
    "nvmlDeviceGetMaxMigDeviceCount",
    "nvmlDeviceGetMigDeviceHandleByIndex",
    "nvmlDeviceGetAttributes_v2",
    "nvmlDeviceGetGpuInstanceId",
    "nvmlDeviceGetComputeInstanceId",
)
NORMAL = {
    ("nvmlDeviceGetMigDeviceHandleByIndex", nvml_errors.NOT_FOUND),
    ("nvmlDeviceGetMigDeviceHandleByIndex", nvml_errors.INVALID_ARGUMENT),
    ("nvmlSystemGetCudaDriverVersion_v2", nvml_errors.FUNCTION_NOT_FOUND),
}
"""An empty MIG slot, and a call that has an older twin: not worth a finding."""

_MATRIX_CHILD = """
import json, os, sys, tempfile
from pathlib import Path
import msgspec
from advisor.probe.nvidia import Surroundings, understand
from advisor.probe.nvml import read_driver
around = Surroundings(root=Path(sys.argv[1]), env={}, ram_total_bytes=1 << 36, ram_available_bytes=1 << 35)
results = []
with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
    os.environ["STAND_IN_NVML"] = file.name
    for profile in json.load(sys.stdin):
        file.seek(0); file.truncate(); file.write(profile); file.flush()
        results.append(msgspec.to_builtins(understand(read_driver(lambda call, device: None), around)))
json.dump(results, sys.stdout)
"""


def test_every_return_code_at_every_call_is_a_finding_with_a_remedy(library: Path, root: Path) -> None:
    known = [code for code in nvml_errors.MEANINGS if code > 0]
    cases = [
        (call, code, device)
        for calls, device in ((SYSTEM_CALLS, "any"), (CARD_CALLS, 1), (SLICE_CALLS, 0))
        for call in calls
        for code in [*known, 77]
    ]
    third = gpu("NVIDIA A100-SXM4-80GB", 81920, "8.0", number=2, **machines.DATA_CENTRE)
    second = gpu("NVIDIA A100-SXM4-80GB", 81920, "8.0", number=1, **machines.DATA_CENTRE)
    machine = machines.MIG_A100 + second + process(9, 600) + third
    child = subprocess.run(
        [sys.executable, "-c", _MATRIX_CHILD, str(root)],
        input=json.dumps([machine + fault(*case[:2], device=case[2]) for case in cases]),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=machines.REPOSITORY,
        env={**os.environ, "LD_LIBRARY_PATH": str(library), "PYTHONPATH": str(machines.REPOSITORY)},
    )
    assert child.returncode == 0, child.stderr
    reports = json.loads(child.stdout)
    assert len(reports) == len(cases) > 900
    for (call, code, device), report in zip(cases, reports, strict=True):
        slug = nvml_errors.meaning(code).slug
        found = [finding for finding in report["findings"] if finding["code"] == f"nvml-{slug}"]
        assert found or (call, code) in NORMAL, (call, code)
        assert all(finding["what"] and finding["why"] and finding["fix"] for finding in report["findings"])
        assert report["state"] != "absent", (call, code)
        if device != "any" or call in ("nvmlSystemGetDriverVersion", "nvmlSystemGetCudaDriverVersion_v2"):
            usable = [g for g in report["gpus"] if g["index"] == 2 and g["state"] == "ok"]
            assert usable and usable[0]["free_bytes"] == (81920 - 400) * MIB, (call, code)


def test_the_probe_costs_less_than_50_ms_beyond_the_driver(library: Path, root: Path) -> None:
    import resource

    def cpu() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    runs = 12
    before = cpu()
    timed_probes(library, [machines.T4], root=root)
    start_up = cpu() - before
    before = cpu()
    results = timed_probes(library, [machines.T4] * (1 + runs), root=root)
    per_probe = (cpu() - before - start_up) / runs
    assert per_probe < 0.05, f"{per_probe * 1000:.1f} ms of CPU"
    assert min(seconds for _, seconds in results) < 0.2  # wall time on a busy machine


def test_usable_memory_of_a_gpu_is_none_when_nothing_is_known() -> None:
    assert Gpu(index=0, name="x").usable_bytes is None
    assert Gpu(index=0, name="x", total_bytes=100 * GIB).usable_bytes == 97 * GIB
