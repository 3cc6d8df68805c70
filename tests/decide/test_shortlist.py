"""No model yet: what is proposed fits, is of the language and kind, and says why."""

from __future__ import annotations

import pytest

from advisor.decide.decision import Inputs, decide
from advisor.decide.shortlist import FAMILIES, LENGTH, shortlist
from advisor.model.catalog import entries, from_catalog
from advisor.probe import hardware_from_text
from rules.engine import RuleBook
from rules.facts import DATA_KINDS


def test_every_family_is_of_the_catalogue_and_every_kind_has_one() -> None:
    known = {entry.family for entry in entries().values()}
    assert {family.name for family in FAMILIES} <= known
    assert all(set(family.kinds) <= set(DATA_KINDS) and family.source for family in FAMILIES)
    assert {kind for family in FAMILIES for kind in family.kinds} == set(DATA_KINDS)


@pytest.mark.parametrize(
    ("machine", "kind"), [("RTX 4090", "chat"), ("T4", "code"), ("cpu, 32GB RAM, 8 cores", "instruct")]
)
def test_what_is_proposed_is_recommended_there(book: RuleBook, machine: str, kind: str) -> None:
    hardware = hardware_from_text(machine)
    found = shortlist(hardware, kind, "english", book)
    assert found and len({proposal.name for proposal in found}) == len(found)
    proposal = found[0]
    spec = from_catalog(proposal.name)
    assert spec is not None
    answers = {"data.examples": 5_000, "data.total_tokens": 2_500_000, "data.kind": kind, "wish.max_seq_len": LENGTH}
    decision = decide(Inputs(answers=answers, hardware=hardware, model=spec, data=None, book=book), traced=False)
    assert proposal.method in [candidate.method for candidate in decision.ranked]
    assert proposal.reason and proposal.method in ("lora", "qlora")


def test_the_language_and_the_card_choose(book: RuleBook) -> None:
    def names(machine: str, language: str) -> list[str]:
        return [p.name for p in shortlist(hardware_from_text(machine), "chat", language, book)]  # type: ignore[arg-type]

    assert not any("OLMo" in name for name in names("RTX 4090", "chinese"))
    assert names("RTX 4090", "english") != names("8 GiB", "english")
    assert names("1 GiB", "english") == []
