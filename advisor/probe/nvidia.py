"""NVIDIA GPUs: what the driver's answers mean for training. Pure: a Reading and the host's memory in, records out."""

from __future__ import annotations

import os
import re
from itertools import combinations
from pathlib import Path

import msgspec

from advisor.probe import nvidia_failures, nvidia_findings
from advisor.probe.catalogue import MIB, MULTIPROCESSORS, Card, lookup
from advisor.probe.driver_version import driver_between
from advisor.probe.hardware import VGPU_NAME, Finding, Gpu, GpuProcess, GpuState, Link, ProbeState
from advisor.probe.nvml import Device, Memory, MigInstance, Pair, Process, Reading
from advisor.probe.nvml_errors import GPU_IS_LOST, NO_PERMISSION
from advisor.probe.presence import bus_is_readable, is_jetson, jetson_model, nvidia_signs
from advisor.probe.surroundings import Surroundings
from advisor.probe.visible import visible_devices

COMPUTE_PROHIBITED, COMPUTE_EXCLUSIVE = 2, 3
VIRTUAL_GPU = 2
MOST_BYTES = 1 << 40
"""Of one card: three times the largest that is known; what reports more has a broken driver."""
UNIFIED_SHARE_PERCENT = 90
"""A total of at least this part of the machine's memory, on a name below, is that memory itself."""
_INTEGRATED = re.compile(r"\b(GB10|Thor|Orin|Xavier|Tegra)\b|nvgpu", re.I)
_WRONG_PROCESS_MEMORY = ((535, 43), (535, 86))
"""Drivers from .. up to which fill the process list by another structure: its amounts are wrong."""


class NvidiaReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the NVIDIA side of the machine is."""

    state: ProbeState
    gpus: tuple[Gpu, ...] = ()
    driver_version: str | None = None
    cuda_version: str | None = None
    link: Link = "unknown"
    findings: tuple[Finding, ...] = ()


def understand(reading: Reading, around: Surroundings) -> NvidiaReport:
    """The report for one walk over the driver. An error never looks like "no GPU": see ProbeState."""
    if not reading.devices:
        return _no_devices(reading, around)
    gpus = [gpu for device in reading.devices for gpu in _gpus_of(device, reading, around)]
    visible = visible_devices(around.env, gpus)
    gpus = [msgspec.structs.replace(gpu, visible=position in visible.positions) for position, gpu in enumerate(gpus)]
    healthy = [gpu for gpu in gpus if gpu.state == "ok"]
    missing = any(gpu.state not in ("ok", "no_permission") for gpu in gpus)  # what others own is not missing
    return NvidiaReport(
        state="unusable" if not healthy else "partial" if missing else "ok",
        gpus=tuple(gpus),
        driver_version=reading.driver_version,
        cuda_version=_cuda_version(reading.cuda_version),
        link=_link(reading.pairs, gpus),
        findings=(
            *nvidia_failures.of_failures(reading, gpus),
            *nvidia_findings.of_gpus(gpus, reading, wsl=around.wsl),
            *visible.findings,
        ),
    )


_JETSON_CAPABILITIES = {"Thor": "11.0", "Orin": "8.7", "Xavier": "7.2", "TX2": "6.2", "Nano": "5.3"}


def _jetson(reading: Reading, around: Surroundings) -> NvidiaReport:
    """A board whose driver library is missing or does not answer: its one GPU uses the system's memory."""
    name, memory = jetson_model(around.root), _system_memory(around)
    gpu = Gpu(
        index=0,
        name=name,
        kind="unified",
        state="ok" if memory else "error",
        total_bytes=memory.total if memory else None,
        reserved_bytes=0,
        used_bytes=memory.used if memory else None,
        free_bytes=memory.free if memory else None,
        compute_capability=next((cc for chip, cc in _JETSON_CAPABILITIES.items() if chip in name), None),
    )
    finding = nvidia_failures.of_jetson(name)
    return NvidiaReport(
        state="partial" if memory else "unusable",
        gpus=(gpu,),
        driver_version=reading.driver_version,
        cuda_version=_cuda_version(reading.cuda_version),
        findings=(finding,),
    )


def _no_devices(reading: Reading, around: Surroundings) -> NvidiaReport:
    if is_jetson(around.root):
        return _jetson(reading, around)
    signs = nvidia_signs(around.root)
    state, finding = nvidia_failures.of_absence(
        reading, signs, around.env, container=around.container, bus_known=bus_is_readable(around.root)
    )
    return NvidiaReport(
        state=state,
        driver_version=reading.driver_version,
        cuda_version=_cuda_version(reading.cuda_version),
        findings=(finding,),
    )


