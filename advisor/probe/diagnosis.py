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
    outcome: Outcome
    what: str
    why: str = ""
    commands: tuple[str, ...] = ()
    blocks: tuple[Method, ...] = ()
    final: bool = False
    """Nothing that can be installed helps."""


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a method can be trained with this installation, now."""

    method: Method
    verdict: Verdict
    why: str = ""
    commands: tuple[str, ...] = ()


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """What the doctor found."""

    schema: Literal["sft-advisor/doctor/v1"] = "sft-advisor/doctor/v1"
    device: str
    """Where torch computes: an accelerator, cpu, or none."""
    checks: tuple[Check, ...]
    methods: tuple[Readiness, ...]
    seconds: float

    @property
    def ready(self) -> bool:
        """Whether at least one method works as it is."""
        return any(method.verdict == "works" for method in self.methods)
