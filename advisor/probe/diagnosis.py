"""What the doctor finds: checks, and for each method whether it can be trained here."""

from __future__ import annotations

from typing import Literal

import msgspec

from trainers.method import Method

DOCTOR_SCHEMA = "sft-advisor/doctor/v1"

Outcome = Literal["ok", "warning", "failed", "skipped"]
Verdict = Literal["works", "works_after", "cannot"]

PIP_INSTALL = "python -m pip install"


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at. `blocks`: the methods that cannot run before `commands` are done."""

    name: str
    """What was looked at."""
    outcome: Outcome
    """ok, warning, failed, or skipped where it does not apply."""
    what: str
    """What was found."""
    why: str = ""
    """Why it matters."""
    commands: tuple[str, ...] = ()
    """What repairs it, to paste."""
    blocks: tuple[Method, ...] = ()
    """The methods that cannot run before."""
    final: bool = False
    """Nothing that can be installed helps."""


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a method can be trained with this installation, now."""

    method: Method
    """Its name."""
    verdict: Verdict
    """works, works_after the commands, or cannot work here."""
    why: str = ""
    """What stands in the way."""
    commands: tuple[str, ...] = ()
    """What to do first, to paste."""


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """What the doctor found."""

    schema: Literal["sft-advisor/doctor/v1"] = "sft-advisor/doctor/v1"
    """Name and version of this document."""
    device: str
    """Where torch computes: an accelerator, cpu, or none."""
    checks: tuple[Check, ...]
    """Everything that was looked at."""
    methods: tuple[Readiness, ...]
    """Each method, whether it works."""
    seconds: float
    """How long the doctor took."""

    @property
    def ready(self) -> bool:
        """Whether at least one method works as it is."""
        return any(method.verdict == "works" for method in self.methods)
