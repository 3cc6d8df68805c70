"""What the driver's answers mean: properties that hold for any answers whatever."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.probe import cards, hardware_from_text
from advisor.probe.hardware import Hardware, Software
from advisor.probe.machine import _environment, _granted_gpus
from advisor.probe.nvidia import understand
from advisor.probe.nvml import Device, Failure, Memory, MigInstance, Pair, Process, Reading
from advisor.probe.nvml_errors import MEANINGS
from advisor.probe.scheduler import read_job
from advisor.probe.surroundings import Surroundings

AMOUNT = st.integers(0, 2**48)
MEMORY = st.builds(Memory, total=AMOUNT, free=AMOUNT, used=AMOUNT, reserved=st.none() | AMOUNT)
SMALL = st.none() | st.integers(0, 4)
NAME = st.none() | st.sampled_from([card.name for card in cards()]) | st.text(max_size=12)
PROCESS = st.builds(Process, pid=st.integers(1, 2**31), used=st.none() | AMOUNT, graphics=st.booleans())
SLICE = st.builds(
    MigInstance,
    slot=st.integers(0, 6),
    uuid=st.none() | st.text(max_size=8),
    name=NAME,
    memory=st.none() | MEMORY,
    multiprocessors=SMALL,
    memory_mb=st.none() | st.integers(0, 10**6),
    gpu_slices=SMALL,
    processes=st.lists(PROCESS, max_size=1).map(tuple),
)
DEVICE = st.builds(
    Device,
    index=st.integers(0, 3),
    reachable=st.booleans(),
    name=NAME,
    uuid=st.none() | st.text(max_size=8),
    capability=st.none() | st.tuples(st.integers(0, 13), st.integers(0, 9)),
    memory=st.none() | MEMORY,
    mig_current=SMALL,
    mig_pending=SMALL,
    mig=st.lists(SLICE, max_size=2),
    virtualization=SMALL,
    compute_mode=SMALL,
    power_limit_mw=SMALL,
    default_power_limit_mw=SMALL,
    pcie_width=SMALL,
    processes=st.lists(PROCESS, max_size=2).map(tuple),
)
READING = st.builds(
    Reading,
    driver_version=st.none() | st.text(max_size=10) | st.just("550.54.15"),
    cuda_version=st.none() | st.integers(0, 99999),
    devices=st.lists(DEVICE, max_size=3, unique_by=lambda device: device.index),
    pairs=st.lists(
        st.builds(Pair, first=st.integers(0, 3), second=st.integers(0, 3), nvlink=SMALL, read=SMALL), max_size=3
    ),
    failures=st.lists(
        st.builds(
            Failure,
            call=st.sampled_from(["nvmlInit", "nvmlDeviceGetMemoryInfo", "nvmlDeviceGetHandleByIndex", "new"]),
            code=st.sampled_from(sorted(MEANINGS)) | st.integers(31, 99),
            device=st.none() | st.integers(0, 3),
        ),
        max_size=4,
    ),
)


@settings(max_examples=150, deadline=None)
@given(READING, st.none() | st.integers(1, 2**40), st.booleans(), st.sampled_from([None, "", "0", "1,0", "GPU-1"]))
def test_any_answers_give_a_report_that_holds_together(
    reading: Reading, ram: int | None, container: bool, mask: str | None
) -> None:
    env = {} if mask is None else {"CUDA_VISIBLE_DEVICES": mask}
    around = Surroundings(
        root=Path("/nowhere"), env=env, ram_total_bytes=ram, ram_available_bytes=ram, container=container
    )
    report = understand(reading, around)
    assert report.state in ("absent", "unusable", "partial", "ok")
    assert (report.state in ("ok", "partial")) == any(gpu.state == "ok" for gpu in report.gpus)
    for gpu in report.gpus:
        if gpu.state == "ok":
            assert gpu.total_bytes is not None and gpu.total_bytes > 0
            assert 0 <= (gpu.free_bytes or 0) <= gpu.total_bytes
            assert 0 <= (gpu.usable_bytes or 0) <= gpu.total_bytes
    assert all(finding.what and finding.fix for finding in report.findings)
    if any(gpu.state != "ok" for gpu in report.gpus):
        assert report.findings
    hardware = Hardware(state=report.state, accelerator="cuda", gpus=report.gpus, findings=report.findings)
    assert msgspec.json.decode(msgspec.json.encode(hardware), type=Hardware) == hardware


def test_a_torch_that_cannot_use_the_card_is_told_without_importing_it() -> None:
    software = Software(python="3.11", torch="2.13.0+cpu", torch_build="cpu")
    machine = msgspec.structs.replace(hardware_from_text("RTX 4090"), software=software, driver_version="580.95.05")
    found = _environment(machine)
    assert [finding.code for finding in found] == ["torch-build"]
    assert "whl/cu130" in found[0].fix
    right = msgspec.structs.replace(software, torch_build="cu130")
    assert _environment(msgspec.structs.replace(machine, software=right)) == []


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({"SLURM_JOB_ID": "1", "SLURM_GPUS_ON_NODE": "1"}, True),
        ({"SLURM_JOB_ID": "1", "SLURM_GPUS_ON_NODE": "1", "CUDA_VISIBLE_DEVICES": "0"}, False),
        ({"SLURM_JOB_ID": "1", "SLURM_GPUS_ON_NODE": "2"}, False),
        ({}, False),
    ],
)
def test_more_cards_than_the_scheduler_granted(env: dict[str, str], told: bool) -> None:
    from advisor.probe.nvidia import NvidiaReport

    report = NvidiaReport(state="ok", gpus=hardware_from_text("2x T4").gpus)
    assert bool(_granted_gpus(report, read_job(env), env)) is told
