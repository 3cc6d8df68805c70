"""The machine around the GPUs, as far as this process may use it: RAM, CPU, shared memory, disks, job.

`root` stands for "/" and `env` for the environment, so that a test can lay out any machine.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from advisor.base.language import tr
from advisor.probe.disk import disk_findings, hub_cache, hub_offline, hub_token, read_disk, temp_folder
from advisor.probe.hardware import GIB, Finding, Host
from advisor.probe.scheduler import Job, job_findings, read_job
from trainers.amounts import gib, kib, mib
from trainers.cgroup import cpu_quota, memory_limits

SMALL_SHM_BYTES = GIB
FEW_OPEN_FILES = 4096
LITTLE_LOCKED_MEMORY = 64 * 1024**2
_BF16_FLAGS = ("amx_bf16", "avx512_bf16")
_ARM_BF16_FLAG = "bf16"
_KERNEL_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
"""Variables that keep torch's matrix products to an older instruction set than the CPU has."""
_BF16_LIMITS = re.compile(r"BF16|FP16|AMX|AVX10|ALL|DEFAULT")
"""What such a limit names where it still leaves bf16; below it a product in bf16 is 20 times slower than in fp32."""


def read_host(root: Path, env: Mapping[str, str], output: Path) -> tuple[Host, Job, list[Finding]]:
    """The host, the job it runs in, and findings. Never raises: what cannot be read is None."""
    job = read_job(env)
    total, available, ram_findings = _ram(root, job)
    cpu_text = _text(root / "proc/cpuinfo")
    disks = {
        "output": read_disk(output, root),
        "cache": read_disk(hub_cache(env), root),
        "temp": read_disk(temp_folder(env), root),
    }
    container = _in_container(root, env)
    shm = _shm_bytes(root)
    host = Host(
        ram_total_bytes=total,
        ram_available_bytes=available,
        cpu_name=_cpu_name(cpu_text),
        cpu_cores=_cpu_cores(root, job),
        cpu_bf16=_cpu_bf16(cpu_text, env),
        shm_bytes=shm,
        output=disks["output"],
        cache=disks["cache"],
        temp=disks["temp"],
        platform=sys.platform,
        scheduler=job.scheduler,
        rank=job.rank,
        container=container,
        wsl=in_wsl(root),
        offline=hub_offline(env),
        hub_token=hub_token(env),
    )
    findings = ram_findings + disk_findings(disks) + _shm_findings(shm) + _limit_findings(root, job)
    findings += job_findings(job, env, root)
    return host, job, findings


def in_wsl(root: Path) -> bool:
    """Whether this is Linux inside Windows."""
    return "microsoft" in _text(root / "proc/sys/kernel/osrelease").lower()


def physical_memory(root: Path) -> tuple[int | None, int | None]:
    """(MemTotal, MemAvailable) of the machine, in bytes, without any limit."""
    amounts = {
        name: int(kib) * 1024 for name, kib in re.findall(r"^(\w+):\s+(\d+) kB", _text(root / "proc/meminfo"), re.M)
    }
    total = amounts.get("MemTotal")
    if total is None:
        return _pages("SC_PHYS_PAGES"), _pages("SC_AVPHYS_PAGES")
    fallback = amounts.get("MemFree", 0) + amounts.get("Cached", 0) + amounts.get("Buffers", 0)
    return total, amounts.get("MemAvailable", fallback or None)


def _ram(root: Path, job: Job) -> tuple[int | None, int | None, list[Finding]]:
    physical, available = physical_memory(root)
    limits = memory_limits(root)
    grants = [limit.limit_bytes for limit in limits] + ([job.memory_bytes] if job.memory_bytes else [])
    totals = [value for value in (physical, *grants) if value is not None]
    rooms = (available, *(limit.available_bytes for limit in limits), job.memory_bytes)
    free = [value for value in rooms if value is not None]
    if not totals:
        finding = Finding(
            code="ram-unknown",
            severity="warning",
            what=tr("The size of the memory cannot be read."),
            why=tr("/proc/meminfo is missing or unreadable."),
            fix=tr('Describe the machine: --hardware "RTX 4090, 64GB RAM"'),
        )
        return None, None, [finding]
    total = min(totals)
    if physical is None or total >= physical:
        return total, min([*free, total]), []
    finding = Finding(
        code="ram-limited",
        severity="note",
        what=tr(
            "This process may use {gib} of the machine's {gib_2} of memory.", gib=gib(total), gib_2=gib(physical)
        ),
        why=tr("A container, a service or the scheduler sets a limit (cgroup)."),
        fix=tr("Ask for more memory when the plan needs it (docker run --memory, sbatch --mem, resources.limits)."),
    )
    return total, min([*free, total]), [finding]


