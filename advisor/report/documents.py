"""The documents that commands print with `--json`; `sft-advisor rules schema` describes each by its name."""

from __future__ import annotations

from importlib import import_module
from types import GenericAlias
from typing import Any, Literal, NamedTuple

import msgspec


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

    name: str
    """The scenario."""
    title: str
    """What it is about."""
    differences: tuple[str, ...]
    """In what the advice differs from what the expert said; empty when it agrees."""


class Document(NamedTuple):
    """Where the record of a document is."""

    module: str
    record: str
    is_list: bool = False
    version: int = 1

    @property
    def type(self) -> Any:
        """The record, or the tuple of it that is printed."""
        found = getattr(import_module(self.module), self.record)
        return GenericAlias(tuple, (found, ...)) if self.is_list else found


DOCUMENTS = {
    "recommendation": Document("advisor.report.document", "Answer", version=2),
    "plan": Document("trainers.plan", "TrainingPlan"),
    "hardware": Document("advisor.probe.hardware", "Hardware"),
    "explanation": Document("advisor.report.documents", "Explanation"),
    "export": Document("advisor.report.documents", "Written"),
    "vet": Document("advisor.trust.look", "Vetted"),
    "doctor": Document("advisor.probe.diagnosis", "Diagnosis"),
    "run": Document("trainers.run_folder.summary", "Summary"),
    "runs": Document("trainers.run_folder.summary", "Summary", is_list=True),
    "scenarios": Document("advisor.report.documents", "Agreement", is_list=True),
    "cases": Document("rules.cases", "CaseResult", is_list=True),
}
"""Name -> document. Answers are described by the table of questions (advisor/report/schema.py)."""
