"""An outline says of many models at once what advice says of each, and never more than it."""

from __future__ import annotations

import pytest

from advisor.decide.decision import Inputs, decide
from advisor.decide.outline import Outline
from advisor.model.catalog import from_catalog
from advisor.model.spec import ModelSpec
from advisor.probe import hardware_from_text
from rules.engine import RuleBook

DATA = {"data.examples": 5_000, "data.total_tokens": 2_500_000, "task.count": 1}


def spec(name: str) -> ModelSpec:
    found = from_catalog(name)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "machine", ["8 GiB", "RTX 4090", "T4", "2x A100 80GB", "cpu, 32GB RAM, 8 cores", "M3 Max 64GB"]
)
@pytest.mark.parametrize("model", ["Qwen/Qwen3-4B", "meta-llama/Llama-3.1-8B", "Qwen/Qwen3-30B-A3B"])
def test_fit_and_time_are_those_of_the_advice(book: RuleBook, machine: str, model: str) -> None:
    hardware = hardware_from_text(machine)
    outline = Outline(hardware, DATA, book)
    answers = DATA | {"wish.max_seq_len": 2048}
    decision = decide(
        Inputs(answers=answers, hardware=hardware, model=spec(model), data=None, book=book), traced=False
    )
    for candidate in (*decision.ranked, *decision.rejected):
        cell = outline.reach(spec(model), candidate.method, 2048)
        assert (cell.verdict in ("fits", "tight")) == (candidate.fits and not candidate.vetoes), candidate.method
        if cell.total_seconds is not None and candidate.time is not None and candidate.time.total_seconds is not None:
            assert cell.total_seconds == pytest.approx(candidate.time.total_seconds, rel=0.35)


def test_a_longer_sequence_never_fits_where_a_shorter_one_did_not(book: RuleBook) -> None:
    outline = Outline(hardware_from_text("RTX 4090"), DATA, book)
    for name in ("Qwen/Qwen3-8B", "google/gemma-3-12b-it", "microsoft/phi-4"):
        cells = list(outline.row(spec(name), ("full", "lora", "qlora"), (512, 4096, 65536)))
        for method in ("full", "lora", "qlora"):
            fitting = [cell.verdict in ("fits", "tight") for cell in cells if cell.method == method]
            assert fitting == sorted(fitting, reverse=True)


def test_beyond_the_context_is_neither_a_yes_nor_a_no(book: RuleBook) -> None:
    outline = Outline(hardware_from_text("H100"), DATA, book)
    assert outline.reach(spec("microsoft/phi-4"), "lora", 32768).verdict == "beyond"


def test_tight_is_near_to_the_free_memory_or_offloaded(book: RuleBook) -> None:
    outline = Outline(hardware_from_text("RTX 4090"), DATA, book)
    cell = outline.reach(spec("Qwen/Qwen3-8B"), "full", 2048)
    assert cell.verdict == "tight" and cell.need_bytes is not None and outline.available_bytes is not None
    assert 0.9 * outline.available_bytes < cell.need_bytes <= outline.available_bytes


def test_an_unknown_speed_leaves_the_time_open(book: RuleBook) -> None:
    cell = Outline(hardware_from_text("24 GB"), DATA, book).reach(spec("Qwen/Qwen3-4B"), "lora", 2048)
    assert cell.verdict == "fits" and cell.total_seconds is None
