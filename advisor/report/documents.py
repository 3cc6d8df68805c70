"""The documents that commands print with `--json`; `sft-advisor rules schema` describes each by its name."""

from __future__ import annotations

from importlib import import_module
from types import GenericAlias
from typing import Any, Literal, NamedTuple

import msgspec

PROMISE = "Within a version fields are added; none is renamed or removed, and none changes its meaning or unit."
ANSWERS_SOURCE = "What `--answers FILE` reads, in TOML."


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What `explain --json` prints."""

    schema: Literal["sft-advisor/explanation/v1"] = "sft-advisor/explanation/v1"
    """Name and version of this document."""
    topic: str
    """What was asked for."""
    text: str
    """The page in Markdown, in the language in use."""


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What `export --json` prints."""

    schema: Literal["sft-advisor/export/v1"] = "sft-advisor/export/v1"
    """Name and version of this document."""
    target: str
    """The tool that it was translated for."""
    files: dict[str, str]
    """Name of each file (its path, where it was written with --output) -> content."""
    command: str
    """How to start it, in the folder of the files."""
    dropped: dict[str, str]
    """Field of the plan -> why the target cannot be told."""
    notes: tuple[str, ...]
    """What else its user should know."""


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario of `rules scenario --json`."""

    schema: Literal["sft-advisor/scenarios/v1"] = "sft-advisor/scenarios/v1"
    """Name and version of the document that this is a row of."""
    name: str
    """The scenario."""
    title: str
    """What it is about."""
    differences: tuple[str, ...]
    """In what the advice differs from what the expert said; empty when it agrees."""


class WouldRun(msgspec.Struct, frozen=True, kw_only=True):
    """What `launch --dry-run --json` prints: a start without starting."""

    schema: Literal["sft-advisor/dry-run/v1"] = "sft-advisor/dry-run/v1"
    """Name and version of this document."""
    files: dict[str, str]
    """Path -> content of what would be written first."""
    network: str
    """What the run may reach, as a sentence."""
    command: str
    """The command with its environment, to paste into a shell."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What `runs chat --ask TEXT --json` prints."""

    schema: Literal["sft-advisor/chat/v1"] = "sft-advisor/chat/v1"
    """Name and version of this document."""
    prompt: str
    """The question."""
    base: str
    """The answer of the base model."""
    tuned: str
    """The answer of the tuned one."""


class Offered(msgspec.Struct, frozen=True, kw_only=True):
    """One tool that `mcp` offers to coding agents."""

    schema: Literal["sft-advisor/tools/v1"] = "sft-advisor/tools/v1"
    """Name and version of the document that this is a row of."""
    name: str
    """What an agent calls."""
    description: str
    """What it does, as agents are told."""
    input: dict[str, Any]
    """JSON Schema of its arguments."""


class Document(NamedTuple):
    """One kind of document, the command that prints it, and where its record is."""

    printed_by: str
    module: str
    record: str
    is_list: bool = False
    version: int = 1

    @property
    def source(self) -> str:
        """Where such a document comes from, as its schema says it."""
        return f"What `sft-advisor {self.printed_by}` gives."

    @property
    def type(self) -> Any:
        """The record, or the tuple of it that is printed."""
        found = getattr(import_module(self.module), self.record)
        return GenericAlias(tuple, (found, ...)) if self.is_list else found


_HERE, _RUN = "advisor.report.documents", "trainers.run_folder.summary"
DOCUMENTS = {
    "recommendation": Document("--non-interactive", "advisor.report.document", "Answer", version=2),
    "plan": Document("--save-plan FILE", "trainers.plan", "TrainingPlan"),
    "estimate": Document("estimate --json", "advisor.report.estimates", "Estimates"),
    "map": Document("map --json", "advisor.decide.model_map", "ModelMap"),
    "where": Document("where --json", "advisor.decide.offers", "Offers"),
    "explanation": Document("explain TOPIC --json", _HERE, "Explanation"),
    "hardware": Document("probe --json", "advisor.probe.hardware", "Hardware"),
    "models": Document("probe models --json", "advisor.decide.known_models", "KnownModel", is_list=True),
    "data-check": Document("data check DATA --json", "advisor.data.verdict", "DataVerdict"),
    "data-convert": Document("data convert DATA --json", "advisor.data.convert", "Converted"),
    "doctor": Document("doctor --json", "advisor.probe.diagnosis", "Diagnosis"),
    "acceptance": Document("doctor verify --json", "trainers.acceptance.outcomes", "Acceptance"),
    "vet": Document("doctor vet NAME --json", "advisor.trust.look", "Vetted"),
    "dry-run": Document("launch PLAN --dry-run --json", _HERE, "WouldRun"),
    "preflight": Document("launch preflight PLAN --json", "trainers.supervision.preflight", "Preflight"),
    "adapters": Document("train multitask DIR --json", "trainers.supervision.multitask", "Adapters"),
    "race-verdict": Document("race PLAN --json", "trainers.supervision.verdict", "Verdict"),
    "run": Document("launch PLAN --json", _RUN, "Summary"),
    "runs": Document("runs list --json", _RUN, "Summary", is_list=True),
    "compare": Document("runs compare A B --json", "advisor.report.runs", "Difference"),
    "chat": Document("runs chat RUN --ask TEXT --json", _HERE, "Asked"),
    "retention": Document("runs retention RUN --json", "advisor.report.runs", "Retained"),
    "score": Document("runs score RUN --json", "advisor.report.runs", "Scored"),
    "report": Document("runs report RUN --json", "advisor.report.runs", "Reported"),
    "merge": Document("runs merge RUN --json", "trainers.handover.merged", "Merged"),
    "push": Document("runs push RUN ORG/NAME --json", "trainers.handover.push", "Push"),
    "export": Document("export PLAN --to NAME --json", _HERE, "Written"),
    "tools": Document("mcp --list", _HERE, "Offered", is_list=True),
    "rules": Document("rules list --json", "rules.policy", "RuleRow", is_list=True),
    "coverage": Document("rules check --json", "rules.coverage", "Coverage"),
    "policy": Document("rules check DIR --json", "rules.policy", "PolicyReport"),
    "cases": Document("rules test --json", "rules.cases", "CaseResult", is_list=True),
    "scenarios": Document("rules scenario FILE --json", _HERE, "Agreement", is_list=True),
}
"""Name -> document. Answers are described by the table of questions (advisor/report/schema.py)."""
