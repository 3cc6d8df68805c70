"""Apple silicon without torch: one GPU that shares the Mac's memory, read by sysctl."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Callable

from advisor.base.language import tr
from advisor.probe.hardware import Finding, Gpu
from trainers.foreign.text import whole_number

MIB = 1024**2
WORKING_SET_PERCENT = 67
"""Share of memory that Metal recommends using where the system sets no limit: 65 to 75 % by machine."""


def is_apple_silicon() -> bool:
    """Whether this is a Mac with Apple silicon (also seen from a Python that runs under Rosetta)."""
    return sys.platform == "darwin" and (
        platform.machine() == "arm64" or "Apple" in _sysctl("machdep.cpu.brand_string")
    )


def read_apple(ask: Callable[[str], str] | None = None) -> tuple[list[Gpu], list[Finding], int | None]:
    """The GPU, findings, and the memory of the machine in bytes. `ask` answers a sysctl name ("" when unknown)."""
    ask = ask or _sysctl
    memory = _number(ask("hw.memsize"))
    if memory is None:
        return [], [], None
    limit = _number(ask("iogpu.wired_limit_mb"))
    working_set = limit * MIB if limit else memory * WORKING_SET_PERCENT // 100
    findings = [
        Finding(
            code="gpu-unified",
            severity="note",
            what=tr("GPU and CPU share one memory; it is counted once."),
            why=tr("Metal recommends using about two thirds of it; offloading to the CPU gains nothing."),
            fix=tr("Close other programs before a run; sudo sysctl iogpu.wired_limit_mb=N raises the limit."),
        )
    ]
    if ask("sysctl.proc_translated") == "1":
        findings.append(
            Finding(
                code="apple-rosetta",
                severity="error",
                what=tr("This Python runs under Rosetta."),
                why=tr("torch for Intel Macs has no Metal support."),
                fix=tr("Use a Python for arm64 (python.org's universal build, or Homebrew under /opt/homebrew)."),
            )
        )
    gpu = Gpu(
        index=0,
        name=ask("machdep.cpu.brand_string") or "Apple GPU",
        kind="unified",
        total_bytes=memory,
        reserved_bytes=memory - working_set,
        free_bytes=working_set,
        architecture="metal3",
    )
    return [gpu], findings, memory


def _sysctl(name: str) -> str:
    try:
        child = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, timeout=2, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return child.stdout.strip()


def _number(text: str) -> int | None:
    return whole_number(text) or None
