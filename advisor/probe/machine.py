"""probe(): this machine as one Hardware record. Asks the driver once, reads a few files, imports nothing heavy."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from advisor.probe.guarded import CALL_LIMIT_SECONDS, read_guarded
from advisor.probe.hardware import Finding, Hardware
from advisor.probe.host import read_host
from advisor.probe.nvidia import NvidiaReport, Surroundings, understand
from advisor.probe.scheduler import Job
from advisor.probe.software import installed_software


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
    host, job, host_findings = read_host(root, env, output or Path("runs"))
    nvidia = understand(
        read_guarded(driver_limit_seconds),
        Surroundings(
            root=root,
            env=env,
            ram_total_bytes=host.ram_total_bytes,
            ram_available_bytes=host.ram_available_bytes,
            container=bool(host.container),
            wsl=host.wsl,
        ),
    )
    return Hardware(
        state=nvidia.state,
        accelerator="cuda" if any(gpu.usable for gpu in nvidia.gpus) else "cpu",
        gpus=nvidia.gpus,
        host=host,
        num_nodes=job.num_nodes or 1,
        link=nvidia.link,
        driver_version=nvidia.driver_version,
        cuda_version=nvidia.cuda_version,
        software=installed_software(),
        findings=(*nvidia.findings, *_granted_gpus(nvidia, job, env), *host_findings),
    )


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
            what=f"SLURM granted {granted} GPU(s), but this process sees {seen}.",
            why="The cluster does not confine jobs to their devices, and CUDA_VISIBLE_DEVICES is not set.",
            fix="export CUDA_VISIBLE_DEVICES=$SLURM_JOB_GPUS (with CUDA_DEVICE_ORDER=PCI_BUS_ID), then probe again.",
        )
    ]
