"""Which build of torch a machine needs: driver, compute capability and CUDA build set against each other. Pure.

Driver floors: NVIDIA's table of minor version compatibility (CUDA 11 from R450, 12 from R525, 13 from R580).
Architectures: the build matrix of torch 2.13; the list of a running torch, where it has one, takes precedence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from advisor.base.language import tr
from advisor.probe.driver_version import driver_tuple
from advisor.probe.hardware import Hardware, Software
from trainers.accelerators import ACCELERATORS

INDEX = "https://download.pytorch.org/whl/"
DRIVER_FLOORS = {11: 450, 12: 525, 13: 580}
"""CUDA major version -> first driver branch that runs it."""
TORCH_ARCHITECTURES: dict[str, tuple[int, ...]] = {
    "cu118": (50, 60, 70, 75, 80, 86, 90),
    "cu126": (50, 60, 70, 75, 80, 86, 90),
    "cu128": (70, 75, 80, 86, 90, 100, 120),
    "cu129": (75, 80, 86, 90, 100, 120),
    "cu130": (75, 80, 86, 90, 100, 120),
    "cu132": (75, 80, 86, 90, 100, 120),
}
"""Build -> the compute capabilities it holds machine code for."""
LAST_WITH_GAPS = 90
"""Compute capability up to which the table is complete; what is missing above it may have come since."""
_BY_PREFERENCE = ("cu130", "cu126", "cu129")


class WheelChoice(msgspec.Struct, frozen=True, kw_only=True):
    """The build of torch to install; None when no build fits, with the reason and what to change."""

    build: str | None
    why: str
    fix: str = ""

    @property
    def command(self) -> str:
        """The install line, "" when no build fits. Apple's and the default build come from PyPI."""
        if self.build is None:
            return ""
        return install_torch(self.build)


def install_torch(build: str) -> str:
    """The line that replaces the installed torch by this build."""
    if build == "mps":
        return "python -m pip install --upgrade torch"
    return f"python -m pip install --upgrade --force-reinstall torch --index-url {INDEX}{build}"


def choose_wheel(hardware: Hardware) -> WheelChoice:
    """The build of torch that runs on every GPU this process may use."""
    if hardware.accelerator == "cuda":
        return _choose_cuda(hardware)
    build = ACCELERATORS[hardware.accelerator].build
    return WheelChoice(build=build, why=tr("the machine computes on {accelerator}", accelerator=hardware.accelerator))


def _choose_cuda(hardware: Hardware) -> WheelChoice:
    capabilities = capabilities_of(hardware)
    driver = driver_tuple(hardware.driver_version)
    fitting = [build for build in _BY_PREFERENCE if not unsupported(capabilities, TORCH_ARCHITECTURES[build])]
    if not fitting:
        shown = ", ".join(f"{sm // 10}.{sm % 10}" for sm in capabilities)
        if is_of_newer_generation(hardware):
            return WheelChoice(
                build=None,
                why=tr(
                    "compute capability {shown} is newer than any build of torch that this version knows", shown=shown
                ),
                fix=tr(
                    "Install the newest torch and the newest sft-advisor; `sft-advisor doctor` then tries the card."
                ),
            )
        return WheelChoice(
            build=None,
            why=tr("no build of torch runs on compute capability {shown}", shown=shown),
            fix=tr("Choose cards of one generation with CUDA_VISIBLE_DEVICES.")
            if len(capabilities) > 1
            else tr("Use a card of compute capability 5.0 or newer."),
        )
    running = [build for build in fitting if driver_runs(driver, build) is not False]
    if not running:
        floor = min(DRIVER_FLOORS[cuda_major(build) or 13] for build in fitting)
        return WheelChoice(
            build=None,
            why=tr(
                "driver {driver_version} is older than every build of torch for this card needs",
                driver_version=hardware.driver_version,
            ),
            fix=tr("Update the NVIDIA driver to R{floor} or newer.", floor=floor),
        )
    return WheelChoice(
        build=running[0],
        why=tr("driver {driver_version} and this card run it", driver_version=hardware.driver_version or "unknown"),
    )


def is_of_newer_generation(hardware: Hardware) -> bool:
    """Whether a card is of a generation that no build in the table has code for, and newer than its first ones."""
    known = sorted({arch for build in TORCH_ARCHITECTURES.values() for arch in build})
    return any(sm > LAST_WITH_GAPS for sm in unsupported(capabilities_of(hardware), known))


def unsupported(capabilities: Sequence[int], architectures: Sequence[int]) -> list[int]:
    """Capabilities without machine code: code runs on the same major version with an equal or higher minor one."""
    return [
        capability
        for capability in capabilities
        if not any(arch // 10 == capability // 10 and arch <= capability for arch in architectures)
    ]


def cuda_major(build: str | None) -> int | None:
    """ "cu130" -> 13; None for a build that is not CUDA's."""
    match = re.fullmatch(r"cu(\d{1,3})\d", build or "")
    return int(match[1]) if match else None


def driver_runs(driver: tuple[int, ...], build: str | None) -> bool | None:
    """Whether a driver runs a CUDA build; None when either is not known."""
    floor = DRIVER_FLOORS.get(cuda_major(build) or 0)
    return None if not driver or floor is None else driver[0] >= floor


class BuildFault(msgspec.Struct, frozen=True, kw_only=True):
    """The installed torch cannot use the cards of this machine."""

    what: str
    why: str = ""
    fix: str
    """The install line, or what to change where no build helps."""
    final: bool = False
    """No build of torch helps."""


def build_faults(hardware: Hardware, software: Software) -> list[BuildFault]:
    """Driver against the CUDA build of torch against the cards, from versions alone; [] when nothing is wrong."""
    build = software.torch_build
    if software.torch is None or build is None or hardware.accelerator == "cpu" or not hardware.usable_gpus:
        return []
    choice = choose_wheel(hardware)
    if choice.build is None:
        return [BuildFault(what=choice.why[:1].upper() + choice.why[1:] + ".", fix=choice.fix, final=True)]
    if not build.startswith(ACCELERATORS[hardware.accelerator].build_begins):
        return [
            BuildFault(
                what=tr(
                    "The installed torch is built for {build}; it cannot use {name}.",
                    build=build,
                    name=hardware.usable_gpus[0].name,
                ),
                why=tr("Training would run on the CPU and leave the GPU idle."),
                fix=choice.command,
            )
        ]
    if hardware.accelerator != "cuda":
        return []
    faults = []
    if driver_runs(driver_tuple(hardware.driver_version), build) is False:
        faults.append(
            BuildFault(
                what=tr(
                    "Driver {driver_version} is too old for torch built for CUDA {cuda_major}.",
                    driver_version=hardware.driver_version,
                    cuda_major=cuda_major(build),
                ),
                why=tr("torch.cuda.is_available() is false with this pair."),
                fix=choice.command,
            )
        )
    missing = (
        unsupported(capabilities_of(hardware), TORCH_ARCHITECTURES[build]) if build in TORCH_ARCHITECTURES else []
    )
    if missing:
        shown = ", ".join(f"{sm // 10}.{sm % 10}" for sm in missing)
        faults.append(
            BuildFault(
                what=tr(
                    "The {build} build of torch has no code for compute capability {shown}.", build=build, shown=shown
                ),
                why=tr("The first kernel would fail: no kernel image is available for execution on the device."),
                fix=choice.command,
            )
        )
    return faults


def capabilities_of(hardware: Hardware) -> list[int]:
    """Compute capabilities of the usable cards as two digits, each once."""
    return sorted({gpu.sm for gpu in hardware.usable_gpus if gpu.sm is not None})
