"""Hardware: what the machine is, as facts. Bytes throughout; None means "not known", never zero.

The probe makes one, `--hardware FILE` loads one, `--hardware "2x RTX 4090"` describes one. Nothing downstream
asks the machine again. Facts are stored, everything else is a property.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from trainers.accelerators import Accelerator
from trainers.foreign.text import whole_number

GIB = 1024**3
VGPU_NAME = re.compile(r"-\d+[ABCQ]$")
"""How a profile of a virtual GPU ends: "A10-8Q" has 8 GiB of an A10."""
HARDWARE_SCHEMA = "sft-advisor/hardware/v1"

GpuKind = Literal["gpu", "mig", "vgpu", "unified"]
GpuState = Literal["ok", "lost", "no_permission", "prohibited", "error"]
ProbeState = Literal["absent", "unusable", "partial", "ok"]
Link = Literal["nvlink", "p2p", "pcie", "unknown"]
Severity = Literal["error", "warning", "note"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the probe found and a person should know: a stable code, what, why, what to do."""

    code: str
    """Stable name of the finding."""
    severity: Severity
    """How bad it is."""
    what: str
    """What was found."""
    why: str = ""
    """Why it matters."""
    fix: str = ""
    """What to do about it."""
    device: int | None = None
    """Index of the GPU that it is about."""


