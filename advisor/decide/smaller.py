"""The largest model of the same family that fits where the one that was asked for does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from advisor.decide.decision import Inputs, decide
from advisor.decide.model_map import recent
from advisor.decide.outline import Outline
from advisor.model.catalog import Entry, entries, from_catalog
from advisor.model.spec import ModelSpec
from advisor.model.use import refusal
from trainers.method import Method

TRIED: tuple[Method, ...] = ("lora", "qlora")
MOST_JUDGED = 3
"""Models that the outline lets through and that are judged by all rules before the search gives up."""


class Smaller(NamedTuple):
    """A model that fits."""

    name: str
    method: Method
    """The method that would be recommended for it."""
    family: str
    """The family or maker's line that it is the largest of; "" for the whole catalogue."""


def largest_that_fits(inputs: Inputs) -> Smaller | None:
    """Of the family where one fits, else of the maker's line, else of the catalogue; None where nothing does."""
    length = int(inputs.answers.get("wish.max_seq_len") or 2048)
    outline = Outline(inputs.hardware, inputs.answers, inputs.book)
    judged = 0
    for entry, group in _smaller(inputs.model):
        spec = from_catalog(entry.hub)
        if spec is None or refusal(spec) is not None:
            continue
        if not any(cell.verdict in ("fits", "tight") for cell in outline.row(spec, TRIED, (length,))):
            continue
        best = decide(msgspec.structs.replace(inputs, model=spec), traced=False).best
        if best is not None:
            return Smaller(spec.path or spec.name, best.method, group)
        judged += 1
        if judged == MOST_JUDGED:
            return None
    return None


def _smaller(model: ModelSpec) -> Iterator[tuple[Entry, str]]:
    """Smaller models with what they have in common with this one: the family, its first word (Llama), nothing."""
    family = _family_of(model)
    line = family.split()[0] if family else ""
    smaller_entries = [
        entry for entry in entries().values() if "(" not in entry.hub and entry.params < model.num_params
    ]
    smaller_entries.sort(key=lambda entry: (entry.params, entry.released), reverse=True)
    of_family = [entry for entry in smaller_entries if entry.family == family]
    others = [entry for entry in recent(smaller_entries) if entry not in of_family]
    of_line = [entry for entry in others if entry.family.split()[0] == line]
    yield from ((entry, family) for entry in of_family)
    yield from ((entry, line) for entry in of_line)
    yield from ((entry, "") for entry in others if entry not in of_line)


def _family_of(model: ModelSpec) -> str:
    """Family of the catalogue's model of this name or of this kind; "" for neither."""
    hub = model.path or model.name
    entry = next((entry for entry in entries().values() if hub in (entry.hub, *entry.names)), None)
    if entry is None:
        kind = f'"model_type": "{model.model_type}"'.encode()
        entry = next((entry for entry in entries().values() if kind in bytes(entry.config)), None)
    return entry.family if entry is not None else ""