def _gpus_of(device: Device, reading: Reading, around: Surroundings) -> list[Gpu]:
    """One card, or each of its MIG instances."""
    state = _state(device, reading)
    if state == "ok" and device.mig_current == 1:
        slices = [_mig_gpu(device, instance, around) for instance in device.mig]
        return slices or [msgspec.structs.replace(_whole_gpu(device, "error", reading, around), visible=False)]
    return [_whole_gpu(device, state, reading, around)]


def _state(device: Device, reading: Reading) -> GpuState:
    codes = {failure.code for failure in reading.failures if failure.device == device.index}
    if GPU_IS_LOST in codes:
        return "lost"
    if not device.reachable:
        return "no_permission" if codes == {NO_PERMISSION} else "error"
    if device.compute_mode == COMPUTE_PROHIBITED:
        return "prohibited"
    if device.compute_mode == COMPUTE_EXCLUSIVE and any(not process.graphics for process in device.processes):
        return "prohibited"
    return "ok"


def _whole_gpu(device: Device, state: GpuState, reading: Reading, around: Surroundings) -> Gpu:
    name = device.name or "NVIDIA GPU"
    memory = _sane(device.memory)
    card = lookup(name, memory.total if memory else None)
    unified = state == "ok" and _is_unified(device, memory, card, around)
    if unified:
        memory = _system_memory(around)
    if memory is None and state == "ok" and device.mig_current != 1:
        state = "error"
    return Gpu(
        index=device.index,
        name=name,
        uuid=device.uuid,
        kind="unified" if unified else "vgpu" if _is_virtual(device) else "gpu",
        state=state,
        total_bytes=memory.total if memory else None,
        reserved_bytes=memory.reserved if memory else None,
        used_bytes=memory.used if memory else None,
        free_bytes=memory.free if memory else None,
        compute_capability=_capability(device, card),
        processes=_processes(device.processes, reading.driver_version, around),
        display_active=_display(device),
        exclusive=None if device.compute_mode is None else device.compute_mode == COMPUTE_EXCLUSIVE,
        ecc=device.ecc,
        power_limit_ratio=_ratio(device.power_limit_mw, device.default_power_limit_mw),
        pcie_width=device.pcie_width or device.max_pcie_width,
        pcie_generation=device.pcie_generation,
        catalogue_name=card.name if card else None,
        pci_bus_id=device.pci_bus_id,
    )


