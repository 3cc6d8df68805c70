"""No model yet: a few base models for a task, a language and a machine, each with its reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from advisor.base.language import later, tr
from advisor.decide.model_map import EXAMPLES, TOKENS_OF_AN_EXAMPLE
from advisor.decide.outline import Outline, Reach
from advisor.model.catalog import Entry, entries, from_catalog
from advisor.model.use import refusal
from advisor.probe.hardware import Hardware
from rules.engine import RuleBook
from trainers.amounts import duration
from trainers.method import METHODS, Method

Language = Literal["english", "chinese", "european", "other"]
LENGTH = 2048
MOST_SECONDS = 24 * 3600.0
"""A model that takes longer for a usual set of examples is not proposed: the first run is rarely the last."""
MOST_NAMED = 5
_SPECIAL = ("(", "functiongemma", "medgemma", "guard")
"""Made for one purpose: no start for another."""
_ALL = ("chat", "instruct", "classification", "facts", "raw_text")


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """What a family of the catalogue is known for."""

    name: str
    languages: tuple[Language, ...]
    kinds: tuple[str, ...]
    """Kinds of data (`data.kind`) that it is a usual start for."""
    about: str
    source: str


FAMILIES = (
    Family(
        name="Qwen3",
        languages=("english", "chinese", "european", "other"),
        kinds=(*_ALL, "math", "long_cot", "code"),
        about=later("119 languages and dialects"),
        source="arXiv:2505.09388",
    ),
    Family(
        name="Qwen2.5-Coder",
        languages=("english", "chinese", "european", "other"),
        kinds=("code",),
        about=later("trained on code"),
        source="arXiv:2409.12186",
    ),
    Family(
        name="DeepSeek R1 distill",
        languages=("english", "chinese"),
        kinds=("long_cot", "math"),
        about=later("reasons step by step already"),
        source="arXiv:2501.12948",
    ),
    Family(
        name="Gemma 3",
        languages=("english", "chinese", "european", "other"),
        kinds=_ALL,
        about=later("over 140 languages"),
        source="arXiv:2503.19786",
    ),
    Family(
        name="Mistral Small",
        languages=("english", "european"),
        kinds=_ALL,
        about=later("strong in European languages"),
        source="model card of Mistral-Small-24B-Base-2501",
    ),
    Family(
        name="Llama 3.1",
        languages=("english", "european"),
        kinds=_ALL,
        about=later("eight languages, supported by every tool"),
        source="arXiv:2407.21783",
    ),
    Family(
        name="Granite 3.3",
        languages=("english", "chinese", "european"),
        kinds=(*_ALL, "code"),
        about=later("twelve languages, data with cleared licences"),
        source="model card of granite-3.3-8b-base",
    ),
    Family(
        name="OLMo 2",
        languages=("english",),
        kinds=(*_ALL, "math"),
        about=later("English, all training data published"),
        source="arXiv:2501.00656",
    ),
    Family(
        name="SmolLM2",
        languages=("english",),
        kinds=_ALL,
        about=later("English, made for small machines"),
        source="arXiv:2502.02737",
    ),
)
"""In the order in which they are proposed. What each paper or model card says of itself, not a ranking of answers."""


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """One model to begin with."""

    name: str
    """Its id on the hub."""
    method: Method
    """LoRA where it fits comfortably, else QLoRA."""
    seconds: float | None
    """Predicted time for 5,000 examples of 500 tokens, or for the data that was stated; None: speed not known."""
    reason: str
    """Why it is named, in one line."""


def shortlist(
    hardware: Hardware, kind: str, language: Language, book: RuleBook, data: Mapping[str, Any] | None = None
) -> tuple[Proposal, ...]:
    """The largest model of each fitting family that this machine trains comfortably within a day; () for none."""
    facts = {"data.examples": EXAMPLES} | {key: value for key, value in (data or {}).items() if value is not None}
    facts.setdefault("data.total_tokens", facts["data.examples"] * TOKENS_OF_AN_EXAMPLE)
    outline = Outline(hardware, facts | {"data.kind": kind, "wish.max_seq_len": LENGTH}, book)
    meant = [family for family in FAMILIES if kind in family.kinds and language in family.languages]
    proposals = (_largest(family, outline) for family in meant)
    return tuple(proposal for proposal in proposals if proposal is not None)[:MOST_NAMED]


def _largest(family: Family, outline: Outline) -> Proposal | None:
    for entry in _of(family):
        spec = from_catalog(entry.hub)
        if spec is None or refusal(spec) is not None:
            continue
        for cell in outline.row(spec, ("lora", "qlora"), (LENGTH,)):
            if cell.verdict == "fits" and (cell.total_seconds or 0.0) <= MOST_SECONDS:
                reason = _reason(family, entry, cell)
                return Proposal(name=entry.hub, method=cell.method, seconds=cell.total_seconds, reason=reason)
    return None


def _of(family: Family) -> Iterator[Entry]:
    """Models of the family, the largest first; of equal size the one that answers without thinking first."""
    members = [
        entry
        for entry in entries().values()
        if entry.family == family.name and not any(word in entry.hub.lower() for word in _SPECIAL)
    ]
    yield from sorted(members, key=lambda entry: (-entry.params, "thinking" in entry.hub.lower(), entry.hub))


def _reason(family: Family, entry: Entry, cell: Reach) -> str:
    words = {"about": tr(family.about), "method": METHODS[cell.method].title, "licence": entry.licence}
    if cell.total_seconds is None:
        return tr("{method}; {about}; {licence}", **words)
    return tr("{method}, {time}; {about}; {licence}", **words, time=duration(cell.total_seconds))
