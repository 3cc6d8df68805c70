"""AMD GPUs without torch: memory from sysfs, names from amdsmi when it is there.

amdsmi prints to stdout and raises KeyError on import where ROCm is missing, so it runs in a child process.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from advisor.base.language import tr
from advisor.probe.catalogue import lookup
from advisor.probe.hardware import Finding, Gpu
from advisor.probe.surroundings import Surroundings
from trainers.foreign.text import whole_number
from trainers.python import child_environment, code_command

VENDOR = "0x1002"
AMDSMI_LIMIT_SECONDS = 5.0
SMALL_VRAM_BYTES = 2 * 1024**3
"""A carve-out below this, beside a larger GTT, is an APU: the real memory is the system's."""
UNIFIED_SHARE_PERCENT = 75
"""Of system memory that an APU may take (the smaller of this and GTT)."""
_GFX = re.compile(r"gfx\w+")

# Prints one JSON list on the last line of stdout; anything that amdsmi says before it is ignored.
_AMDSMI = """
import json
import amdsmi
amdsmi.amdsmi_init()
rows = []
for handle in amdsmi.amdsmi_get_processor_handles():
    row = {}
    for key, ask in (
        ("bdf", amdsmi.amdsmi_get_gpu_device_bdf),
        ("asic", amdsmi.amdsmi_get_gpu_asic_info),
        ("partition", amdsmi.amdsmi_get_gpu_compute_partition),
    ):
        try:
            row[key] = ask(handle)
        except Exception:
            row[key] = None
    rows.append(row)
print()
print(json.dumps(rows, default=str))
"""


class AmdCard(msgspec.Struct, frozen=True, kw_only=True):
    """One DRM card of AMD as sysfs shows it; bytes."""

    pci_bus_id: str
    vram_total: int | None
    vram_used: int | None
    gtt_total: int | None
    product: str | None = None


def read(around: Surroundings) -> tuple[list[Gpu], list[Finding]]:
    """AMD GPUs that could train, in the order of the PCI bus, and findings; ([], []) without one."""
    root = around.root
    cards = _cards(root)
    if not cards:
        return [], []
    findings = []
    compute = (root / "dev/kfd").exists()
    if not compute:
        findings.append(
            Finding(
                code="amd-no-kfd",
                severity="warning",
                what=tr(
                    "There is an AMD GPU, but no compute device (/dev/kfd): {num_cards} card(s).",
                    num_cards=len(cards),
                ),
                why=tr("The amdgpu driver with compute support is not loaded, or the container does not pass it on."),
                fix=tr("Install ROCm's driver; in a container: docker run --device=/dev/kfd --device=/dev/dri."),
            )
        )
    elif not _readable(root / "dev/kfd"):
        findings.append(
            Finding(
                code="amd-no-permission",
                severity="error",
                what=tr("There is an AMD GPU, but this user may not use /dev/kfd."),
                why=tr("The user is not in the group `render`."),
                fix=tr("sudo usermod -aG render,video $USER, then log in again."),
            )
        )
    details = _details(root) if compute else {}
    gpus = [
        _gpu(
            index, card, details.get(card.pci_bus_id.lower(), {}), around.ram_total_bytes, around.ram_available_bytes
        )
        for index, card in enumerate(cards)
    ]
    state = "ok" if compute and _readable(root / "dev/kfd") else "no_permission"
    shown = visible_amd(around.env, len(gpus))
    gpus = [
        msgspec.structs.replace(gpu, state=state if gpu.state == "ok" else gpu.state, visible=gpu.index in shown)
        for gpu in gpus
    ]
    return gpus, findings + _findings(gpus, details)


def visible_amd(env: Mapping[str, str], count: int) -> list[int]:
    """Indices that ROCm shows: ROCR_VISIBLE_DEVICES first, then HIP_ or CUDA_VISIBLE_DEVICES within what is left."""
    left = list(range(count))
    for names in (("ROCR_VISIBLE_DEVICES",), ("HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")):
        value = next((env[name] for name in names if name in env), None)
        if value is None:
            continue
        chosen: list[int] = []
        for entry in value.split(","):
            place = whole_number(entry.strip())
            if place is None or place >= len(left) or left[place] in chosen:
                break
            chosen.append(left[place])
        left = chosen
    return left


