"""What has to be repaired before any method runs here, and the machine as it would be then.

Judged before the methods: a card that is lost, a driver that no build of torch runs on, a cache without room for the
download. What is wrong with one of several cards stops nothing: the others are planned on.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from advisor.decide.recommendation import Caution
from advisor.language import tr
from advisor.model.spec import ModelSpec
from advisor.probe import lookup
from advisor.probe.hardware import Finding, Gpu, Hardware
from advisor.probe.wheels import choose_wheel, is_of_newer_generation
from trainers.accelerators import ACCELERATORS, Accelerator
from trainers.amounts import MIB, size

WEIGHTS = ("*.safetensors", "*.bin")


def faults_of_devices(hardware: Hardware) -> tuple[Caution, ...]:
    """What keeps every GPU that was found from training, with its repair; () where one can, or none was found."""
    if hardware.state == "unusable":
        found = [finding for finding in hardware.findings if _stops(finding)]
        return tuple(Caution(message=finding.what, fix=finding.fix) for finding in found)
    if hardware.accelerator != "cuda" or is_of_newer_generation(hardware):
        return ()
    choice = choose_wheel(hardware)
    if choice.build is not None:
        return ()
    return (Caution(message=choice.why[:1].upper() + choice.why[1:] + ".", fix=choice.fix),)


def _stops(finding: Finding) -> bool:
    return finding.severity == "error" or (finding.severity == "warning" and finding.device is not None)


def as_if_repaired(hardware: Hardware) -> Hardware:
    """The machine with its GPUs in order; unchanged where one is, or where the driver named none.

    A card whose memory the driver did not tell has what the catalogue says of its name.
    """
    if hardware.state != "unusable":
        return hardware
    gpus = tuple(_repaired(gpu, hardware) for gpu in hardware.gpus)
    usable = [gpu for gpu in gpus if gpu.usable]
    if not usable:
        return hardware
    kind = _kind_of(usable[0].architecture or "")
    return msgspec.structs.replace(hardware, state="ok", accelerator=kind, gpus=gpus)


def _kind_of(architecture: str) -> Accelerator:
    begins = {name: traits.architecture_begins for name, traits in ACCELERATORS.items() if traits.architecture_begins}
    return next((name for name, begin in begins.items() if architecture.startswith(begin)), "cuda")


def _repaired(gpu: Gpu, hardware: Hardware) -> Gpu:
    if gpu.state == "ok":
        return gpu
    without_instance = any(f.code == "mig-no-instance" and f.device == gpu.index for f in hardware.findings)
    card = lookup(gpu.name, gpu.total_bytes)
    total = gpu.total_bytes or (card.memory_mib * MIB if card and card.memory_mib else None)
    return msgspec.structs.replace(
        gpu,
        state="ok",
        visible=gpu.visible or without_instance,
        total_bytes=total,
        compute_capability=gpu.compute_capability or (card.compute_capability if card else None),
    )


def fault_of_cache(hardware: Hardware, model: ModelSpec, download_bytes: int) -> Caution | None:
    """The download that the hub's cache has no room for, with its repair; None where it has, or is not needed."""
    cache = hardware.host.cache
    if cache is None or cache.free_bytes is None or cache.free_bytes >= download_bytes:
        return None
    if is_downloaded(model, Path(cache.path)):
        return None
    return Caution(
        message=tr(
            "The cache {path} has {free} free; the weights of {model} take {needed}.",
            path=cache.path,
            free=size(cache.free_bytes),
            model=model.name,
            needed=size(download_bytes),
        ),
        fix=tr("export HF_HOME=/a/folder/with/room, or make room: hf cache ls, hf cache rm REPO"),
    )


def is_downloaded(model: ModelSpec, cache: Path) -> bool:
    """Whether the weights lie in the hub's cache already, some of them at least; then only the rest is fetched."""
    folder = "models--" + (model.path or model.name).replace("/", "--")
    return any(next((cache / folder).glob(f"snapshots/*/{name}"), None) for name in WEIGHTS)