def _pages(name: str) -> int | None:
    try:
        pages, size = os.sysconf(name), os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None
    return pages * size if pages > 0 and size > 0 else None


def _cpu_cores(root: Path, job: Job) -> int | None:
    """Cores that this process may keep busy: affinity, quota and what SLURM grants, whichever is least."""
    witnesses = (_affinity(root), cpu_quota(root), job.cpus or None)
    known = [cores for cores in witnesses if cores]
    return min(known) if known else os.cpu_count()


def _affinity(root: Path) -> int | None:
    match = re.search(r"^Cpus_allowed_list:\s*([\d,\-]+)", _text(root / "proc/self/status"), re.M)
    if not match:
        return None
    cores = 0
    for part in match[1].split(","):
        first, _, last = part.partition("-")
        if first.isdecimal() and (last or first).isdecimal():
            cores += int(last or first) - int(first) + 1
    return cores or None


def _cpu_name(cpuinfo: str) -> str | None:
    match = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", cpuinfo, re.M)
    return match[1].strip() if match else (platform.processor() or None)


def _cpu_bf16(cpuinfo: str, env: Mapping[str, str]) -> bool | None:
    limits = [env[name].upper() for name in _KERNEL_LIMITS if env.get(name)]
    if not all(map(_BF16_LIMITS.search, limits)):
        return False
    match = re.search(r"^(flags|Features)\s*:\s*(.+)$", cpuinfo, re.M)
    if not match:
        return None
    flags = match[2].split()
    return _ARM_BF16_FLAG in flags if match[1] == "Features" else any(flag in flags for flag in _BF16_FLAGS)


def _shm_bytes(root: Path) -> int | None:
    try:
        return shutil.disk_usage(root / "dev/shm").total
    except OSError:
        return None


def _shm_findings(shm_bytes: int | None) -> list[Finding]:
    if shm_bytes is None or shm_bytes >= SMALL_SHM_BYTES:
        return []
    return [
        Finding(
            code="shm-small",
            severity="warning",
            what=tr("/dev/shm holds only {mib}.", mib=mib(shm_bytes)),
            why=tr("Data loader workers die with a bus error and NCCL fails when it is full."),
            fix=tr("docker run --ipc=host (or --shm-size=8g); without it, train with 0 data loader workers."),
        )
    ]


def _limit_findings(root: Path, job: Job) -> list[Finding]:
    """Limits of this process (ulimit) that end long runs."""
    limits = {
        name: int(hard)
        for name, hard in re.findall(r"^(Max [a-z ]+?)\s{2,}\S+\s+(\d+)\s", _text(root / "proc/self/limits"), re.M)
    }
    findings = []
    if limits.get("Max open files", FEW_OPEN_FILES) < FEW_OPEN_FILES:
        findings.append(
            Finding(
                code="few-open-files",
                severity="warning",
                what=tr("This process may open only {limits} files.", limits=limits["Max open files"]),
                why=tr("Many shards read by many data loader workers need more."),
                fix=tr("ulimit -Hn 65536 (as root, or LimitNOFILE= of the service)."),
            )
        )
    if (job.num_nodes or 1) > 1 and limits.get("Max locked memory", LITTLE_LOCKED_MEMORY) < LITTLE_LOCKED_MEMORY:
        findings.append(
            Finding(
                code="little-locked-memory",
                severity="warning",
                what=tr("This process may lock only {kib} of memory.", kib=kib(limits["Max locked memory"])),
                why=tr("InfiniBand between the nodes needs locked memory."),
                fix=tr("ulimit -l unlimited (in SLURM: PropagateResourceLimitsExcept=MEMLOCK)."),
            )
        )
    return findings


def _in_container(root: Path, env: Mapping[str, str]) -> bool:
    """Whether process ids and the machine's names are those of a container."""
    if (root / ".dockerenv").exists() or (root / "run/.containerenv").exists():
        return True
    if "KUBERNETES_SERVICE_HOST" in env or env.get("container"):
        return True
    return bool(re.search(r"docker|kubepods|containerd|lxc", _text(root / "proc/1/cgroup")))


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