def _cards(root: Path) -> list[AmdCard]:
    found: dict[str, AmdCard] = {}
    for folder in sorted((root / "sys/class/drm").glob("card[0-9]*")):
        device = folder / "device"
        if "-" in folder.name or _text(device / "vendor") != VENDOR:
            continue
        bus = _bus_id(device)
        found[bus] = AmdCard(
            pci_bus_id=bus,
            vram_total=_amount(device / "mem_info_vram_total"),
            vram_used=_amount(device / "mem_info_vram_used"),
            gtt_total=_amount(device / "mem_info_gtt_total"),
            product=_text(device / "product_name") or None,
        )
    return [found[bus] for bus in sorted(found)]


def _bus_id(device: Path) -> str:
    match = re.search(r"^PCI_SLOT_NAME=(.+)$", _text(device / "uevent"), re.M)
    return match[1] if match else device.resolve().name


def _gpu(
    index: int, card: AmdCard, detail: Mapping[str, Any], ram_total: int | None, ram_available: int | None
) -> Gpu:
    asic = detail.get("asic") or {}
    name = str(asic.get("market_name") or card.product or "AMD GPU")
    known = lookup(name)
    gfx = _GFX.search(str(asic.get("target_graphics_version") or ""))
    architecture = gfx[0] if gfx else (known.architecture if known else None)
    if _is_apu(card, known is not None and known.unified):
        total = _apu_budget(card, ram_total)
        free = None if total is None else min(total, ram_available if ram_available is not None else total)
        return Gpu(
            index=index,
            name=name,
            kind="unified",
            state="ok" if total else "error",
            total_bytes=total,
            reserved_bytes=0,
            free_bytes=free,
            architecture=architecture,
            catalogue_name=known.name if known else None,
            pci_bus_id=card.pci_bus_id,
        )
    used = card.vram_used
    return Gpu(
        index=index,
        name=name,
        state="ok" if card.vram_total else "error",
        total_bytes=card.vram_total,
        reserved_bytes=0,
        used_bytes=used,
        free_bytes=None if card.vram_total is None else max(0, card.vram_total - (used or 0)),
        architecture=architecture,
        catalogue_name=known.name if known else None,
        pci_bus_id=card.pci_bus_id,
    )


def _is_apu(card: AmdCard, unified: bool) -> bool:
    small = card.vram_total is not None and card.vram_total < SMALL_VRAM_BYTES
    return unified or (small and (card.gtt_total or 0) > (card.vram_total or 0))


def _apu_budget(card: AmdCard, ram_total: int | None) -> int | None:
    shares = [card.gtt_total, None if ram_total is None else ram_total * UNIFIED_SHARE_PERCENT // 100]
    known = [share for share in shares if share]
    return min(known) if known else card.vram_total


def _findings(gpus: Sequence[Gpu], details: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    findings = []
    modes = {str(detail.get("partition")) for detail in details.values()} - {"None", "SPX", "N/A"}
    if modes:
        findings.append(
            Finding(
                code="amd-partitioned",
                severity="warning",
                what=tr("The card is partitioned ({modes}).", modes=", ".join(sorted(modes))),
                why=tr("The driver reports wrong totals for partitions."),
                fix=tr(
                    "Measure before a long run: sft-advisor launch preflight, or switch to SPX (amd-smi set -C SPX)."
                ),
            )
        )
    if any(gpu.kind == "unified" for gpu in gpus):
        findings.append(
            Finding(
                code="gpu-unified",
                severity="note",
                what=tr("The AMD GPU shares the system's memory; it is counted once."),
                why=tr("Its own part is a small carve-out, the rest is mapped on demand (GTT)."),
                fix=tr("Offloading to the CPU gains nothing here."),
            )
        )
    if gpus and not details:
        findings.append(
            Finding(
                code="amd-no-amdsmi",
                severity="note",
                what=tr("The names of the AMD GPUs are not known."),
                why=tr("amdsmi, which comes with ROCm, did not answer; memory was read from the kernel."),
                fix=tr("Install ROCm's amdsmi package to see names and speeds."),
            )
        )
    return findings


def _details(root: Path) -> dict[str, dict[str, Any]]:
    """amdsmi's view by PCI address; {} where it is not installed or does not answer. Only asked on the real root."""
    if root != Path("/"):
        return {}
    import json
    import subprocess

    try:
        child = subprocess.run(
            code_command(_AMDSMI),
            env=child_environment(),
            capture_output=True,
            text=True,
            timeout=AMDSMI_LIMIT_SECONDS,
            check=True,
        )
        rows = json.loads(child.stdout.strip().splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return {}
    return {str(row["bdf"]).lower(): row for row in rows if isinstance(row, dict) and row.get("bdf")}


def _readable(file: Path) -> bool:
    try:
        with file.open("rb"):
            return True
    except OSError:
        return False


def _amount(file: Path) -> int | None:
    return whole_number(_text(file))


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
