"""The doctor's checks: what the probe and the package metadata show, then the results of trying it."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path

from advisor.base.language import later, tr
from advisor.probe.diagnosis import PIP_INSTALL, Check
from advisor.probe.doctor_children import TOLERATED_ERROR, Answer
from advisor.probe.hardware import Hardware, Software
from advisor.probe.software import PACKAGES
from advisor.probe.wheels import build_faults, capabilities_of, choose_wheel, cuda_major, install_torch
from trainers.accelerators import ACCELERATORS
from trainers.method import METHODS, quantized_methods
from trainers.versions import LIBRARIES, is_tested, window

OLDEST_4BIT_SM = 60
OLDEST_4BIT_CUDA_13_SM = 75


def driver_check(hardware: Hardware) -> Check:
    """The driver and what it shows."""
    errors = [finding for finding in hardware.findings if finding.severity == "error"]
    if hardware.state == "unusable":
        return Check(
            name=later("driver"),
            outcome="failed",
            what=(errors[0].what if errors else tr("A GPU is there, but it cannot be used.")),
            why=errors[0].why if errors else "",
            commands=tuple(error.fix for error in errors[:2]),
            blocks=tuple(METHODS),
        )
    if hardware.state == "absent":
        return Check(
            name=later("driver"),
            outcome="ok",
            what=tr("No GPU here: training runs on the CPU (below about 1 B parameters)."),
        )
    cuda = tr(", CUDA up to {cuda_version}", cuda_version=hardware.cuda_version) if hardware.cuda_version else ""
    shown = tr(
        "Driver {driver_version}{cuda}: {num_usable_gpus} usable GPU(s).",
        driver_version=hardware.driver_version or tr("unknown"),
        cuda=cuda,
        num_usable_gpus=len(hardware.usable_gpus),
    )
    if errors:
        return Check(
            name=later("driver"), outcome="warning", what=shown, why=errors[0].what, commands=(errors[0].fix,)
        )
    return Check(name=later("driver"), outcome="ok", what=shown)


def package_checks(hardware: Hardware, software: Software) -> list[Check]:
    """Each package that training needs: installed, in a version that this was tested with, and what it blocks."""
    checks = []
    for name in LIBRARIES:
        version: str | None = getattr(software, name)
        requirement = str(window(name))
        if version is not None and is_tested(name, version):
            build = (
                tr(", build {torch_build}", torch_build=software.torch_build)
                if name == "torch" and software.torch_build
                else ""
            )
            checks.append(Check(name=name, outcome="ok", what=f"{name} {version}{build}"))
            continue
        blocked = tuple(method for method in METHODS if name in METHODS[method].packages)
        build_to_install = choose_wheel(hardware).build if name == "torch" else None
        command = install_torch(build_to_install) if build_to_install else f"{PIP_INSTALL} '{requirement}'"
        checks.append(
            Check(
                name=name,
                outcome="failed",
                what=tr("{name} {version} is not a version that this was tested with.", name=name, version=version)
                if version
                else tr("{name} is not installed.", name=name),
                why=tr("Needed: {requirement}.", requirement=requirement)
                if version
                else tr("{blocked} cannot run without it.", blocked=", ".join(blocked)),
                commands=(command,),
                blocks=blocked,
            )
        )
    return checks


def build_checks(hardware: Hardware, software: Software) -> list[Check]:
    """Driver against the CUDA build of torch against the cards' compute capability against bitsandbytes."""
    checks = [
        Check(
            name=later("torch build"),
            outcome="failed",
            what=fault.what,
            why=fault.why,
            commands=(fault.fix,),
            blocks=tuple(METHODS),
            final=fault.final,
        )
        for fault in build_faults(hardware, software)
    ]
    if hardware.accelerator == "cuda" and software.bitsandbytes is not None:
        checks += _quantization(hardware, software.torch_build or "")
    return checks


def _quantization(hardware: Hardware, build: str) -> list[Check]:
    """What bitsandbytes has machine code for, by its published coverage."""
    oldest = min(capabilities_of(hardware), default=None)
    if oldest is None:
        return []
    if oldest < OLDEST_4BIT_SM:
        return [
            Check(
                name=later("4-bit"),
                outcome="failed",
                what=tr("bitsandbytes has no 4-bit kernels for this card."),
                why=tr("They start at compute capability 6.0."),
                blocks=quantized_methods(),
                final=True,
            )
        ]
    if oldest < OLDEST_4BIT_CUDA_13_SM and (cuda_major(build) or 0) >= 13:
        return [
            Check(
                name=later("4-bit"),
                outcome="failed",
                what=tr("bitsandbytes for CUDA 13 has no code for this card."),
                why=tr("Its CUDA 13 libraries start at compute capability 7.5."),
                commands=(install_torch("cu126"),),
                blocks=quantized_methods(),
            )
        ]
    return []


