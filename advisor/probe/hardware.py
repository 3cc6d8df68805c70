"""Hardware: what the machine is, as facts. Bytes throughout; None means "not known", never zero.

The probe makes one, `--hardware FILE` loads one, `--hardware "2x RTX 4090"` describes one. Nothing downstream
asks the machine again. Facts are stored, everything else is a property.
"""

from __future__ import annotations

from typing import Literal

import msgspec

GIB = 1024**3
HARDWARE_SCHEMA = "sft-advisor/hardware/v1"

Accelerator = Literal["cuda", "rocm", "xpu", "mps", "cpu"]
GpuKind = Literal["gpu", "mig", "vgpu", "unified"]
GpuState = Literal["ok", "lost", "no_permission", "prohibited", "error"]
ProbeState = Literal["absent", "unusable", "partial", "ok"]
Link = Literal["nvlink", "p2p", "pcie", "unknown"]
Severity = Literal["error", "warning", "note"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the probe met and a person should know: a stable code, what, why, what to do."""

    code: str
    severity: Severity
    what: str
    why: str = ""
    fix: str = ""
    device: int | None = None


class GpuProcess(msgspec.Struct, frozen=True, kw_only=True):
    """A process that holds memory of a GPU. `name` is None where it cannot be resolved (containers)."""

    pid: int
    used_bytes: int | None
    name: str | None = None
    graphics: bool = False
    mine: bool | None = None
    """Started by the same user; None where process ids cannot be resolved."""


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """One device that can train: a card, a MIG instance, a vGPU profile or a unified-memory GPU."""

    index: int
    """NVML (PCI) order; not the CUDA ordinal."""
    name: str
    uuid: str | None = None
    kind: GpuKind = "gpu"
    state: GpuState = "ok"
    visible: bool = True
    """False when CUDA_VISIBLE_DEVICES (or the scheduler) hides it from this process."""
    total_bytes: int | None = None
    reserved_bytes: int | None = None
    used_bytes: int | None = None
    """Held by allocations, without `reserved_bytes`."""
    free_bytes: int | None = None
    compute_capability: str | None = None
    parent_uuid: str | None = None
    processes: tuple[GpuProcess, ...] = ()
    display_active: bool | None = None
    exclusive: bool | None = None
    ecc: bool | None = None
    power_limit_ratio: float | None = None
    """Enforced over default power limit."""
    pcie_width: int | None = None
    pcie_generation: int | None = None
    catalogue_name: str | None = None
    """The row of gpus.toml that matches, None for an unknown card."""
    architecture: str | None = None
    """For a card that is not NVIDIA's: "gfx942", "xe2", "metal3"."""
    mig_profile: str | None = None
    """Shape of a MIG instance, "3g.40gb"."""
    mig_ids: tuple[int, int] | None = None
    """(GPU instance, compute instance), for the old form MIG-GPU-<uuid>/<gi>/<ci>."""
    compute_share: float | None = None
    """Part of the parent's multiprocessors that a MIG instance owns."""
    pci_bus_id: str | None = None

    @property
    def usable_bytes(self) -> int | None:
        """What an empty card offers to allocations: total - reserved. None when the total is unknown.

        Where the driver does not tell the reserved part (before R510), 3 % of the total stands for it: the most
        that was seen on any card.
        """
        if self.total_bytes is None:
            return None
        if self.reserved_bytes is None:
            return max(self.total_bytes * 97 // 100, min(self.free_bytes or 0, self.total_bytes))
        return self.total_bytes - self.reserved_bytes

    @property
    def sm(self) -> int | None:
        """Compute capability as two digits: 8.9 -> 89, 12.0 -> 120. None for a card that is not NVIDIA's."""
        major, _, minor = (self.compute_capability or "").partition(".")
        if not major.isdecimal() or not (minor or "0").isdecimal():
            return None
        return int(major) * 10 + int(minor or 0)

    @property
    def usable(self) -> bool:
        """Whether this process could train on it."""
        return self.state == "ok" and self.visible and self.total_bytes is not None


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """Space on the file system that holds `path`, for an unprivileged user. Quotas are not seen."""

    path: str
    total_bytes: int | None = None
    free_bytes: int | None = None
    filesystem_id: int | None = None
    """Equal for two paths on the same file system (st_dev)."""
    filesystem: str | None = None
    """Its type, "ext4" or "nfs4"; on a network file system a quota may be tighter than `free_bytes`."""


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """The machine around the GPUs, as far as this process may use it (cgroup limits applied)."""

    ram_total_bytes: int | None = None
    ram_available_bytes: int | None = None
    cpu_name: str | None = None
    cpu_cores: int | None = None
    cpu_bf16: bool | None = None
    """AMX or AVX512-BF16 present."""
    shm_bytes: int | None = None
    """Size of /dev/shm: 64 MB in a plain Docker container."""
    output: Disk | None = None
    cache: Disk | None = None
    temp: Disk | None = None
    platform: str = "linux"
    scheduler: Literal["slurm", "torchrun", "mpi", "kubernetes"] | None = None
    rank: int | None = None
    """Global rank of this process inside a job; a rank above 0 asks and prints nothing."""
    container: bool | None = None
    wsl: bool = False
    offline: bool = False
    """HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set."""


class Software(msgspec.Struct, frozen=True, kw_only=True):
    """Installed versions, read from package metadata; None: not installed. Nothing is imported."""

    python: str
    torch: str | None = None
    torch_build: str | None = None
    """What the installed torch was built for: "cpu", "cu130", "rocm7.1", "xpu"; None when it cannot be read."""
    transformers: str | None = None
    peft: str | None = None
    trl: str | None = None
    accelerate: str | None = None
    datasets: str | None = None
    bitsandbytes: str | None = None
    flash_attn: str | None = None
    liger: str | None = None
    deepspeed: str | None = None


class Hardware(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the probe knows of one machine (or of `num_nodes` like it)."""

    schema: Literal["sft-advisor/hardware/v1"] = "sft-advisor/hardware/v1"
    origin: Literal["measured", "profile", "described"] = "measured"
    description: str = ""
    """What was typed, for a described machine."""
    state: ProbeState = "absent"
    accelerator: Accelerator = "cpu"
    gpus: tuple[Gpu, ...] = ()
    host: Host = Host()
    num_nodes: int = 1
    link: Link = "unknown"
    """The weakest link between any two usable GPUs of one node."""
    driver_version: str | None = None
    cuda_version: str | None = None
    """The newest CUDA that the driver can run, not an installed toolkit."""
    software: Software | None = None
    """None for a described machine: nobody looked."""
    findings: tuple[Finding, ...] = ()

    @property
    def usable_gpus(self) -> tuple[Gpu, ...]:
        """The GPUs that a run may use together, in probe order.

        MIG instances never work together and never beside a whole card: they count only where there is no whole
        card, and then only the one with most free memory.
        """
        usable = tuple(gpu for gpu in self.gpus if gpu.usable)
        whole = tuple(gpu for gpu in usable if gpu.kind != "mig")
        if whole or not usable:
            return whole
        return (max(usable, key=lambda gpu: (gpu.free_bytes or 0, -gpu.index)),)

    @property
    def smallest_free_bytes(self) -> int | None:
        """Free memory of the tightest usable GPU: what every plan must fit. None without a usable GPU."""
        free = [gpu.free_bytes for gpu in self.usable_gpus if gpu.free_bytes is not None]
        return min(free) if free else None
