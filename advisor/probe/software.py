"""Installed versions, read from package metadata and never by import: importing torch costs seconds."""

from __future__ import annotations

import platform
import re
from importlib import metadata
from pathlib import Path

from advisor.probe.hardware import Software
from trainers.accelerators import ACCELERATORS

__all__ = ["PACKAGES", "Software", "installed_software", "parts"]

PACKAGES = {
    "torch": "torch",
    "transformers": "transformers",
    "peft": "peft",
    "trl": "trl",
    "accelerate": "accelerate",
    "datasets": "datasets",
    "bitsandbytes": "bitsandbytes",
    "flash_attn": "flash-attn",
    "liger": "liger-kernel",
    "deepspeed": "deepspeed",
}
"""Field of Software -> name of the distribution."""

DRIVER = Path("/sys/module/nvidia/version")
"""Where Linux says which NVIDIA driver is loaded."""
_BUILD_LINE = re.compile(r"^(\w+)\s*(?::[^=]*)?=\s*'([^']+)'", re.M)


def installed_software() -> Software:
    """Versions of what training needs. A package whose metadata is broken counts as not installed."""
    versions = {field: _version(distribution) for field, distribution in PACKAGES.items()}
    return Software(python=platform.python_version(), torch_build=_torch_build(versions["torch"]), **versions)


def parts(driver: Path = DRIVER) -> dict[str, str]:
    """What a report of a fault has to name: Python, system, driver and training libraries -> version, "-" for none.

    Files are read and nothing is asked, so that a broken driver cannot stop it.
    """
    versions = {field: _version(PACKAGES[field]) or "-" for field in ("torch", "transformers", "trl", "peft")}
    try:
        nvidia = driver.read_text(encoding="utf-8").strip()
    except OSError:
        nvidia = "-"
    system = f"{platform.system()} {platform.machine()}"
    return {"python": platform.python_version(), "system": system, "nvidia driver": nvidia, **versions}


def _version(distribution: str) -> str | None:
    try:
        version: str | None = metadata.version(distribution)
    except (metadata.PackageNotFoundError, KeyError, OSError, UnicodeDecodeError):
        return None
    return version


def _torch_build(version: str | None) -> str | None:
    """What torch was built for, "cu130" or "cpu": from torch/version.py as text, else from the suffix of the version.

    The wheels of PyPI carry no suffix in their metadata, so the file is asked first.
    """
    if version is None:
        return None
    text = _torch_version_file()
    if text is not None:
        builds: dict[str, str] = dict(_BUILD_LINE.findall(text))
        if "cuda" in builds:
            return "cu" + builds["cuda"].replace(".", "")
        if "hip" in builds:
            return "rocm" + ".".join(builds["hip"].split(".")[:2])
        for row in ACCELERATORS.values():
            if row.torch_device in builds:
                return row.build
    local = version.partition("+")[2]
    return local or ("cpu" if text is not None else None)


def _torch_version_file() -> str | None:
    try:
        file = str(metadata.distribution("torch").locate_file("torch/version.py"))
        return Path(file).read_text(encoding="utf-8")
    except (metadata.PackageNotFoundError, OSError, UnicodeDecodeError):
        return None
