"""The NVIDIA driver, asked through pynvml. The only file that names it.

`read_driver(report)` walks the driver once and returns plain records: values, and for each question that was not
answered a Failure. It decides nothing (see nvidia.py) and may hang or crash with the driver, so it runs in a child
process (see guarded.py). Every call goes through `_Driver._query`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import msgspec

from advisor.probe.nvml_errors import (
    BINDING,
    FUNCTION_NOT_FOUND,
    GARBLED,
    GPU_IS_LOST,
    HUNG,
    INVALID_ARGUMENT,
    NOT_FOUND,
    UNINITIALIZED,
)

P2P_READ, P2P_NVLINK = 0, 2
MAX_MIG_SLOTS = 16
MAX_GPUS = 256


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A question that the driver did not answer."""

    call: str
    code: int
    device: int | None = None


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes as NVML gives them; `reserved` is None where only the first version of the call exists.

    Version 2: total = free + used + reserved. Version 1: total = free + used, with the reserved part inside `used`.
    """

    total: int
    free: int
    used: int
    reserved: int | None = None


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """A process on a device; `used` is None under WSL2 and on Windows."""

    pid: int
    used: int | None
    graphics: bool


class MigInstance(msgspec.Struct, frozen=True, kw_only=True):
    """One slice of a card."""

    slot: int
    uuid: str | None = None
    name: str | None = None
    memory: Memory | None = None
    multiprocessors: int | None = None
    memory_mb: int | None = None
    gpu_slices: int | None = None
    instance_ids: tuple[int, int] | None = None
    """(GPU instance, compute instance), as in the old form MIG-GPU-<uuid>/<gi>/<ci>."""
    processes: tuple[Process, ...] = ()


class Device(msgspec.Struct, kw_only=True):
    """One card by NVML index; None for a question that was not answered."""

    index: int
    reachable: bool = False
    name: str | None = None
    uuid: str | None = None
    capability: tuple[int, int] | None = None
    memory: Memory | None = None
    mig_current: int | None = None
    mig_pending: int | None = None
    mig: list[MigInstance] = []
    virtualization: int | None = None
    compute_mode: int | None = None
    display_active: bool | None = None
    ecc: bool | None = None
    power_limit_mw: int | None = None
    default_power_limit_mw: int | None = None
    pcie_generation: int | None = None
    pcie_width: int | None = None
    max_pcie_width: int | None = None
    pci_bus_id: str | None = None
    rows_pending: bool | None = None
    processes: tuple[Process, ...] = ()


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """How two cards reach each other: NVML P2P status, 0 is OK, None is not answered."""

    first: int
    second: int
    nvlink: int | None
    read: int | None


class Reading(msgspec.Struct, kw_only=True):
    """Everything one walk over the driver brought back."""

    library_loaded: bool = True
    driver_version: str | None = None
    cuda_version: int | None = None
    count: int | None = None
    devices: list[Device] = []
    pairs: list[Pair] = []
    failures: list[Failure] = []


def read_driver(report: Callable[[str, int | None], None], skip: Collection[int] = ()) -> Reading:
    """Walk the driver once. `report` is called before each call to the driver; devices in `skip` are left alone."""
    reading = Reading()
    try:
        import pynvml

        if not hasattr(pynvml, "nvmlMemory_v2"):
            raise ImportError("not NVIDIA's module")
    except (ImportError, SyntaxError):
        reading.failures.append(Failure(call="import pynvml", code=BINDING))
        reading.library_loaded = False
        return reading
    driver = _Driver(pynvml, reading, report)
    driver.call("nvmlInit")
    if reading.failures:
        reading.library_loaded = getattr(pynvml, "nvmlLib", None) is not None
        return reading
    _walk(driver, skip)
    # No nvmlShutdown: the process that asks ends right after, and a shutdown that hangs must not cost the answer.
    return reading


class _Driver:
    """The driver library behind one method: none of its exceptions gets past `_query`."""

    def __init__(self, pynvml: Any, reading: Reading, report: Callable[[str, int | None], None]) -> None:
        self.pynvml = pynvml
        self.reading = reading
        self._report = report
        from ctypes import ArgumentError

        self._argument_error = ArgumentError
        self._mismatch_error = getattr(pynvml, "NVMLLibraryMismatchError", ())
        self._lost: set[int] = set()
        self._revived = False

    def call(self, name: str, *args: Any, device: int | None = None, normal: Collection[int] = ()) -> Any:
        """The answer, or None with a Failure noted (unless its code is `normal`). A lost card is not asked again."""
        if device in self._lost:
            return None
        answer, code = self._query(name, args, device)
        if code == UNINITIALIZED and name != "nvmlInit" and not self._revived:
            self._revived = True
            self._query("nvmlInit", (), None)
            answer, code = self._query(name, args, device)
        if code and code not in normal:
            self.reading.failures.append(Failure(call=name, code=code, device=device))
        if code == GPU_IS_LOST and device is not None:
            self._lost.add(device)
        return answer

    def _query(self, name: str, args: tuple[Any, ...], device: int | None) -> tuple[Any, int]:
        """(answer, 0) or (None, code)."""
        self._report(name, device)
        try:
            return getattr(self.pynvml, name)(*args), 0
        except self.pynvml.NVMLError as error:
            return None, int(error.value)
        except self._mismatch_error:  # not an NVMLError
            return None, FUNCTION_NOT_FOUND
        except UnicodeDecodeError:
            return None, GARBLED
        except (AttributeError, TypeError, ValueError, OSError, self._argument_error):
            return None, BINDING


def _walk(driver: _Driver, skip: Collection[int]) -> None:
    reading = driver.reading
    reading.driver_version = _text(driver.call("nvmlSystemGetDriverVersion"))
    version = driver.call("nvmlSystemGetCudaDriverVersion_v2", normal=(FUNCTION_NOT_FOUND,))
    reading.cuda_version = version if version is not None else driver.call("nvmlSystemGetCudaDriverVersion")
    count = driver.call("nvmlDeviceGetCount")
    reading.count = None if count is None else min(int(count), MAX_GPUS)
    handles: dict[int, Any] = {}
    for index in range(reading.count or 0):
        device = Device(index=index)
        reading.devices.append(device)
        if index in skip:
            reading.failures.append(Failure(call="nvmlDeviceGetHandleByIndex", code=HUNG, device=index))
            continue
        handle = driver.call("nvmlDeviceGetHandleByIndex", index, device=index)
        if handle is not None:
            device.reachable = True
            handles[index] = handle
            _read_device(driver, device, handle)
    _read_pairs(driver, handles)


def _read_device(driver: _Driver, device: Device, handle: Any) -> None:
    def ask(name: str, *args: Any, normal: Collection[int] = ()) -> Any:
        return driver.call(name, handle, *args, device=device.index, normal=normal)

    device.uuid = _text(ask("nvmlDeviceGetUUID"))
    device.name = _text(ask("nvmlDeviceGetName"))
    device.capability = _pair(ask("nvmlDeviceGetCudaComputeCapability"))
    device.mig_current, device.mig_pending = _pair(ask("nvmlDeviceGetMigMode")) or (None, None)
    if device.mig_current == 1:  # the card's own memory would mislead, and may not be asked for in a container
        device.mig = _instances(driver, device.index, handle)
    else:
        device.memory = _memory(driver, handle, device.index)
    device.virtualization = _number(ask("nvmlDeviceGetVirtualizationMode"))
    device.compute_mode = _number(ask("nvmlDeviceGetComputeMode"))
    display = _number(ask("nvmlDeviceGetDisplayActive"))
    device.display_active = None if display is None else display == 1
    ecc = _pair(ask("nvmlDeviceGetEccMode"))
    device.ecc = None if ecc is None else ecc[0] == 1
    device.power_limit_mw = _number(ask("nvmlDeviceGetEnforcedPowerLimit"))
    device.default_power_limit_mw = _number(ask("nvmlDeviceGetPowerManagementDefaultLimit"))
    device.pcie_generation = _number(ask("nvmlDeviceGetMaxPcieLinkGeneration"))
    device.max_pcie_width = _number(ask("nvmlDeviceGetMaxPcieLinkWidth"))
    device.pcie_width = _number(ask("nvmlDeviceGetCurrPcieLinkWidth"))
    device.pci_bus_id = _text(getattr(ask("nvmlDeviceGetPciInfo"), "busId", None))
    rows = ask("nvmlDeviceGetRemappedRows")
    device.rows_pending = bool(rows[2] or rows[3]) if isinstance(rows, tuple | list) and len(rows) == 4 else None
    device.processes = _processes(driver, handle, device.index)


def _memory(driver: _Driver, handle: Any, index: int) -> Memory | None:
    """Version 2 where the driver has it, else version 1: whatever error the first one returned."""
    version_2 = driver.pynvml.nvmlMemory_v2
    before = len(driver.reading.failures)
    info = driver.call("nvmlDeviceGetMemoryInfo", handle, version_2, device=index)
    if info is not None:
        return Memory(total=info.total, free=info.free, used=info.used, reserved=info.reserved)
    info = driver.call("nvmlDeviceGetMemoryInfo", handle, device=index)
    if info is None:
        return None
    driver.reading.failures[before:] = [  # the first version answered: nothing is missing but the reserved part
        msgspec.structs.replace(failure, call="nvmlDeviceGetMemoryInfo_v2")
        for failure in driver.reading.failures[before:]
    ]
    return Memory(total=info.total, free=info.free, used=info.used)


def _instances(driver: _Driver, index: int, handle: Any) -> list[MigInstance]:
    """Slots are not contiguous: an empty one answers "not found"."""
    slots = _number(driver.call("nvmlDeviceGetMaxMigDeviceCount", handle, device=index))
    found = []
    empty = (NOT_FOUND, INVALID_ARGUMENT)
    for slot in range(min(slots or 0, MAX_MIG_SLOTS)):
        mig = driver.call("nvmlDeviceGetMigDeviceHandleByIndex", handle, slot, device=index, normal=empty)
        if mig is None:
            continue
        shape = driver.call("nvmlDeviceGetAttributes_v2", mig, device=index)
        ids = [
            _number(driver.call(name, mig, device=index))
            for name in ("nvmlDeviceGetGpuInstanceId", "nvmlDeviceGetComputeInstanceId")
        ]
        found.append(
            MigInstance(
                slot=slot,
                uuid=_text(driver.call("nvmlDeviceGetUUID", mig, device=index)),
                name=_text(driver.call("nvmlDeviceGetName", mig, device=index)),
                memory=_memory(driver, mig, index),
                multiprocessors=_number(getattr(shape, "multiprocessorCount", None)),
                memory_mb=_number(getattr(shape, "memorySizeMB", None)),
                gpu_slices=_number(getattr(shape, "gpuInstanceSliceCount", None)),
                instance_ids=None if None in ids else (ids[0] or 0, ids[1] or 0),
                processes=_processes(driver, mig, index),
            )
        )
    return found


def _processes(driver: _Driver, handle: Any, index: int) -> tuple[Process, ...]:
    """Compute and graphics processes, each pid once: a program that does both holds its memory once."""
    found: dict[int, Process] = {}
    for name, graphics in (
        ("nvmlDeviceGetComputeRunningProcesses", False),
        ("nvmlDeviceGetGraphicsRunningProcesses", True),
    ):
        for entry in driver.call(name, handle, device=index) or ():
            pid = int(entry.pid)
            used = entry.usedGpuMemory
            if pid not in found:
                found[pid] = Process(pid=pid, used=None if used is None else int(used), graphics=graphics)
    return tuple(found.values())


def _read_pairs(driver: _Driver, handles: dict[int, Any]) -> None:
    whole = [device.index for device in driver.reading.devices if device.index in handles and device.mig_current != 1]
    for position, first in enumerate(whole):
        for second in whole[position + 1 :]:
            status = [
                driver.call("nvmlDeviceGetP2PStatus", handles[first], handles[second], capability, device=first)
                for capability in (P2P_NVLINK, P2P_READ)
            ]
            nvlink, read = (_number(value) for value in status)
            driver.reading.pairs.append(Pair(first=first, second=second, nvlink=nvlink, read=read))


def _text(value: Any) -> str | None:
    """Old bindings return bytes."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="replace")
    return value.strip("\0 ") or None if isinstance(value, str) else None


def _number(value: Any) -> int | None:
    value = getattr(value, "value", value)
    return int(value) if isinstance(value, int) else None


def _pair(value: Any) -> tuple[int, int] | None:
    try:
        first, second = value
    except (TypeError, ValueError):
        return None
    return int(first), int(second)