def _mig_gpu(device: Device, instance: MigInstance, around: Surroundings) -> Gpu:
    """A slice; name, capability and rates come from the parent. The parent's own memory is never used: it is the
    whole card's."""
    name = device.name or "NVIDIA GPU"
    memory, slice_bytes = _sane(instance.memory), (instance.memory_mb or 0) * MIB
    if slice_bytes and (memory is None or memory.total > slice_bytes * 21 // 20):
        memory = Memory(total=slice_bytes, free=slice_bytes, used=0, reserved=0)
    card = lookup(name)
    return Gpu(
        index=device.index,
        name=name,
        uuid=instance.uuid,
        kind="mig",
        state="ok" if memory else "error",
        total_bytes=memory.total if memory else None,
        reserved_bytes=memory.reserved if memory else None,
        used_bytes=memory.used if memory else None,
        free_bytes=memory.free if memory else None,
        compute_capability=_capability(device, card),
        parent_uuid=device.uuid,
        processes=_processes(instance.processes, None, around),
        ecc=device.ecc,
        power_limit_ratio=_ratio(device.power_limit_mw, device.default_power_limit_mw),
        pcie_width=device.pcie_width or device.max_pcie_width,
        pcie_generation=device.pcie_generation,
        catalogue_name=card.name if card else None,
        mig_profile=_profile(instance),
        mig_ids=instance.instance_ids,
        compute_share=_compute_share(device, instance),
        pci_bus_id=device.pci_bus_id,
    )


def _sane(memory: Memory | None) -> Memory | None:
    """The figures if they can be true: a total that a card can have, parts within it."""
    if memory is None or not 0 < memory.total <= MOST_BYTES:
        return None
    reserved = memory.reserved if memory.reserved is not None and memory.reserved < memory.total else None
    return Memory(
        total=memory.total,
        free=min(memory.free, memory.total),
        used=min(memory.used, memory.total),
        reserved=reserved,
    )


def _is_unified(device: Device, memory: Memory | None, card: Card | None, around: Surroundings) -> bool:
    """Whether GPU and CPU share one memory: the driver names the GPU but no memory of its own (GB10, Jetson)."""
    if device.name is None or around.ram_total_bytes is None:
        return False
    integrated = bool(_INTEGRATED.search(device.name)) or (card is not None and card.unified)
    if memory is None:
        return integrated or (card is None and device.virtualization in (None, 0))
    return integrated and memory.total * 100 >= around.ram_total_bytes * UNIFIED_SHARE_PERCENT


def _system_memory(around: Surroundings) -> Memory | None:
    if around.ram_total_bytes is None:
        return None
    free = around.ram_available_bytes if around.ram_available_bytes is not None else around.ram_total_bytes
    return Memory(total=around.ram_total_bytes, free=free, used=around.ram_total_bytes - free, reserved=0)


def _is_virtual(device: Device) -> bool:
    return device.virtualization == VIRTUAL_GPU or bool(VGPU_NAME.search(device.name or ""))


def _capability(device: Device, card: Card | None) -> str | None:
    if device.capability is not None:
        return f"{device.capability[0]}.{device.capability[1]}"
    return card.compute_capability if card else None


def _display(device: Device) -> bool | None:
    """The driver's flag reads "off" under some compositors: a graphics process is the second witness."""
    if any(process.graphics for process in device.processes):
        return True
    return device.display_active


def _processes(processes: tuple[Process, ...], driver: str | None, around: Surroundings) -> tuple[GpuProcess, ...]:
    trusted = not driver_between(driver, *_WRONG_PROCESS_MEMORY)
    return tuple(
        GpuProcess(
            pid=process.pid,
            used_bytes=process.used if trusted else None,
            name=None if around.container else _process_name(around.root, process.pid),
            graphics=process.graphics,
            mine=None if around.container else _is_mine(around.root, process.pid),
        )
        for process in processes
        if process.pid != os.getpid()
    )


def _process_name(root: Path, pid: int) -> str | None:
    try:
        return (root / f"proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip() or None
    except OSError:
        return None


def _is_mine(root: Path, pid: int) -> bool | None:
    try:
        return (root / f"proc/{pid}").stat().st_uid == os.getuid()
    except (OSError, AttributeError):
        return None


def _profile(instance: MigInstance) -> str | None:
    """ "3g.40gb" out of the instance's name, else out of its shape."""
    match = re.search(r"\b\d+c?\.?\d*g\.\d+gb(?:\+\w+)*", instance.name or "")
    if match:
        return match[0]
    if instance.gpu_slices and instance.memory_mb:
        return f"{instance.gpu_slices}g.{round(instance.memory_mb / 1000)}gb"
    return None


def _compute_share(device: Device, instance: MigInstance) -> float | None:
    card = lookup(device.name or "")
    whole = 114 if device.name == "NVIDIA H100 PCIe" else MULTIPROCESSORS.get(card.family if card else "")
    if not whole or not instance.multiprocessors:
        return None
    return min(1.0, instance.multiprocessors / whole)


def _ratio(limit_mw: int | None, default_mw: int | None) -> float | None:
    return round(limit_mw / default_mw, 3) if limit_mw and default_mw else None


def _cuda_version(number: int | None) -> str | None:
    """12080 -> "12.8"."""
    return f"{number // 1000}.{number % 1000 // 10}" if number else None


def _link(pairs: list[Pair], gpus: list[Gpu]) -> Link:
    """The weakest link between any two cards that this process may use together."""
    usable = {gpu.index for gpu in gpus if gpu.usable and gpu.kind != "mig"}
    wanted = {frozenset(pair) for pair in combinations(sorted(usable), 2)}
    found = {frozenset((pair.first, pair.second)): _pair_link(pair) for pair in pairs}
    links = {found.get(pair, "unknown") for pair in wanted}
    weakest: tuple[Link, ...] = ("unknown", "pcie", "p2p", "nvlink")
    return next((link for link in weakest if link in links), "unknown")


def _pair_link(pair: Pair) -> Link:
    if pair.nvlink == 0:
        return "nvlink"
    if pair.read == 0:
        return "p2p"
    return "unknown" if pair.nvlink is None and pair.read is None else "pcie"
