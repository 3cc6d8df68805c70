"""doctor(): can this installation train here? Driver, torch, card and libraries set against each other, then tried.

    diagnosis = doctor()
    diagnosis.methods   -> each method: works | works_after (the exact lines to run) | cannot (why)

Figures come from the probe and from package metadata; every library is imported in a child process only.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable, Mapping

from advisor.base.sandbox import what_holds
from advisor.probe.diagnosis import PIP_INSTALL, Check, Diagnosis, Readiness
from advisor.probe.doctor_checks import build_checks, driver_check, package_checks, sandbox_check, tried_checks
from advisor.probe.doctor_children import Answer, ask
from advisor.probe.hardware import Hardware, Software
from advisor.probe.machine import probe
from trainers.method import METHODS, Method


def doctor(hardware: Hardware | None = None, env: Mapping[str, str] | None = None) -> Diagnosis:
    """Look, then try: some seconds, most of them for importing torch and trl in child processes.

    A tiny 4-bit matrix product (forward and backward) really runs before QLoRA counts as ready.
    """
    start = time.monotonic()
    hardware = probe(env) if hardware is None else hardware
    software = hardware.software or Software(python=platform.python_version())
    checks = [driver_check(hardware), *package_checks(hardware, software), *build_checks(hardware, software)]
    answers = _answers(software, env)
    checks += [*tried_checks(hardware, software, answers), sandbox_check(what_holds())]
    device = _device(answers.get("torch"))
    return Diagnosis(
        device=device,
        checks=tuple(checks),
        methods=tuple(_readiness(method, checks) for method in METHODS),
        seconds=round(time.monotonic() - start, 2),
    )


def _answers(software: Software, env: Mapping[str, str] | None) -> dict[str, Answer]:
    """Every question that can be asked here. A 4-bit product that ran has shown that torch computes, too."""
    answers = ask(_questions(software), env)
    quantized = answers.get("bitsandbytes")
    if quantized is not None and quantized.ok:
        return {**answers, "torch": quantized}
    return {**answers, **ask(("torch",) if software.torch else (), env)}


def _questions(software: Software) -> tuple[str, ...]:
    asked = {
        "bitsandbytes": software.torch and software.bitsandbytes,
        "trainers": software.torch and software.transformers and software.trl and software.peft,
        "flash_attn": software.flash_attn,
        "liger": software.liger,
    }
    return tuple(name for name, installed in asked.items() if installed)


def _device(answer: Answer | None) -> str:
    if answer is None or not answer.ok:
        return "none"
    return "rocm" if answer.values.get("hip") else str(answer.values["device"])


def _readiness(method: Method, checks: list[Check]) -> Readiness:
    """The verdict on one method out of every check that blocks it."""
    blocking = [check for check in checks if check.outcome == "failed" and method in check.blocks]
    if not blocking:
        return Readiness(method=method, verdict="works")
    why = " ".join(dict.fromkeys(check.what for check in blocking))
    if any(check.final for check in blocking):
        return Readiness(method=method, verdict="cannot", why=why)
    commands = _joined(command for check in blocking for command in check.commands)
    return Readiness(method=method, verdict="works_after" if commands else "cannot", why=why, commands=commands)


def _joined(commands: Iterable[str]) -> tuple[str, ...]:
    """Each command once, and the packages of all plain installs in one line."""
    plain, others = [], []
    for command in dict.fromkeys(command for command in commands if command):
        packages = command.removeprefix(f"{PIP_INSTALL} ")
        if packages != command and not packages.startswith("-"):
            plain.append(packages)
        else:
            others.append(command)
    return (*others, *([f"{PIP_INSTALL} {' '.join(plain)}"] if plain else []))
