"""probe(): this machine as one Hardware record. Asks the driver once, reads a few files, imports nothing heavy."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import msgspec

from advisor.base.language import tr
from advisor.probe.bench import with_kept_rates
from advisor.probe.guarded import CALL_LIMIT_SECONDS, ask_driver
from advisor.probe.hardware import Finding, Gpu, Hardware
from advisor.probe.host import read_host
from advisor.probe.nvidia import NvidiaReport, understand
from advisor.probe.scheduler import Job
from advisor.probe.software import installed_software
from advisor.probe.surroundings import Surroundings
from advisor.probe.wheels import build_faults
from trainers.accelerators import ACCELERATORS, Accelerator


def probe(
    env: Mapping[str, str] | None = None,
    root: Path | None = None,
    output: Path | None = None,
    *,
    driver_limit_seconds: float = CALL_LIMIT_SECONDS,
) -> Hardware:
    """What this process may use, measured now. Never raises: what is wrong is in `findings`.

    `env` and `root` stand for the environment and for "/"; `output` is the folder whose disk matters (default:
    runs). A driver call that takes longer than `driver_limit_seconds` ends in a finding.
    """
    env = os.environ if env is None else env
    root = Path("/") if root is None else root
    driver_answer = (
        None if _is_apple_silicon() else ask_driver(driver_limit_seconds)
    )  # works while the files are read
    host, job, host_findings = read_host(root, env, output or Path("runs"))
    base = Hardware(host=host, num_nodes=job.num_nodes or 1, software=installed_software())
    if driver_answer is None:
        return _apple(base, host_findings)
    around = Surroundings(
        root=root,
        env=env,
        ram_total_bytes=host.ram_total_bytes,
        ram_available_bytes=host.ram_available_bytes,
        container=bool(host.container),
        wsl=host.wsl,
    )
    nvidia = understand(driver_answer(), around)
    findings = [*nvidia.findings, *_granted_gpus(nvidia, job, env)]
    hardware = msgspec.structs.replace(
        base,
        state=nvidia.state,
        accelerator="cuda" if any(gpu.usable for gpu in nvidia.gpus) else "cpu",
        gpus=nvidia.gpus,
        link=nvidia.link,
        driver_version=nvidia.driver_version,
        cuda_version=nvidia.cuda_version,
    )
    if not nvidia.gpus:
        hardware, others = _other_makers(hardware, around)
        findings = others + findings
    findings += _environment(hardware)
    hardware = with_kept_rates(hardware)
    return msgspec.structs.replace(hardware, findings=(*findings, *host_findings))


def _is_apple_silicon() -> bool:
    system: str = sys.platform
    if system != "darwin":
        return False
    from advisor.probe.apple import is_apple_silicon

    return is_apple_silicon()


def _other_makers(hardware: Hardware, around: Surroundings) -> tuple[Hardware, list[Finding]]:
    """The GPUs of the first maker that has any, where NVIDIA has none; the machine unchanged where nobody has."""
    for accelerator, row in ACCELERATORS.items():
        if row.in_sysfs:
            gpus, findings = import_module(f"advisor.probe.{row.vendor}").read(around)
            if gpus:
                return _with(hardware, accelerator, gpus), findings
    return hardware, []


def _with(hardware: Hardware, accelerator: Accelerator, gpus: list[Gpu]) -> Hardware:
    healthy = sum(gpu.state == "ok" for gpu in gpus)
    return msgspec.structs.replace(
        hardware,
        state="ok" if healthy == len(gpus) else "partial" if healthy else "unusable",
        accelerator=accelerator if any(gpu.usable for gpu in gpus) else "cpu",
        gpus=tuple(gpus),
    )


def _apple(base: Hardware, host_findings: list[Finding]) -> Hardware:
    from advisor.probe.apple import read_apple

    gpus, findings, memory = read_apple()
    host = msgspec.structs.replace(base.host, ram_total_bytes=memory, ram_available_bytes=_free(gpus))
    return msgspec.structs.replace(
        base,
        state="ok" if gpus else "absent",
        accelerator="mps" if gpus else "cpu",
        gpus=tuple(gpus),
        host=host,
        findings=(*findings, *(finding for finding in host_findings if finding.code != "ram-unknown")),
    )


def _free(gpus: list[Gpu]) -> int | None:
    return gpus[0].free_bytes if gpus else None


def _environment(hardware: Hardware) -> list[Finding]:
    """Findings from versions alone: a torch that cannot use these cards, and neighbours that cannot be seen."""
    faults = build_faults(hardware, hardware.software) if hardware.software else []
    findings = [
        Finding(code="torch-build", severity="warning", what=fault.what, why=fault.why, fix=fault.fix)
        for fault in faults
    ]
    if hardware.host.scheduler == "kubernetes" and hardware.usable_gpus:
        findings.append(
            Finding(
                code="kubernetes-sharing",
                severity="note",
                what=tr("In Kubernetes a GPU may be shared by time slicing, which cannot be seen from inside."),
                why=tr("There is no isolation of memory then: a neighbour may take what is free now."),
                fix=tr("Ask for the card alone, or for a MIG instance (resources.limits nvidia.com/mig-...)."),
            )
        )
    return findings


def _granted_gpus(nvidia: NvidiaReport, job: Job, env: Mapping[str, str]) -> list[Finding]:
    """The scheduler granted fewer GPUs than this process sees, and nothing restricts it to them."""
    seen = sum(gpu.usable for gpu in nvidia.gpus)
    granted = job.gpus_per_node
    if job.scheduler != "slurm" or granted is None or granted >= seen or "CUDA_VISIBLE_DEVICES" in env:
        return []
    return [
        Finding(
            code="job-fewer-gpus",
            severity="warning",
            what=tr("SLURM granted {granted} GPU(s), but this process sees {seen}.", granted=granted, seen=seen),
            why=tr("The cluster does not confine jobs to their devices, and CUDA_VISIBLE_DEVICES is not set."),
            fix=tr(
                "export CUDA_VISIBLE_DEVICES=$SLURM_JOB_GPUS (with CUDA_DEVICE_ORDER=PCI_BUS_ID), then probe again."
            ),
        )
    ]
