"""What a person should know about the NVIDIA side: errors of the driver, and states of the cards that cost a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from advisor.probe.hardware import Finding, Gpu, ProbeState, Severity
from advisor.probe.nvml import Failure, Reading
from advisor.probe.nvml_errors import (
    BINDING,
    CRASHED,
    DRIVER_NOT_LOADED,
    FUNCTION_NOT_FOUND,
    HUNG,
    LIBRARY_NOT_FOUND,
    NOT_SUPPORTED,
    meaning,
)

GIB = 1024**3
FOREIGN_MEMORY_BYTES = GIB // 4
"""Memory of others below this is not worth a message (a driver daemon, a context)."""
LOW_POWER_RATIO = 0.8
NARROW_PCIE_WIDTH = 4
_FIXED_RTX_40_DRIVER = (550, 40, 7)
"""The first driver with which NCCL does not hang between GeForce 40 cards (accelerate's floor)."""

QUESTIONS = {
    "import pynvml": "the Python module for the driver",
    "nvmlInit": "start of the driver library",
    "nvmlSystemGetDriverVersion": "driver version",
    "nvmlSystemGetCudaDriverVersion": "CUDA version",
    "nvmlSystemGetCudaDriverVersion_v2": "CUDA version",
    "nvmlDeviceGetCount": "number of GPUs",
    "nvmlDeviceGetHandleByIndex": "access to the card",
    "nvmlDeviceGetUUID": "UUID",
    "nvmlDeviceGetName": "name",
    "nvmlDeviceGetCudaComputeCapability": "compute capability",
    "nvmlDeviceGetMemoryInfo": "memory",
    "nvmlDeviceGetMemoryInfo_v2": "reserved memory (3 % assumed)",
    "nvmlDeviceGetMigMode": "MIG mode",
    "nvmlDeviceGetMaxMigDeviceCount": "number of MIG slots",
    "nvmlDeviceGetMigDeviceHandleByIndex": "a MIG instance",
    "nvmlDeviceGetAttributes_v2": "shape of a MIG instance",
    "nvmlDeviceGetGpuInstanceId": "MIG instance number",
    "nvmlDeviceGetComputeInstanceId": "MIG compute instance number",
    "nvmlDeviceGetVirtualizationMode": "virtualization",
    "nvmlDeviceGetComputeMode": "compute mode",
    "nvmlDeviceGetDisplayActive": "attached display",
    "nvmlDeviceGetEccMode": "ECC mode",
    "nvmlDeviceGetEnforcedPowerLimit": "power limit",
    "nvmlDeviceGetPowerManagementDefaultLimit": "default power limit",
    "nvmlDeviceGetMaxPcieLinkGeneration": "PCIe generation",
    "nvmlDeviceGetMaxPcieLinkWidth": "PCIe width",
    "nvmlDeviceGetCurrPcieLinkWidth": "current PCIe width",
    "nvmlDeviceGetPciInfo": "PCI address",
    "nvmlDeviceGetRemappedRows": "remapped memory rows",
    "nvmlDeviceGetComputeRunningProcesses": "compute processes",
    "nvmlDeviceGetGraphicsRunningProcesses": "graphics processes",
    "nvmlDeviceGetP2PStatus": "links between the cards",
}
"""Driver call -> what was asked, in words."""

_QUIET = (NOT_SUPPORTED, FUNCTION_NOT_FOUND)
"""Answers that are normal for some cards: a note, never a warning."""


def of_absence(
    reading: Reading, signs: Sequence[str], env: Mapping[str, str], *, container: bool
) -> tuple[ProbeState, Finding]:
    """The state and the one finding of a machine of which the driver shows no card.

    Only a missing driver on a machine without any sign of a card is "absent": every other error is "unusable".
    """
    failure = reading.failures[0] if reading.failures else None
    if failure is None:
        return _none_listed(signs, env, container=container)
    because = meaning(failure.code)
    seen = f" although there is {' and '.join(signs)}" if signs else ""
    nothing_installed = (
        failure.code in (LIBRARY_NOT_FOUND, BINDING) and not reading.library_loaded
    ) or failure.code == DRIVER_NOT_LOADED
    if nothing_installed and not signs and failure.call in ("nvmlInit", "import pynvml"):
        return "absent", Finding(
            code=f"nvml-{because.slug}",
            severity="note",
            what="No NVIDIA driver answers here, and nothing shows an NVIDIA GPU.",
            why=because.why[:1].upper() + because.why[1:] + ".",
            fix=f"Without an NVIDIA card: nothing to do. With one: {because.fix}",
        )
    return "unusable", Finding(
        code=f"nvml-{because.slug}",
        severity="error",
        what=f"The NVIDIA driver cannot be used{seen}: {question(failure.call)} failed.",
        why=_because(failure),
        fix=because.fix,
    )


def _none_listed(signs: Sequence[str], env: Mapping[str, str], *, container: bool) -> tuple[ProbeState, Finding]:
    withheld = env.get("NVIDIA_VISIBLE_DEVICES", "all").lower() in ("", "none", "void")
    fix = "Start the container with GPUs: docker run --gpus all (Kubernetes: resources.limits nvidia.com/gpu)."
    if signs or (container and withheld):
        return "unusable", Finding(
            code="nvml-no-device",
            severity="error",
            what="The NVIDIA driver answers, but gives this process no GPU.",
            why="The container or the scheduler withholds them." if container else "No card is bound to the driver.",
            fix=fix if container else "Compare with nvidia-smi -L; in SLURM ask for one with --gpus=1.",
        )
    return "absent", Finding(
        code="nvml-no-device",
        severity="note",
        what="The NVIDIA driver answers, and there is no NVIDIA GPU.",
        why="Its list of cards is empty, and none is on the PCI bus.",
        fix=f"Without a card: nothing to do. In a container: {fix}",
    )


def of_failures(reading: Reading, gpus: Sequence[Gpu]) -> list[Finding]:
    """A finding for each card that cannot be used, and one for each kind of answer that stayed out."""
    findings: list[Finding] = []
    broken = {gpu.index: gpu for gpu in gpus if gpu.state in ("lost", "no_permission", "error")}
    explained: set[Failure] = set()
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
    lost = [failure for failure in failures if failure.code in (15, HUNG, CRASHED)]
    return next(iter(lost), None) or next((f for f in failures if f.call in decisive), None)


def _broken(gpu: Gpu, cause: Failure) -> Finding:
    because = meaning(cause.code)
    return Finding(
        code=f"nvml-{because.slug}",
        severity="error",
        what=f"GPU {gpu.index} ({gpu.name}) cannot be used: {question(cause.call)} failed.",
        why=_because(cause),
        fix=because.fix,
        device=gpu.index,
    )


def _no_memory(gpu: Gpu) -> Finding:
    return Finding(
        code="gpu-no-memory",
        severity="error",
        what=f"GPU {gpu.index} ({gpu.name}) reports no memory at all.",
        why="The driver answers 0 bytes for a card that has memory of its own.",
        fix="Check nvidia-smi -q -d MEMORY; update the driver or reset the card (nvidia-smi --gpu-reset).",
        device=gpu.index,
    )


def _group(code: int, failures: Sequence[Failure]) -> Finding:
    because = meaning(code)
    devices = sorted({failure.device for failure in failures if failure.device is not None})
    asked = ", ".join(dict.fromkeys(question(failure.call) for failure in failures))
    place = f"GPU {', '.join(map(str, devices))}: " if devices else ""
    severity: Severity = "note" if code in _QUIET else "warning"
    return Finding(
        code=f"nvml-{because.slug}",
        severity=severity,
        what=f"{place}the driver did not tell: {asked}.",
        why=_because(failures[0]),
        fix=because.fix,
        device=devices[0] if len(devices) == 1 else None,
    )


def _because(failure: Failure) -> str:
    because = meaning(failure.code)
    number = f" (NVML code {failure.code})" if failure.code >= 0 else ""
    return f"{because.why[:1].upper()}{because.why[1:]}{number}."


def question(call: str) -> str:
    """What a driver call asks, in words."""
    return QUESTIONS.get(call, call)


def driver_between(driver: str | None, first: tuple[int, ...], last: tuple[int, ...]) -> bool:
    """Whether a driver version lies in first .. last, by as many parts as they have."""
    version = driver_tuple(driver)
    return bool(version) and first <= version[: len(first)] and version[: len(last)] <= last


def driver_tuple(driver: str | None) -> tuple[int, ...]:
    """ "550.54.15" -> (550, 54, 15); () when it is unknown or not a version."""
    parts = (driver or "").split(".")
    return tuple(int(part) for part in parts) if all(part.isdecimal() for part in parts) else ()


def of_gpus(gpus: Sequence[Gpu], reading: Reading, *, wsl: bool) -> list[Finding]:
    """States of the cards that change a plan: neighbours, displays, slices, sharing, power, links."""
    findings: list[Finding] = []
    for gpu in gpus:
        findings += _of_one(gpu)
    findings += _of_mig(gpus, reading)
    findings += _of_all([gpu for gpu in gpus if gpu.usable and gpu.kind != "mig"], reading)
    if wsl:
        findings.append(
            Finding(
                code="wsl",
                severity="note",
                what="This is Linux inside Windows (WSL).",
                why="The Windows driver may move GPU memory to system memory instead of failing: slow, not an error.",
                fix="Keep plans below the free memory; set dataloader_pin_memory=False when workers fail.",
            )
        )
    return findings


def _of_one(gpu: Gpu) -> list[Finding]:
    def finding(code: str, severity: Severity, what: str, why: str, fix: str) -> Finding:
        text = f"GPU {gpu.index} ({gpu.name}) {what}"
        return Finding(code=code, severity=severity, what=text, why=why, fix=fix, device=gpu.index)

    found = []
    compute = [process for process in gpu.processes if not process.graphics]
    if gpu.state == "prohibited":
        taken = bool(gpu.exclusive)
        found.append(
            finding(
                "gpu-exclusive-taken" if taken else "gpu-prohibited",
                "error",
                "is taken by its one process." if taken else "does not accept compute work.",
                "Its compute mode is 'exclusive process'." if taken else "Its compute mode is 'prohibited'.",
                f"sudo nvidia-smi -i {gpu.index} -c DEFAULT"
                + (f", or end process {', '.join(str(p.pid) for p in compute)}" if taken else ""),
            )
        )
    elif gpu.exclusive:
        found.append(
            finding(
                "gpu-exclusive",
                "note",
                "accepts one process at a time.",
                "Its compute mode is 'exclusive process': no server and no second trainer beside the run.",
                f"sudo nvidia-smi -i {gpu.index} -c DEFAULT",
            )
        )
    found += _of_occupation(gpu, finding)
    if gpu.kind == "vgpu":
        found.append(
            finding(
                "gpu-virtual",
                "note",
                "is a virtual GPU.",
                "Its memory is the profile's; managed memory is often off, so paged optimizers can fail.",
                "Use the 8-bit optimizer that is not paged (the plan does).",
            )
        )
    if gpu.kind == "unified":
        found.append(
            finding(
                "gpu-unified",
                "note",
                "shares one memory with the CPU; it is counted once.",
                "Offloading to the CPU gains nothing here, and the page cache lives in the same pool.",
                "Close other programs before a long run; sync && echo 3 | sudo tee /proc/sys/vm/drop_caches",
            )
        )
    if gpu.power_limit_ratio is not None and gpu.power_limit_ratio < LOW_POWER_RATIO:
        found.append(
            finding(
                "gpu-power-limit",
                "note",
                f"runs at {gpu.power_limit_ratio:.0%} of its default power.",
                "Training is slower than the predicted time.",
                f"sudo nvidia-smi -i {gpu.index} -pl DEFAULT_WATTS",
            )
        )
    if gpu.pcie_width is not None and 0 < gpu.pcie_width <= NARROW_PCIE_WIDTH and gpu.kind == "gpu":
        found.append(
            finding(
                "gpu-narrow-pcie",
                "note",
                f"is connected by {gpu.pcie_width} PCIe lane(s).",
                "Sharding over several cards and offloading to the CPU are slow through so few.",
                "Move the card to a slot with 16 lanes, or plan on one card.",
            )
        )
    return found


def _of_occupation(gpu: Gpu, finding: object) -> list[Finding]:
    assert callable(finding)
    found: list[Finding] = []
    compute = [process for process in gpu.processes if not process.graphics]
    held = sum(process.used_bytes or 0 for process in compute)
    if compute and (held >= FOREIGN_MEMORY_BYTES or any(process.used_bytes is None for process in compute)):
        pids = ", ".join(str(process.pid) for process in compute)
        amount = f"{held / GIB:.1f} GiB" if held else "an amount that is not told"
        mine = any(process.mine for process in compute)
        found.append(
            finding(
                "gpu-shared",
                "warning",
                f"also holds {amount} for {len(compute)} other process(es): {pids}.",
                "They are yours." if mine else "A neighbour may take more while you train.",
                f"Plan on the free memory, or end what is left over: kill {compute[0].pid}"
                if mine
                else "Plan on the free memory, or ask for the card alone.",
            )
        )
    elif (gpu.used_bytes or 0) >= FOREIGN_MEMORY_BYTES and not gpu.processes and gpu.kind in ("gpu", "mig", "vgpu"):
        found.append(
            finding(
                "gpu-shared",
                "warning",
                f"has {(gpu.used_bytes or 0) / GIB:.1f} GiB in use by processes that cannot be seen from here.",
                "They run in another container or belong to another user.",
                "Plan on the free memory, or ask for the card alone.",
            )
        )
    if gpu.display_active:
        found.append(
            finding(
                "gpu-display",
                "note",
                "also drives a display.",
                "A desktop with a browser takes 0.3 to 1.5 GiB and changes while you train; 1 GiB more is kept free.",
                "Log out of the desktop, or train without a graphical session.",
            )
        )
    return found


def _of_mig(gpus: Sequence[Gpu], reading: Reading) -> list[Finding]:
    findings = []
    for device in reading.devices:
        if device.mig_current == 1 and not device.mig:
            findings.append(
                Finding(
                    code="mig-no-instance",
                    severity="error",
                    what=f"GPU {device.index} is cut into MIG instances, but has none.",
                    why="CUDA cannot use a card in MIG mode without an instance.",
                    fix=f"sudo nvidia-smi mig -i {device.index} -cgi 0 -C (one whole instance), or turn MIG off: "
                    f"sudo nvidia-smi -i {device.index} -mig 0",
                    device=device.index,
                )
            )
        if None not in (device.mig_current, device.mig_pending) and device.mig_current != device.mig_pending:
            findings.append(
                Finding(
                    code="mig-pending",
                    severity="warning",
                    what=f"GPU {device.index} changes its MIG mode at the next reset.",
                    why="What is measured now will not be true after it.",
                    fix=f"sudo nvidia-smi --gpu-reset -i {device.index}, then probe again.",
                    device=device.index,
                )
            )
        if device.rows_pending:
            findings.append(
                Finding(
                    code="gpu-rows-pending",
                    severity="warning",
                    what=f"GPU {device.index} has memory rows that wait to be remapped.",
                    why="A memory error was found; a long run may die of the next one.",
                    fix=f"sudo nvidia-smi --gpu-reset -i {device.index} before the run.",
                    device=device.index,
                )
            )
    slices = [gpu for gpu in gpus if gpu.usable and gpu.kind == "mig"]
    if slices:
        findings.append(
            Finding(
                code="mig",
                severity="note",
                what=f"{len(slices)} MIG instance(s): each is a machine of its own.",
                why="One process uses one instance, and instances cannot exchange data.",
                fix="The plan uses the one with most free memory; CUDA_VISIBLE_DEVICES=MIG-... chooses another.",
            )
        )
    return findings


def _of_all(gpus: Sequence[Gpu], reading: Reading) -> list[Finding]:
    findings = []
    kinds = {(gpu.name, gpu.total_bytes) for gpu in gpus}
    if len(kinds) > 1:
        names = ", ".join(f"{name} ({(total or 0) / GIB:.0f} GiB)" for name, total in sorted(kinds, key=str))
        findings.append(
            Finding(
                code="mixed-cards",
                severity="note",
                what=f"The cards differ: {names}.",
                why="A run over several cards has the memory and the pace of the smallest one.",
                fix="The plan names the cards it uses by UUID; choose others with CUDA_VISIBLE_DEVICES.",
            )
        )
    driver = driver_tuple(reading.driver_version)
    without_peer_access = len(gpus) > 1 and any("RTX 40" in gpu.name for gpu in gpus)
    if without_peer_access and driver and driver < _FIXED_RTX_40_DRIVER:
        findings.append(
            Finding(
                code="driver-rtx-40",
                severity="warning",
                what=f"Driver {reading.driver_version} lets NCCL hang between GeForce 40 cards.",
                why="It claims peer access that these cards do not have.",
                fix="Update the driver to 550.40.07 or newer, or export NCCL_P2P_DISABLE=1 NCCL_IB_DISABLE=1.",
            )
        )
    return findings
