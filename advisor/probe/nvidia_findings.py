"""States of NVIDIA cards that change a plan: neighbours, displays, slices, virtual cards, power, links."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from advisor.base.language import tr
from advisor.probe.catalogue import MIB, lookup
from advisor.probe.driver_version import driver_tuple
from advisor.probe.hardware import GIB, Finding, Gpu, Severity
from advisor.probe.nvml import Reading
from trainers.amounts import gib

FOREIGN_MEMORY_BYTES = GIB // 4
"""Memory of others below this is not worth a message (a driver daemon, a context)."""
UNUSUAL_SHARE = 0.08
"""ECC takes 1/16 of GDDR memory, and drivers differ by 1 %: what lies further off is another card, or a quota."""
GENERATIONS = {
    60: "Pascal",
    61: "Pascal",
    70: "Volta",
    75: "Turing",
    80: "Ampere",
    86: "Ampere",
    87: "Ampere",
    89: "Ada",
    90: "Hopper",
    100: "Blackwell",
    103: "Blackwell",
    110: "Blackwell",
    120: "Blackwell",
    121: "Blackwell",
}
"""Compute capability as two digits -> generation."""
LOW_POWER_RATIO = 0.8
COHERENT_CHIPS = ("GH200", "GB200", "GB300")
"""Grace chips, whose GPU memory the operating system manages."""
NARROW_PCIE_WIDTH = 4
_FIXED_RTX_40_DRIVER = (550, 40, 7)
"""The first driver with which NCCL does not hang between GeForce 40 cards (accelerate's floor)."""


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
                what=tr("This is Linux inside Windows (WSL)."),
                why=tr(
                    "The Windows driver may move GPU memory to system memory instead of failing: slow, not an error."
                ),
                fix=tr("Keep plans below the free memory; set dataloader_pin_memory=False when workers fail."),
            )
        )
    return findings


Tell = Callable[[str, Severity, str, str, str], Finding]
"""A finding of one card from code, severity, what (after the card's name), why and fix."""


def _of_one(gpu: Gpu) -> list[Finding]:
    def finding(code: str, severity: Severity, what: str, why: str, fix: str) -> Finding:
        text = tr("GPU {index} ({name}) {what}", index=gpu.index, name=gpu.name, what=what)
        return Finding(code=code, severity=severity, what=text, why=why, fix=fix, device=gpu.index)

    looks = (_of_compute_mode, _of_identity, _of_occupation, _of_memory_kind, _of_pace)
    return [each for look in looks for each in look(gpu, finding)]


def _of_compute_mode(gpu: Gpu, finding: Tell) -> list[Finding]:
    found: list[Finding] = []
    compute = [process for process in gpu.processes if not process.graphics]
    if gpu.state == "prohibited":
        taken = bool(gpu.exclusive)
        found.append(
            finding(
                "gpu-exclusive-taken" if taken else "gpu-prohibited",
                "error",
                tr("is taken by its one process.") if taken else tr("does not accept compute work."),
                tr("Its compute mode is 'exclusive process'.") if taken else tr("Its compute mode is 'prohibited'."),
                f"sudo nvidia-smi -i {gpu.index} -c DEFAULT"
                + (tr(", or end process {compute}", compute=", ".join(str(p.pid) for p in compute)) if taken else ""),
            )
        )
    elif gpu.exclusive:
        found.append(
            finding(
                "gpu-exclusive",
                "note",
                tr("accepts one process at a time."),
                tr("Its compute mode is 'exclusive process': no server and no second trainer beside the run."),
                f"sudo nvidia-smi -i {gpu.index} -c DEFAULT",
            )
        )
    return found


