"""Recommendation: the answer, as data. report/ renders and publishes it, launch carries its plan out."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from advisor.data.profile import DatasetProfile
from advisor.decide.afterwards import NextStep
from advisor.estimate.result import MemoryEstimate, StorageEstimate, TimeEstimate
from advisor.probe.hardware import Hardware
from rules.engine import Trace
from trainers.method import Method
from trainers.plan import TrainingPlan

Verdict = Literal["recommended", "nothing_fits", "do_not_fine_tune", "repair_first"]


class TriedVariant(msgspec.Struct, frozen=True, kw_only=True):
    """A variant of a method that was tried on the way to its candidate, and why it was not it."""

    variant: str
    device_high_bytes: int
    fits: bool
    cpu_offload: bool = False
    note: str = ""


class Candidate(msgspec.Struct, frozen=True, kw_only=True, rename={"tried_variants": "attempts"}):
    """One judged plan."""

    method: Method
    plan: TrainingPlan
    memory: MemoryEstimate
    time: TimeEstimate | None
    storage: StorageEstimate
    available_bytes: int | None
    """Free memory of the smallest GPU used (RAM on a CPU); None when no device is known."""
    fits: bool
    score: int
    """Sum of the weights of the preferences that fired."""
    vetoes: tuple[Trace, ...] = ()
    reasons: tuple[Trace, ...] = ()
    """Preferences that fired, for and against."""
    warnings: tuple[Trace, ...] = ()
    settings: tuple[Trace, ...] = ()
    """The set rules that filled the plan."""
    tried_variants: tuple[TriedVariant, ...] = ()
    """`attempts` in JSON."""
    why_not: tuple[str, ...] = ()
    """For a rejected or beaten plan: each reason as a sentence."""

    @property
    def only_offloaded(self) -> bool:
        """Whether it uses host memory because the devices alone hold no variant of it, and not for its speed."""
        return self.plan.cpu_offload and not any(v.fits and not v.cpu_offload for v in self.tried_variants)


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """The smallest change of one answer that leads to another method, verified by judging again."""

    what: str
    """The change in words."""
    flag: str
    """What to type to get it."""
    method: Method | None
    """The method that would then lead."""
    verdict: Verdict
    """What the answer would then be."""


class Caution(msgspec.Struct, frozen=True, kw_only=True):
    """Something that should be known before the plan is used, and what to do about it."""

    message: str
    """What is the matter, with the figures that it rests on."""
    fix: str = ""
    """What to do about it; empty where nothing need be done."""
    rule_id: str | None = None
    """The rule that says it; None for what the probe or the reading of model and data found."""


class AnswerView(msgspec.Struct, frozen=True, kw_only=True):
    """One answer and where it came from."""

    value: Any
    origin: str


class ModelView(msgspec.Struct, frozen=True, kw_only=True):
    """What the report says of the base model."""

    name: str
    model_type: str
    num_params: int
    active_params: int
    known: bool
    notes: tuple[str, ...] = ()


class Recommendation(msgspec.Struct, frozen=True, kw_only=True):
    """The whole answer, with all that it was judged by. `best` is None when nothing fits."""

    advisor_version: str
    verdict: Verdict
    headline: str
    """One sentence that a person can quote."""
    best: Candidate | None
    alternatives: tuple[Candidate, ...]
    rejected: tuple[Candidate, ...]
    gates: tuple[Trace, ...]
    warnings: tuple[Caution, ...]
    changes: tuple[Change, ...]
    remedies: tuple[str, ...]
    repairs: tuple[Caution, ...] = ()
    """What has to be repaired before anything runs here; the plan is that of the machine as it is then."""
    afterwards: tuple[NextStep, ...] = ()
    """What to do once the run has ended: evaluate, look for what was forgotten, what comes next."""
    wish_cost: tuple[str, ...]
    """What honouring the user's wish costs against the advice."""
    unknown_facts: dict[str, str]
    """Fact -> how to give it, for facts that would have mattered."""
    answers: dict[str, AnswerView]
    facts: dict[str, Any]
    fact_reasons: dict[str, str]
    """Derived fact -> how it was derived."""
    model: ModelView
    data: DatasetProfile | None
    hardware: Hardware
    traces: tuple[Trace, ...]
    """Every rule judged on the best candidate, whatever its outcome."""
