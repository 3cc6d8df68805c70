"""The NVIDIA side when driver, library or card fail, through the real pynvml and a stand-in: a finding each time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from advisor.probe import nvml_errors
from tests.probe import stand_in as machines
from tests.probe.stand_in import codes, fault, gpu, one, process, system, timed_probes
from tests.waiting import PATIENCE_SECONDS

MIB, GIB = 1024**2, 1024**3


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
        timeout=PATIENCE_SECONDS,
        check=True,
        cwd=machines.REPOSITORY,
        env={**os.environ, "LD_LIBRARY_PATH": str(library)},
    )
    assert [found["state"] for found in json.loads(child.stdout)["gpus"]] == states


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
    assert time.monotonic() - start < PATIENCE_SECONDS
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
from advisor.probe.nvidia import understand
from advisor.probe.surroundings import Surroundings
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
        timeout=PATIENCE_SECONDS,
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


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("SOAK"), reason="a duration belongs to `make soak`, not to a busy machine")
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
