"""Intel GPUs without torch: memory from sysfs of the xe and i915 drivers."""

from __future__ import annotations

import re
from pathlib import Path

from advisor.base.language import tr
from advisor.probe.catalogue import lookup
from advisor.probe.hardware import Finding, Gpu
from advisor.probe.surroundings import Surroundings

VENDOR = "0x8086"
_INTEGRATED_BUS = "0000:00:02.0"
DEVICE_NAMES = {
    "0x56a0": "Intel(R) Arc(TM) A770 Graphics",
    "0xe20b": "Intel(R) Arc(TM) B580 Graphics",
    "0xe211": "Intel(R) Arc(TM) Pro B60 Graphics",
    "0x0bd5": "Intel(R) Data Center GPU Max 1550",
}
"""PCI device id -> the name in the catalogue; the kernel does not report a name."""


def read(around: Surroundings) -> tuple[list[Gpu], list[Finding]]:
    """Discrete Intel GPUs. Integrated ones are left out: they have no memory of their own to plan with."""
    gpus: list[Gpu] = []
    for folder in sorted((around.root / "sys/class/drm").glob("card[0-9]*")):
        device = folder / "device"
        if "-" in folder.name or _text(device / "vendor") != VENDOR:
            continue
        match = re.search(r"^PCI_SLOT_NAME=(.+)$", _text(device / "uevent"), re.M)
        bus = match[1] if match else device.resolve().name
        total = _memory(folder, device)
        if bus == _INTEGRATED_BUS and total is None:
            continue
        name = DEVICE_NAMES.get(_text(device / "device"), "Intel GPU")
        known = lookup(name, total)
        gpus.append(
            Gpu(
                index=len(gpus),
                name=name,
                state="ok" if total else "error",
                total_bytes=total,
                reserved_bytes=None,
                free_bytes=total * 97 // 100 if total else None,
                architecture=known.architecture if known else None,
                catalogue_name=known.name if known else None,
                pci_bus_id=bus,
            )
        )
    if not gpus:
        return [], []
    findings = [
        Finding(
            code="intel-free-unknown",
            severity="note",
            what=tr("How much memory of the Intel GPU is taken cannot be seen; it is assumed to be empty."),
            why=tr("The kernel reports only the size."),
            fix=tr("End other GPU programs before a run."),
        )
    ]
    if any(gpu.state != "ok" for gpu in gpus):
        findings.append(
            Finding(
                code="intel-no-memory",
                severity="warning",
                what=tr("The memory of an Intel GPU cannot be read."),
                why=tr("The driver (xe or i915) does not export it on this kernel."),
                fix=tr('Describe the card: --hardware "Arc A770 16GB"'),
            )
        )
    return gpus, findings


def _memory(folder: Path, device: Path) -> int | None:
    """Bytes of local memory: every tile of the xe driver, else what i915 reports."""
    tiles = [_amount(file) for file in sorted(device.glob("tile*/physical_vram_size_bytes"))]
    sizes = [size for size in tiles if size]
    if sizes:
        return sum(sizes)
    return _amount(folder / "lmem_total_bytes") or _amount(device / "lmem_total_bytes")


def _amount(file: Path) -> int | None:
    text = _text(file)
    try:
        return int(text, 0) or None
    except ValueError:
        return None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
