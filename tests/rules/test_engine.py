"""Three-valued judgement and its traces: on small books written for the purpose and on the bundled one."""

from __future__ import annotations

from pathlib import Path

import pytest

from rules.engine import RuleBook, RuleError, load_rule_book
from tests.rules.conftest import OTHER_BOOK, Write


def outcome(book: RuleBook, rule_id: str, facts: dict[str, object]) -> str:
    return next(trace.outcome for trace in book.judge(facts) if trace.rule_id == rule_id)


def test_missing_facts_give_unknown_unless_the_rest_decides(write: Write, tmp_path: Path) -> None:
    write("TST-01", "data.examples > 10 && task.count == 1")
    book = load_rule_book(tmp_path)
    assert outcome(book, "TST-01", {"data.examples": 11, "task.count": 1}) == "fires"
    assert outcome(book, "TST-01", {"data.examples": 5}) == "silent"
    assert outcome(book, "TST-01", {"data.examples": 11}) == "unknown"
    assert outcome(book, "TST-01", {"data.examples": 11, "task.count": None}) == "unknown"


def test_an_unknown_trace_names_what_is_missing_and_only_that(write: Write, tmp_path: Path) -> None:
    write("TST-01", "data.examples > 10 && task.count == 1 && !known.data.kind")
    trace = next(t for t in load_rule_book(tmp_path).judge({"data.examples": 11}) if t.rule_id == "TST-01")
    assert trace.missing == ("task.count",)
    assert trace.facts == {"data.examples": 11}
    assert "task.count" in trace.message


def test_arithmetic_errors_are_undecided_and_said(write: Write, tmp_path: Path) -> None:
    write("TST-01", "data.examples / task.count > 3")
    trace = next(
        t for t in load_rule_book(tmp_path).judge({"data.examples": 9, "task.count": 0}) if t.rule_id == "TST-01"
    )
    assert trace.outcome == "unknown"
    assert "zero" in trace.message


def test_messages_carry_the_numbers_with_their_units(write: Write, tmp_path: Path) -> None:
    message = (
        "{plan.need_bytes}, {data.completion_tokens}, {half:percent}, {data.completion_tokens:short}, {gpu.name}."
    )
    write("TST-01", "data.examples > 10", message=message, more="[show]\nhalf = '0.5'")
    facts = {"data.examples": 11, "plan.need_bytes": 23_500_000_000, "data.completion_tokens": 2_000_000}
    trace = next(t for t in load_rule_book(tmp_path).judge(facts) if t.rule_id == "TST-01")
    assert trace.message == "21.9 GiB, 2,000,000, 50 %, 2M, unknown."


def test_a_rule_that_fired_says_what_the_evidence_says(book: RuleBook) -> None:
    traces = {trace.rule_id: trace for trace in book.judge({"plan.method": "prefix", "plan.num_virtual_tokens": 20})}
    assert "41.6 %" in traces["QUA-21"].because
    assert traces["QUA-23"].because == ""


def test_weights_are_signed(book: RuleBook) -> None:
    traces = book.judge({"plan.method": "full", "data.examples": 500, "task.switch_per_request": True})
    by_id = {trace.rule_id: trace for trace in traces}
    assert by_id["QUA-10"].weight == -2
    assert by_id["DEP-02"].weight == -3
    assert all(trace.weight == 0 for trace in traces if trace.effect in ("veto", "warn", "gate"))


def test_a_fact_outside_the_vocabulary_is_refused_with_the_nearest_name(book: RuleBook) -> None:
    with pytest.raises(RuleError, match=r"data\.examples"):
        book.judge({"data.exampels": 5})


def test_effects_are_chosen(book: RuleBook) -> None:
    assert {trace.effect for trace in book.judge({}, effects=("gate",))} == {"gate"}
    assert "set" not in {trace.effect for trace in book.judge({})}


def test_a_trace_repeats_what_the_rule_says_about_itself(write: Write, tmp_path: Path) -> None:
    write("TST-01", "data.examples > 10", more='fix = "Take {data.examples} fewer."\nbecause = "It was measured."')
    (trace,) = (t for t in load_rule_book(tmp_path).judge({"data.examples": 11}) if t.rule_id == "TST-01")
    assert (trace.title, trace.group, trace.effect, trace.strength) == ("Test tst-01", "policy", "warn", "derived")
    assert (trace.message, trace.fix, trace.because) == ("It holds.", "Take 11 fewer.", "It was measured.")
    assert (trace.sources, trace.weight, trace.missing, trace.sets) == (("arithmetic",), 0, (), {})


def test_an_undecided_rule_says_what_is_missing_in_words(write: Write, tmp_path: Path) -> None:
    write("TST-01", "data.examples > 10 && task.count == 1")
    (trace,) = (t for t in load_rule_book(tmp_path).judge({}) if t.rule_id == "TST-01")
    assert trace.message == "Not decided: not known: data.examples, task.count"
    assert (trace.fix, trace.because, trace.facts) == ("", "", {})


def test_only_fired_leaves_out_the_silent_and_the_undecided(book: RuleBook) -> None:
    facts = {"plan.method": "prefix", "plan.num_virtual_tokens": 20}
    everything = book.judge(facts)
    assert {trace.outcome for trace in everything} == {"fires", "silent", "unknown"}
    assert book.judge(facts, only_fired=True) == tuple(t for t in everything if t.outcome == "fires")
    assert [trace.rule_id for trace in everything] == sorted(trace.rule_id for trace in everything)


def test_a_rule_is_found_by_its_id_in_any_case(book: RuleBook) -> None:
    assert book.rule("hyp-82") is book.rule("HYP-82")
    with pytest.raises(RuleError) as caught:
        book.rule("hyp-8x2")
    (problem,) = caught.value.problems
    assert problem.what == "no rule is called 'hyp-8x2'"
    assert problem.fix == "Did you mean HYP-82?"
    with pytest.raises(RuleError) as caught:
        book.rule("what about a rule")
    assert caught.value.problems[0].fix == "`sft-advisor rules list` shows the ids."


def test_the_book_knows_its_sources_digest_and_setters(book: RuleBook) -> None:
    assert {source for rule in book.rules for source in rule.sources} <= set(book.sources)
    assert book.digest == OTHER_BOOK.digest
    assert "HYP-82" in {rule.id for rule in book.setters("seed")}
    assert book.beats(book.rule("HYP-82")) == set()


def test_a_silent_rule_misses_nothing_although_a_fact_was_not_known(write: Write, tmp_path: Path) -> None:
    write("TST-01", "data.examples > 10 && task.count == 1")
    (trace,) = (t for t in load_rule_book(tmp_path).judge({"data.examples": 5}) if t.rule_id == "TST-01")
    assert (trace.outcome, trace.missing) == ("silent", ())


def test_a_book_is_loaded_with_its_sources_from_the_cache_and_in_the_language_asked_for(tmp_path: Path) -> None:
    english, chinese = (load_rule_book(cache=tmp_path, language=language) for language in ("en", "zh_CN"))
    assert english.sources.keys() == OTHER_BOOK.sources.keys()
    assert english.digest not in ("", chinese.digest)
    assert english.rule("HYP-82").title != chinese.rule("HYP-82").title
    assert any(tmp_path.iterdir())
