"""Signs of an NVIDIA GPU that need no driver: is "no GPU" the truth, or only what a broken driver looks like?"""

from __future__ import annotations

from pathlib import Path

from advisor.base.language import tr

_TEGRA = ("etc/nv_tegra_release", "sys/firmware/devicetree/base/compatible")


def nvidia_signs(root: Path) -> tuple[str, ...]:
    """What shows that this machine has an NVIDIA GPU; () when nothing does."""
    signs = []
    if any((root / "dev").glob("nvidia[0-9]*")):
        signs.append("/dev/nvidia0")
    if (root / "proc/driver/nvidia/version").exists():
        signs.append("/proc/driver/nvidia")
    if (root / "dev/dxg").exists():
        signs.append("/dev/dxg (WSL)")
    if is_jetson(root):
        signs.append(tr("a Jetson board"))
    if _on_pci_bus(root):
        signs.append(tr("an NVIDIA card on the PCI bus"))
    return tuple(signs)


def bus_is_readable(root: Path) -> bool:
    """Whether the PCI bus can be looked at: only then does "no card on it" mean anything."""
    return (root / "sys/bus/pci/devices").is_dir()


def is_jetson(root: Path) -> bool:
    """Whether this is a Jetson (Tegra) board: GPU and CPU share one memory there."""
    return (root / _TEGRA[0]).exists() or "tegra" in _text(root / _TEGRA[1])


def jetson_model(root: Path) -> str:
    """Name of the board, from its device tree."""
    return _text(root / "sys/firmware/devicetree/base/model").strip("\0 \n") or "NVIDIA Jetson"


def _on_pci_bus(root: Path) -> bool:
    devices = root / "sys/bus/pci/devices"
    if not devices.is_dir():
        return False
    return any(
        _text(device / "vendor").strip() == "0x10de" and _text(device / "class").startswith("0x03")
        for device in devices.iterdir()
    )


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