def _of_memory_kind(gpu: Gpu, finding: Tell) -> list[Finding]:
    """Memory that is not the card's alone."""
    found: list[Finding] = []
    if gpu.kind == "vgpu":
        found.append(
            finding(
                "gpu-virtual",
                "note",
                tr("is a virtual GPU."),
                tr("Its memory is the profile's; managed memory is often off, so paged optimizers can fail."),
                tr("Use the 8-bit optimizer that is not paged (the plan does)."),
            )
        )
    if gpu.kind == "unified":
        found.append(
            finding(
                "gpu-unified",
                "note",
                tr("shares one memory with the CPU; it is counted once."),
                tr("Offloading to the CPU gains nothing here, and the page cache lives in the same pool."),
                tr("Close other programs before a long run; sync && echo 3 | sudo tee /proc/sys/vm/drop_caches"),
            )
        )
    if gpu.kind == "gpu" and any(chip in gpu.name for chip in COHERENT_CHIPS):
        found.append(
            finding(
                "gpu-coherent",
                "note",
                tr("is a node of the system's memory, too."),
                tr(
                    "The operating system owns its memory: pages may stay after a process ends, so free is not exact."
                ),
                tr("Drop the page cache before a tight run: sync && echo 3 | sudo tee /proc/sys/vm/drop_caches"),
            )
        )
    return found


def _of_pace(gpu: Gpu, finding: Tell) -> list[Finding]:
    """What makes the card slower than its model."""
    found: list[Finding] = []
    if gpu.power_limit_ratio is not None and gpu.power_limit_ratio < LOW_POWER_RATIO:
        found.append(
            finding(
                "gpu-power-limit",
                "note",
                tr("runs at {power_limit_ratio:.0%} of its default power.", power_limit_ratio=gpu.power_limit_ratio),
                tr("Training is slower than the predicted time."),
                f"sudo nvidia-smi -i {gpu.index} -pl DEFAULT_WATTS",
            )
        )
    if gpu.pcie_width is not None and 0 < gpu.pcie_width <= NARROW_PCIE_WIDTH and gpu.kind == "gpu":
        found.append(
            finding(
                "gpu-narrow-pcie",
                "note",
                tr("is connected by {pcie_width} PCIe lane(s).", pcie_width=gpu.pcie_width),
                tr("Sharding over several cards and offloading to the CPU are slow through so few."),
                tr("Move the card to a slot with 16 lanes, or plan on one card."),
            )
        )
    return found


def _of_identity(gpu: Gpu, finding: Tell) -> list[Finding]:
    """What the catalogue does not know of the card, or knows otherwise. What was measured is used in any case."""
    if gpu.state != "ok" or gpu.kind not in ("gpu", "mig") or gpu.total_bytes is None:
        return []
    card = lookup(gpu.name)
    if card is None:
        generation = GENERATIONS.get(gpu.sm or 0)
        guess = (
            tr(
                " Its compute capability {compute_capability} is that of {generation}.",
                compute_capability=gpu.compute_capability,
                generation=generation,
            )
            if generation
            else ""
        )
        return [
            finding(
                "gpu-unknown",
                "note",
                tr("is not in the catalogue."),
                tr("Memory and capability are measured; how fast it is, is not known.{guess}", guess=guess),
                tr("Let a short run measure the speed: sft-advisor launch preflight PLAN.toml"),
            )
        ]
    sizes = [size * MIB for size in card.sizes_mib]
    differs = all(abs(gpu.total_bytes - size) > size * UNUSUAL_SHARE for size in sizes)
    if gpu.kind == "mig" or not sizes or not differs:
        return []
    return [
        finding(
            "gpu-unusual-memory",
            "note",
            tr("has {gib}, where the catalogue has {gib_2}.", gib=gib(gpu.total_bytes), gib_2=gib(sizes[0], 0)),
            tr("A quota (HAMi, MPS), a modified card or another model under this name. The measured figure is used."),
            tr("Compare with nvidia-smi."),
        )
    ]