class GpuProcess(msgspec.Struct, frozen=True, kw_only=True):
    """A process that holds memory of a GPU. `name` is None where it cannot be resolved (containers)."""

    pid: int
    """Process id."""
    used_bytes: int | None
    """Memory that it holds."""
    name: str | None = None
    """Its command, where it can be resolved."""
    graphics: bool = False
    """Whether it draws on a display."""
    mine: bool | None = None
    """Started by the same user; None where process ids cannot be resolved."""


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """What `sft-advisor probe bench` measured of one device."""

    dtype: str
    """Of the matrix product: bfloat16, float16 on older cards, float32 on a CPU."""
    matrix_tflops: float
    """Large matrix products, TFLOPS."""
    copy_gbs: float
    """Memory read and written by a copy, GB/s."""
    link_gbs: float | None = None
    """From pinned host memory to the device, GB/s; None on a CPU."""
    threads: int | None = None
    """Threads of a CPU that computed; None for a GPU."""


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """One device that can train: a card, a MIG instance, a vGPU profile or a unified-memory GPU."""

    index: int
    """NVML (PCI) order; not the CUDA ordinal."""
    name: str
    """As the driver prints it."""
    uuid: str | None = None
    """The driver's own id, GPU-... or MIG-..."""
    kind: GpuKind = "gpu"
    """A whole card, a MIG instance, a vGPU profile or a GPU that shares the memory of the CPU."""
    state: GpuState = "ok"
    """Whether it can be used, and why not."""
    visible: bool = True
    """False when CUDA_VISIBLE_DEVICES (or the scheduler) hides it from this process."""
    total_bytes: int | None = None
    """Its memory."""
    reserved_bytes: int | None = None
    """Memory that the driver keeps for itself."""
    used_bytes: int | None = None
    """Held by allocations, without `reserved_bytes`."""
    free_bytes: int | None = None
    """Memory that can be allocated now."""
    compute_capability: str | None = None
    """NVIDIA's generation, "8.9"."""
    parent_uuid: str | None = None
    """The card that a MIG instance belongs to."""
    processes: tuple[GpuProcess, ...] = ()
    """Who holds its memory."""
    display_active: bool | None = None
    """Whether a display is attached."""
    exclusive: bool | None = None
    """Whether only one process may use it at a time."""
    ecc: bool | None = None
    """Whether error correction is on."""
    power_limit_ratio: float | None = None
    """Enforced over default power limit."""
    pcie_width: int | None = None
    """Lanes of its slot."""
    pcie_generation: int | None = None
    """Generation of its slot."""
    catalogue_name: str | None = None
    """The row of gpus.toml that matches, None for an unknown card."""
    architecture: str | None = None
    """For a card that is not NVIDIA's: "gfx942", "xe2", "metal3"."""
    measured: Rates | None = None
    """Its measured rates, for a card that the catalogue does not know."""
    mig_profile: str | None = None
    """Shape of a MIG instance, "3g.40gb"."""
    mig_ids: tuple[int, int] | None = None
    """(GPU instance, compute instance), for the old form MIG-GPU-<uuid>/<gi>/<ci>."""
    compute_share: float | None = None
    """Part of the card's compute that a MIG instance owns, or that a rented slice is paid for."""
    pci_bus_id: str | None = None
    """Its address on the bus."""

    @property
    def usable_bytes(self) -> int | None:
        """What an empty card offers to allocations: total - reserved. None when the total is unknown.

        Where the driver does not report the reserved part (before R510), 3 % of the total stands for it: the most
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
        tens, ones = whole_number(major), whole_number(minor or "0")
        return None if tens is None or ones is None else tens * 10 + ones

    @property
    def usable(self) -> bool:
        """Whether this process could train on it."""
        return self.state == "ok" and self.visible and self.total_bytes is not None


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """Space on the file system that holds `path`, for an unprivileged user. Quotas are not seen."""

    path: str
    """The folder that was looked at."""
    total_bytes: int | None = None
    """Size of its file system."""
    free_bytes: int | None = None
    """Free space for this user."""
    filesystem_id: int | None = None
    """Equal for two paths on the same file system (st_dev)."""
    filesystem: str | None = None
    """Its type, "ext4" or "nfs4"; on a network file system a quota may be tighter than `free_bytes`."""


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """The machine around the GPUs, as far as this process may use it (cgroup limits applied)."""

    ram_total_bytes: int | None = None
    """All memory."""
    ram_available_bytes: int | None = None
    """Memory that can be used now."""
    cpu_name: str | None = None
    """As the processor names itself."""
    cpu_cores: int | None = None
    """Cores that this process may use."""
    measured: Rates | None = None
    """The measured rates of its processor."""
    cpu_bf16: bool | None = None
    """AMX or AVX512-BF16 present."""
    shm_bytes: int | None = None
    """Size of /dev/shm: 64 MB in a plain Docker container."""
    output: Disk | None = None
    """Where runs are written."""
    cache: Disk | None = None
    """Where models of the hub are kept."""
    temp: Disk | None = None
    """Where temporary files go."""
    platform: str = "linux"
    """Operating system."""
    scheduler: Literal["slurm", "torchrun", "mpi", "kubernetes"] | None = None
    """The scheduler that started this process."""
    rank: int | None = None
    """Global rank of this process inside a job; a rank above 0 asks and prints nothing."""
    container: bool | None = None
    """Whether it runs in a container."""
    wsl: bool = False
    """Whether it runs in the Windows Subsystem for Linux."""
    offline: bool = False
    """HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set."""
    hub_token: bool | None = None
    """Whether a token of the hub is set, in the environment or in its file; None: not looked at."""


class Software(msgspec.Struct, frozen=True, kw_only=True):
    """Installed versions, read from package metadata; None: not installed. Nothing is imported."""

    python: str
    """Version of Python."""
    torch: str | None = None
    """Version of torch."""
    torch_build: str | None = None
    """What the installed torch was built for: "cpu", "cu130", "rocm7.1", "xpu"; None when it cannot be read."""
    transformers: str | None = None
    """Version of transformers."""
    peft: str | None = None
    """Version of peft."""
    trl: str | None = None
    """Version of TRL."""
    accelerate: str | None = None
    """Version of accelerate."""
    datasets: str | None = None
    """Version of datasets."""
    bitsandbytes: str | None = None
    """Version of bitsandbytes."""
    flash_attn: str | None = None
    """Version of flash-attention."""
    liger: str | None = None
    """Version of the Liger kernels."""
    deepspeed: str | None = None
    """Version of DeepSpeed."""


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider asks for one such machine, as it was on a day; None: not known."""

    place: str
    """Name of the place."""
    session_hours: float | None = None
    """After which the place ends a run."""
    usd_per_hour: float | None = None
    """Of the whole machine on demand; 0 for a free tier."""
    usd_per_hour_spot: float | None = None
    """Of the whole machine, where it may be taken away at any time."""
    price_date: str = ""
    """The day on which the prices were read."""
    source: str = ""
    """Where they were read."""


class Hardware(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the probe knows of one machine (or of `num_nodes` like it)."""

    schema: Literal["sft-advisor/hardware/v1"] = "sft-advisor/hardware/v1"
    """Name and version of this document."""
    origin: Literal["measured", "profile", "described"] = "measured"
    """Whether it was measured, read from a profile or described in words."""
    description: str = ""
    """What was typed, for a described machine."""
    state: ProbeState = "absent"
    """Whether GPUs were found and can be used."""
    accelerator: Accelerator = "cpu"
    """Kind of device that computes."""
    gpus: tuple[Gpu, ...] = ()
    """Every GPU that was found, usable or not."""
    host: Host = Host()
    """The machine around the GPUs."""
    num_nodes: int = 1
    """Machines like this one that work together."""
    link: Link = "unknown"
    """The weakest link between any two usable GPUs of one node."""
    driver_version: str | None = None
    """Version of the GPU driver."""
    cuda_version: str | None = None
    """The newest CUDA that the driver can run, not an installed toolkit."""
    software: Software | None = None
    """None for a described machine: nobody looked."""
    findings: tuple[Finding, ...] = ()
    """What a person should know of the machine."""
    offer: Offer | None = None
    """For a place that is rented or borrowed."""

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