def tried_checks(hardware: Hardware, software: Software, answers: Mapping[str, Answer]) -> list[Check]:
    """The results of actually running it."""
    checks = []
    torch = answers.get("torch")
    if torch is not None:
        checks.append(_tried_torch(hardware, torch))
    if "trainers" in answers:
        failed = "" if answers["trainers"].ok else answers["trainers"].error
        checks.append(
            Check(
                name=later("trainers"),
                outcome="failed" if failed else "ok",
                what=tr("transformers, peft and trl do not load together.")
                if failed
                else tr("transformers, peft and trl load."),
                why=failed,
                commands=(f"{PIP_INSTALL} --upgrade transformers peft trl accelerate datasets",) if failed else (),
                blocks=tuple(METHODS) if failed else (),
            )
        )
    if "bitsandbytes" in answers:
        checks.append(_tried_4bit(answers["bitsandbytes"]))
    for name, label in (("flash_attn", "FlashAttention"), ("liger", tr("Liger kernels"))):
        if name in answers and not answers[name].ok:
            checks.append(
                Check(
                    name=label,
                    outcome="warning",
                    what=tr("{label} is installed but does not work; plans do without it.", label=label),
                    why=answers[name].error,
                    commands=(f"python -m pip uninstall {PACKAGES[name]}",),
                )
            )
        elif name in answers:
            checks.append(Check(name=label, outcome="ok", what=tr("{label} works.", label=label)))
    return checks


def sandbox_check(held: tuple[str, ...]) -> Check:
    """What bounds the reading of files that strangers made; nothing that training depends on."""
    if len(held) > 2:
        return Check(
            name=later("foreign files"),
            outcome="ok",
            what=tr("Foreign files are read within {held}.", held=", ".join(held)),
        )
    if not held:
        what, why = (
            tr("Foreign files are read in the command's own process."),
            tr("A process apart for them needs Linux."),
        )
    else:
        what = tr("Foreign files are read within {held} only.", held=", ".join(held))
        why = tr("Limits on memory and work hold; the kernel, the container or a missing library allows no more.")
    return Check(name=later("foreign files"), outcome="warning", what=what, why=why)


def _tried_torch(hardware: Hardware, answer: Answer) -> Check:
    choice = choose_wheel(hardware)
    if not answer.ok:
        return Check(
            name=later("matrix product"),
            outcome="failed",
            what=tr("A matrix product with torch fails."),
            why=answer.error,
            commands=(choice.command or choice.fix,),
            blocks=tuple(METHODS),
        )
    device = str(answer.values["device"])
    if hardware.accelerator == "cpu" and device != "cpu":
        return Check(
            name=later("matrix product"),
            outcome="warning",
            what=tr("torch computes on {device}, which the probe could not measure.", device=device),
            why=next((finding.why for finding in hardware.findings if finding.code.startswith("nvml-")), ""),
            commands=tuple(finding.fix for finding in hardware.findings if finding.code.startswith("nvml-"))[:1],
        )
    expected = ACCELERATORS[hardware.accelerator].torch_device
    if device != expected:
        return Check(
            name=later("matrix product"),
            outcome="failed",
            what=tr(
                "torch computes on {device}, although the machine has {accelerator}.",
                device=device,
                accelerator=hardware.accelerator,
            ),
            why=tr("The build of torch, the driver and the card do not match, or the device is hidden."),
            commands=(choice.command or choice.fix,),
            blocks=tuple(METHODS),
        )
    finite = bool(answer.values["finite"])
    return Check(
        name=later("matrix product"),
        outcome="ok" if finite else "failed",
        what=tr("A matrix product ran on {device}.", device=device)
        if finite
        else tr("A matrix product on {device} returned NaN or infinity.", device=device),
        blocks=() if finite else tuple(METHODS),
        commands=() if finite else (choice.command,),
    )


def _tried_4bit(answer: Answer) -> Check:
    error = float(answer.values.get("error", 1.0))
    right = answer.ok and error < TOLERATED_ERROR and bool(answer.values.get("gradient"))
    if right:
        what = tr("A 4-bit product ran on {values}, forward and backward", values=answer.values["device"])
        return Check(
            name=later("4-bit product"),
            outcome="ok",
            what=tr("{what} (error {error:.2f}, as NF4 has).", what=what, error=error),
        )
    slow = (
        platform.machine() in ("x86_64", "AMD64")
        and "avx2" not in _cpu_flags()
        and answer.values.get("device") == "cpu"
    )
    return Check(
        name=later("4-bit product"),
        outcome="failed",
        what=tr("A 4-bit product does not work here."),
        why=tr("The CPU has no AVX2.")
        if slow
        else answer.error or tr("its result is off by {error:.2f}", error=error),
        commands=() if slow else ("python -m pip install --upgrade --force-reinstall --no-deps bitsandbytes",),
        blocks=quantized_methods(),
        final=slow,
    )


def _cpu_flags() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