def _of_occupation(gpu: Gpu, finding: Tell) -> list[Finding]:
    found: list[Finding] = []
    compute = [process for process in gpu.processes if not process.graphics]
    held = sum(process.used_bytes or 0 for process in compute)
    if compute and (held >= FOREIGN_MEMORY_BYTES or any(process.used_bytes is None for process in compute)):
        pids = ", ".join(str(process.pid) for process in compute)
        amount = gib(held) if held else tr("an unknown amount")
        mine = any(process.mine for process in compute)
        found.append(
            finding(
                "gpu-shared",
                "warning",
                tr(
                    "also holds {amount} for {num_compute} other process(es): {pids}.",
                    amount=amount,
                    num_compute=len(compute),
                    pids=pids,
                ),
                tr("They are yours.") if mine else tr("A neighbour may take more while you train."),
                tr("Plan on the free memory, or end what is left over: kill {pid}", pid=compute[0].pid)
                if mine
                else tr("Plan on the free memory, or ask for the card alone."),
            )
        )
    elif (gpu.used_bytes or 0) >= FOREIGN_MEMORY_BYTES and not gpu.processes and gpu.kind in ("gpu", "mig", "vgpu"):
        found.append(
            finding(
                "gpu-shared",
                "warning",
                tr("has {gib} in use by processes that cannot be seen from here.", gib=gib(gpu.used_bytes or 0)),
                tr("They run in another container or belong to another user."),
                tr("Plan on the free memory, or ask for the card alone."),
            )
        )
    if gpu.display_active:
        found.append(
            finding(
                "gpu-display",
                "note",
                tr("also drives a display."),
                tr(
                    "A desktop with a browser takes 0.3 to 1.5 GiB and changes while you train; 1 GiB "
                    "more is kept free."
                ),
                tr("Log out of the desktop, or train without a graphical session."),
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
                    what=tr("GPU {index} is cut into MIG instances, but has none.", index=device.index),
                    why=tr("CUDA cannot use a card in MIG mode without an instance."),
                    fix=tr(
                        "{one} (one whole instance), or turn MIG off: {off}",
                        one=f"sudo nvidia-smi mig -i {device.index} -cgi 0 -C",
                        off=f"sudo nvidia-smi -i {device.index} -mig 0",
                    ),
                    device=device.index,
                )
            )
        if None not in (device.mig_current, device.mig_pending) and device.mig_current != device.mig_pending:
            findings.append(
                Finding(
                    code="mig-pending",
                    severity="warning",
                    what=tr("GPU {index} changes its MIG mode at the next reset.", index=device.index),
                    why=tr("What is measured now will not be true after it."),
                    fix=tr("{command}, then probe again.", command=f"sudo nvidia-smi --gpu-reset -i {device.index}"),
                    device=device.index,
                )
            )
        if device.rows_pending:
            findings.append(
                Finding(
                    code="gpu-rows-pending",
                    severity="warning",
                    what=tr("GPU {index} has memory rows that wait to be remapped.", index=device.index),
                    why=tr("A memory error was found; a long run may die of the next one."),
                    fix=tr("{command} before the run.", command=f"sudo nvidia-smi --gpu-reset -i {device.index}"),
                    device=device.index,
                )
            )
    slices = [gpu for gpu in gpus if gpu.usable and gpu.kind == "mig"]
    if slices:
        findings.append(
            Finding(
                code="mig",
                severity="note",
                what=tr("{num_slices} MIG instance(s): each is a machine of its own.", num_slices=len(slices)),
                why=tr("One process uses one instance, and instances cannot exchange data."),
                fix=tr("The plan uses the one with most free memory; CUDA_VISIBLE_DEVICES=MIG-... chooses another."),
            )
        )
    return findings


def _of_all(gpus: Sequence[Gpu], reading: Reading) -> list[Finding]:
    findings = []
    kinds = {(gpu.name, gpu.total_bytes) for gpu in gpus}
    if len(kinds) > 1:
        names = ", ".join(f"{name} ({gib(total or 0, 0)})" for name, total in sorted(kinds, key=str))
        findings.append(
            Finding(
                code="mixed-cards",
                severity="note",
                what=tr("The cards differ: {names}.", names=names),
                why=tr("A run over several cards has the memory and the pace of the smallest one."),
                fix=tr("The plan names the cards it uses by UUID; choose others with CUDA_VISIBLE_DEVICES."),
            )
        )
    driver = driver_tuple(reading.driver_version)
    without_peer_access = len(gpus) > 1 and any("RTX 40" in gpu.name for gpu in gpus)
    if without_peer_access and driver and driver < _FIXED_RTX_40_DRIVER:
        findings.append(
            Finding(
                code="driver-rtx-40",
                severity="warning",
                what=tr(
                    "Driver {driver_version} lets NCCL hang between GeForce 40 cards.",
                    driver_version=reading.driver_version,
                ),
                why=tr("It claims peer access that these cards do not have."),
                fix=tr("Update the driver to 550.40.07 or newer, or export NCCL_P2P_DISABLE=1 NCCL_IB_DISABLE=1."),
            )
        )
    return findings
