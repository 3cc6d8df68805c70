"""What an unanswered question to the NVIDIA driver means: the state of the machine, and a finding with its remedy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from advisor.base.language import later, tr
from advisor.probe.hardware import Finding, Gpu, ProbeState, Severity
from advisor.probe.nvml import Failure, Reading
from advisor.probe.nvml_errors import (
    BINDING,
    CRASHED,
    DRIVER_NOT_LOADED,
    FUNCTION_NOT_FOUND,
    GPU_IS_LOST,
    HUNG,
    LIBRARY_NOT_FOUND,
    NO_PERMISSION,
    NOT_SUPPORTED,
    meaning,
)

QUESTIONS = {
    "import pynvml": later("the Python module for the driver"),
    "nvmlInit": later("start of the driver library"),
    "nvmlSystemGetDriverVersion": later("driver version"),
    "nvmlSystemGetCudaDriverVersion": later("CUDA version"),
    "nvmlSystemGetCudaDriverVersion_v2": later("CUDA version"),
    "nvmlDeviceGetCount": later("number of GPUs"),
    "nvmlDeviceGetHandleByIndex": later("access to the card"),
    "nvmlDeviceGetUUID": "UUID",
    "nvmlDeviceGetName": "name",
    "nvmlDeviceGetCudaComputeCapability": later("compute capability"),
    "nvmlDeviceGetMemoryInfo": "memory",
    "nvmlDeviceGetMemoryInfo_v2": later("reserved memory (3 % assumed)"),
    "nvmlDeviceGetMigMode": later("MIG mode"),
    "nvmlDeviceGetMaxMigDeviceCount": later("number of MIG slots"),
    "nvmlDeviceGetMigDeviceHandleByIndex": later("a MIG instance"),
    "nvmlDeviceGetAttributes_v2": later("shape of a MIG instance"),
    "nvmlDeviceGetGpuInstanceId": later("MIG instance number"),
    "nvmlDeviceGetComputeInstanceId": later("MIG compute instance number"),
    "nvmlDeviceGetVirtualizationMode": "virtualization",
    "nvmlDeviceGetComputeMode": later("compute mode"),
    "nvmlDeviceGetDisplayActive": later("attached display"),
    "nvmlDeviceGetEccMode": later("ECC mode"),
    "nvmlDeviceGetEnforcedPowerLimit": later("power limit"),
    "nvmlDeviceGetPowerManagementDefaultLimit": later("default power limit"),
    "nvmlDeviceGetMaxPcieLinkGeneration": later("PCIe generation"),
    "nvmlDeviceGetMaxPcieLinkWidth": later("PCIe width"),
    "nvmlDeviceGetCurrPcieLinkWidth": later("current PCIe width"),
    "nvmlDeviceGetPciInfo": later("PCI address"),
    "nvmlDeviceGetRemappedRows": later("remapped memory rows"),
    "nvmlDeviceGetComputeRunningProcesses": later("compute processes"),
    "nvmlDeviceGetGraphicsRunningProcesses": later("graphics processes"),
    "nvmlDeviceGetP2PStatus": later("links between the cards"),
}
"""Driver call -> what was asked, in words."""

_QUIET = (NOT_SUPPORTED, FUNCTION_NOT_FOUND)
"""Answers that are normal for some cards: a note, never a warning."""


def of_absence(
    reading: Reading, signs: Sequence[str], env: Mapping[str, str], *, container: bool, bus_known: bool
) -> tuple[ProbeState, Finding]:
    """The state and the one finding of a machine of which the driver shows no card.

    Only a missing driver on a machine without any sign of a card is "absent": every other error is "unusable".
    """
    failure = reading.failures[0] if reading.failures else None
    if failure is None:
        return _none_listed(signs, env, container=container)
    because = meaning(failure.code)
    seen = tr(" although there is {signs}", signs=tr(" and ").join(signs)) if signs else ""
    no_library = failure.code in (LIBRARY_NOT_FOUND, BINDING) and not reading.library_loaded
    no_module = failure.code == DRIVER_NOT_LOADED and failure.call == "nvmlInit" and bus_known
    if not signs and (no_library or no_module):
        return "absent", Finding(
            code=f"nvml-{because.slug}",
            severity="note" if no_library else "warning",
            what=tr("No NVIDIA driver is installed, and nothing shows an NVIDIA GPU.")
            if no_library
            else tr("The NVIDIA driver is installed but not loaded, and no NVIDIA card is on the PCI bus."),
            why=tr("{sentence}.", sentence=because.why[:1].upper() + because.why[1:]),
            fix=tr("Without an NVIDIA card: nothing to do. With one: {fix}", fix=because.fix),
        )
    return "unusable", Finding(
        code=f"nvml-{because.slug}",
        severity="error",
        what=tr(
            "The NVIDIA driver cannot be used{seen}: {question} failed.", seen=seen, question=question(failure.call)
        ),
        why=_because(failure),
        fix=because.fix,
    )


def of_jetson(name: str) -> Finding:
    """The finding for a board on which the driver library does not answer."""
    return Finding(
        code="jetson",
        severity="note",
        what=tr("{name}: GPU and CPU share one memory, which was read from the system.", name=name),
        why=tr("NVIDIA's management library is missing or does not answer on Jetson boards."),
        fix=tr("Install NVIDIA's own torch for this JetPack; build bitsandbytes from source."),
    )


def _none_listed(signs: Sequence[str], env: Mapping[str, str], *, container: bool) -> tuple[ProbeState, Finding]:
    withheld = env.get("NVIDIA_VISIBLE_DEVICES", "all").lower() in ("", "none", "void")
    fix = tr("Start the container with GPUs: docker run --gpus all (Kubernetes: resources.limits nvidia.com/gpu).")
    if signs or (container and withheld):
        return "unusable", Finding(
            code="nvml-no-device",
            severity="error",
            what=tr("The NVIDIA driver answers, but shows this process no GPU."),
            why=tr("The container or the scheduler withholds them.")
            if container
            else tr("No card is bound to the driver."),
            fix=(fix if container else tr("Compare with nvidia-smi -L; in SLURM ask for one with --gpus=1.")),
        )
    return "absent", Finding(
        code="nvml-no-device",
        severity="note",
        what=tr("The NVIDIA driver answers, and there is no NVIDIA GPU."),
        why=tr("Its list of cards is empty, and none is on the PCI bus."),
        fix=tr("Without a card: nothing to do. In a container: {fix}", fix=fix),
    )


def of_failures(reading: Reading, gpus: Sequence[Gpu]) -> list[Finding]:
    """A finding for each card that cannot be used, and one for each kind of missing answer."""
    findings: list[Finding] = []
    broken = {gpu.index: gpu for gpu in gpus if gpu.state in ("lost", "no_permission", "error")}
    explained: set[Failure] = set()
    withheld = [gpu.index for gpu in gpus if gpu.state == "no_permission"]
    if withheld and any(gpu.state == "ok" for gpu in gpus):
        explained |= {failure for failure in reading.failures if failure.device in withheld}
        broken = {index: gpu for index, gpu in broken.items() if index not in withheld}
        findings.append(_withheld(withheld))
    for index, gpu in broken.items():
        own = [failure for failure in reading.failures if failure.device == index]
        cause = _cause(own)
        if cause is not None:
            explained |= {failure for failure in own if failure.code == cause.code}
            findings.append(_broken(gpu, cause))
        elif not any(device.mig_current == 1 for device in reading.devices if device.index == index):
            findings.append(_no_memory(gpu))
    groups: dict[int, list[Failure]] = {}
    for failure in reading.failures:
        if failure not in explained:
            groups.setdefault(failure.code, []).append(failure)
    return findings + [_group(code, failures) for code, failures in groups.items()]


def _cause(failures: Sequence[Failure]) -> Failure | None:
    """Why a card cannot be used: the failed access, or the failed memory question, or the loss of the card."""
    decisive = ("nvmlDeviceGetHandleByIndex", "nvmlDeviceGetMemoryInfo")
    lost = [failure for failure in failures if failure.code in (GPU_IS_LOST, HUNG, CRASHED)]
    return next(iter(lost), None) or next((f for f in failures if f.call in decisive), None)


def _broken(gpu: Gpu, cause: Failure) -> Finding:
    because = meaning(cause.code)
    return Finding(
        code=f"nvml-{because.slug}",
        severity="error",
        what=tr(
            "GPU {index} ({name}) cannot be used: asking for {question} failed.",
            index=gpu.index,
            name=gpu.name,
            question=question(cause.call),
        ),
        why=_because(cause),
        fix=because.fix,
        device=gpu.index,
    )


def _withheld(indices: Sequence[int]) -> Finding:
    """Cards of the machine that are not for this process: normal in containers and jobs."""
    because = meaning(NO_PERMISSION)
    return Finding(
        code=f"nvml-{because.slug}",
        severity="note",
        what=tr(
            "GPU {indices} may not be used by this process; the others may.", indices=", ".join(map(str, indices))
        ),
        why=_because(Failure(call="nvmlDeviceGetHandleByIndex", code=NO_PERMISSION)),
        fix=because.fix,
    )


def _no_memory(gpu: Gpu) -> Finding:
    return Finding(
        code="gpu-no-memory",
        severity="error",
        what=tr("GPU {index} ({name}) reports a memory that no card has.", index=gpu.index, name=gpu.name),
        why=tr("The driver answers 0 bytes, or more than 1 TiB, for a card that has memory of its own."),
        fix=tr("Check nvidia-smi -q -d MEMORY; update the driver or reset the card (nvidia-smi --gpu-reset)."),
        device=gpu.index,
    )


def _group(code: int, failures: Sequence[Failure]) -> Finding:
    because = meaning(code)
    devices = sorted({failure.device for failure in failures if failure.device is not None})
    asked = ", ".join(dict.fromkeys(question(failure.call) for failure in failures))
    place = tr("GPU {devices}: ", devices=", ".join(map(str, devices))) if devices else ""
    severity: Severity = "note" if code in _QUIET else "warning"
    return Finding(
        code=f"nvml-{because.slug}",
        severity=severity,
        what=tr("{place}the driver did not report: {asked}.", place=place, asked=asked),
        why=_because(failures[0]),
        fix=because.fix,
        device=devices[0] if len(devices) == 1 else None,
    )


def _because(failure: Failure) -> str:
    because = meaning(failure.code)
    number = tr(" (NVML code {code})", code=failure.code) if failure.code >= 0 else ""
    return f"{because.why[:1].upper()}{because.why[1:]}{number}."


def question(call: str) -> str:
    """What a driver call asks, in words."""
    return tr(QUESTIONS.get(call, call))
