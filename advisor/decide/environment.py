"""What has to be repaired before any method runs here, and the machine as it would be then.

Judged before the methods: a card that is lost, a driver that no build of torch runs on, a cache without room for the
download, a gated model without a token, a package that is not installed. What is wrong with one of several cards
stops nothing: the others are planned on.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from advisor.base.language import tr
from advisor.decide.facts import choose_devices
from advisor.decide.recommendation import Caution
from advisor.model.catalog import entries
from advisor.model.spec import ModelSpec
from advisor.probe import lookup
from advisor.probe.hardware import Finding, Gpu, Hardware, Software
from advisor.probe.wheels import choose_wheel, is_of_newer_generation
from trainers.accelerators import ACCELERATORS, Accelerator
from trainers.amounts import MIB, size
from trainers.method import METHODS, Method

if TYPE_CHECKING:
    from advisor.decide.decision import Decision, Inputs

WEIGHTS = ("*.safetensors", "*.bin")


def repairs_of(inputs: Inputs, decision: Decision) -> tuple[Caution, ...]:
    """Everything that keeps this machine from training what is advised, with its repair; () where nothing does."""
    probed = inputs.found or inputs.hardware
    shown = decision.best or decision.rejected[0]
    others = (
        fault_of_packages(inputs.software, shown.method),
        fault_of_access(probed, inputs.model),
        fault_of_cache(probed, inputs.model, shown.storage.cache_bytes),
    )
    return (*faults_of_devices(probed), *(fault for fault in others if fault is not None))


def fault_of_packages(software: Software | None, method: Method) -> Caution | None:
    """The packages of the method that are not installed; None where all are, or where the machine is described."""
    if software is None:
        return None
    missing = [name for name in METHODS[method].packages if getattr(software, name) is None]
    if not missing:
        return None
    return Caution(
        message=tr("{packages} are not installed, without which nothing trains here.", packages=", ".join(missing))
        if len(missing) > 1
        else tr(
            "{package} is not installed, without which {method} does not run.", package=missing[0], method=method
        ),
        fix=tr("pip install 'sft-advisor[train]', then `sft-advisor doctor`"),
    )


def fault_of_access(hardware: Hardware, model: ModelSpec) -> Caution | None:
    """A model that its owner gives only to those who accepted the licence, where no token of the hub is set."""
    host = hardware.host
    if host.hub_token is not False or host.cache is None:
        return None
    hub = model.path or model.name
    gated = any(entry.gated and hub in (entry.hub, *entry.names) for entry in entries().values())
    if not gated or is_downloaded(model, Path(host.cache.path)):
        return None
    return Caution(
        message=tr(
            "{model} is given only to those who accepted its licence, and no token of the hub is set.", model=hub
        ),
        fix=tr("accept the licence on https://huggingface.co/{model}, then: hf auth login", model=hub),
    )


def faults_of_devices(hardware: Hardware) -> tuple[Caution, ...]:
    """What keeps the GPUs that a plan would use from training, with its repair; () where they can, or none was found.

    A card that is left out, such as an old one beside it for the display, needs no build of torch.
    """
    if hardware.state == "unusable":
        stopping = [finding for finding in hardware.findings if _stops(finding)]
        return tuple(Caution(message=finding.what, fix=finding.fix) for finding in stopping)
    used = msgspec.structs.replace(hardware, gpus=choose_devices(hardware).gpus)
    if hardware.accelerator != "cuda" or is_of_newer_generation(used):
        return ()
    choice = choose_wheel(used)
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
