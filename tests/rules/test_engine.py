"""Three-valued judgement, traces, filling: on small books written for the purpose and on the bundled one."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.coverage import STRUCTURAL, Sampler
from rules.engine import RuleBook, RuleError, load_rule_book

Write = Callable[..., None]
OTHER_BOOK = load_rule_book()
"""A second book, so that nothing remembered by the first can hide a difference."""
SAMPLER = Sampler(OTHER_BOOK)

RULE = """id = "{id}"
title = "{title}"
when = '{when}'
effect = "{effect}"
message = "{message}"
strength = "derived"
sources = ["arithmetic"]
{more}
[[cases]]
name = "fires"
given = {{ "plan.method" = "full", "data.examples" = 77 }}
expect = "fires"
[[cases]]
name = "silent"
given = {{ "plan.method" = "prefix", "data.examples" = 1 }}
expect = "silent"
[[cases]]
name = "unknown"
given = {{}}
expect = "unknown"
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def add(rule_id: str, when: str, *, effect: str = "warn", message: str = "It holds.", more: str = "") -> None:
        title = f"Test {rule_id.lower()}"
        text = RULE.format(id=rule_id, title=title, when=when, effect=effect, message=message, more=more)
        (tmp_path / f"{rule_id}-test-{rule_id.lower()}.toml").write_text(text)

    return add


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


# filling


def test_a_default_speaks_only_when_no_other_rule_does(book: RuleBook) -> None:
    values, traces = book.fill({"plan.method": "lora", "data.kind": "classification"})
    assert values["rank_for_task"] == 8
    by_id = {trace.rule_id: trace for trace in traces}
    assert by_id["HYP-02"].sets == {"rank_for_task": 8}
    assert by_id["HYP-01"].sets == {}
    assert "HYP-02 decides" in by_id["HYP-01"].message


def test_fixed_fields_are_left_alone_and_the_trace_says_so(book: RuleBook) -> None:
    values, traces = book.fill({"plan.method": "lora", "plan.lora_rank": 7}, fixed=("method", "lora_rank"))
    assert "lora_rank" not in values
    assert values["lora_alpha"] == 32
    rank = next(trace for trace in traces if trace.rule_id == "HYP-13")
    assert rank.sets == {}
    assert "fixed at 7" in rank.message


def test_doubles_carry_no_dust_of_binary_arithmetic(write: Write, tmp_path: Path) -> None:
    more = 'replaces = "HYP-62"\n[set]\nweight_decay = "0.1 + 0.2"'
    write("TST-01", "data.examples > 10", effect="set", more=more)
    values, _ = load_rule_book(tmp_path).fill({"plan.method": "full", "data.examples": 11}, fixed=("method",))
    assert values["weight_decay"] == 0.3


def test_a_value_that_is_not_fixed_is_decided_anew(book: RuleBook) -> None:
    values, _ = book.fill({"plan.method": "lora", "plan.lora_rank": 7}, fixed=("method",))
    assert values["lora_rank"] == 16


def test_fields_are_filled_in_the_order_of_their_dependencies(book: RuleBook) -> None:
    order = book.settable
    assert order.index("rank_for_task") < order.index("lora_rank") < order.index("lora_alpha")
    assert order.index("merge") < order.index("artifact")
    assert order.index("compute_dtype") < order.index("weights_dtype")


def test_two_rules_on_one_field_are_an_error_that_names_both(write: Write, tmp_path: Path) -> None:
    write("TST-01", "data.examples > 10", effect="set", more="[set]\nsave_total_limit = '3'")
    with pytest.raises(RuleError) as caught:
        load_rule_book(tmp_path).fill({"plan.method": "lora", "data.examples": 11})
    text = str(caught.value)
    assert "TST-01" in text
    assert "HYP-82" in text
    assert "overrides" in text


def test_overrides_settle_it_also_through_a_third_rule(write: Write, tmp_path: Path) -> None:
    write("TST-01", "data.examples > 10", effect="set", more='overrides = ["HYP-82"]\n[set]\nsave_total_limit = "3"')
    write("TST-02", "data.examples > 10", effect="set", more='overrides = ["TST-01"]\n[set]\nsave_total_limit = "4"')
    values, _ = load_rule_book(tmp_path).fill({"plan.method": "lora", "data.examples": 11})
    assert values["save_total_limit"] == 4
    assert values["seed"] == 42, "the other fields of the overridden rule stand"


def test_an_organisation_replaces_a_rule(write: Write, tmp_path: Path) -> None:
    write(
        "TST-01",
        "data.examples > 10",
        effect="set",
        more='replaces = "HYP-82"\n[set]\nsave_total_limit = "5"\nseed = "1"\neval_micro_batch_size = "2"',
    )
    book = load_rule_book(tmp_path)
    values, traces = book.fill({"plan.method": "lora", "data.examples": 11})
    assert values["save_total_limit"] == 5
    assert "HYP-82" not in {trace.rule_id for trace in traces}


# any facts at all


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**9))
def test_any_facts_give_a_whole_plan_twice_the_same(book: RuleBook, seed: int) -> None:
    facts = SAMPLER.sample(random.Random(seed))
    values, traces = book.fill(facts, fixed=STRUCTURAL)
    again, _ = OTHER_BOOK.fill(facts, fixed=STRUCTURAL)
    assert values == again
    needed = {
        "learning_rate",
        "global_batch_size",
        "num_epochs",
        "max_seq_len",
        "compute_dtype",
        "optimizer",
        "artifact",
    }
    if facts["plan.method"] in ("lora", "qlora"):
        needed |= {"lora_rank", "lora_alpha", "lora_dropout", "lora_targets"}
    assert needed <= set(values)
    judged = book.judge(facts | {f"plan.{name}": value for name, value in values.items()})
    for trace in (*judged, *traces):
        assert trace.message
        assert "{" not in trace.message
        assert (trace.outcome == "unknown") == bool(trace.missing or "Not decided" in trace.message)


# what a caller reads off a trace, and what filling says when it cannot


def test_a_value_given_stands_where_no_rule_speaks(write: Write, tmp_path: Path) -> None:
    write("TST-01", "data.examples > 10", effect="set", more='replaces = "HYP-82"\n[set]\nsave_total_limit = "5"')
    book = load_rule_book(tmp_path)
    given = {"plan.method": "lora", "data.examples": 5, "plan.save_total_limit": 9}
    for traced in (True, False, False):  # the third time it is remembered
        values, _ = book.fill(given, fixed=("method",), traced=traced)
        assert "save_total_limit" not in values, "it was given, and is not the rules' to claim"
    assert book.fill(given | {"data.examples": 11}, fixed=("method",))[0]["save_total_limit"] == 5


@pytest.mark.parametrize("traced", [True, False])
def test_a_later_field_reads_the_value_that_was_given(write: Write, tmp_path: Path, traced: bool) -> None:
    write("TST-01", "data.examples > 10", effect="set", more='replaces = "HYP-82"\n[set]\nsave_total_limit = "5"')
    when = "data.examples > 0 && plan.save_total_limit == {}"
    write("TST-02", when.format(9), effect="set", more='[set]\nseed = "7"')
    write("TST-03", when.format(5), effect="set", more='[set]\nseed = "8"')
    book = load_rule_book(tmp_path)
    given = {"plan.method": "lora", "data.examples": 5, "plan.save_total_limit": 9}
    for _ in range(2):  # the second time it is remembered
        assert book.fill(given, fixed=("method",), traced=traced)[0]["seed"] == 7
        assert book.fill(given | {"data.examples": 11}, fixed=("method",), traced=traced)[0]["seed"] == 8


def test_what_is_remembered_is_what_would_be_judged(book: RuleBook) -> None:
    facts = {"plan.method": "lora", "plan.lora_rank": 7, "data.examples": 500}
    for fixed in (("method",), ("method", "lora_rank"), ("method",)):
        assert book.fill(facts, fixed=fixed, traced=False) == (book.fill(facts, fixed=fixed)[0], ())


def test_a_list_becomes_a_tuple_as_the_plan_holds_it(book: RuleBook) -> None:
    values, _ = book.fill({"plan.method": "lora"}, fixed=("method",))
    assert isinstance(values["lora_targets"], tuple)
    assert all(isinstance(name, str) for name in values["lora_targets"])


def test_a_value_that_cannot_be_computed_is_left_out_and_the_note_says_why(write: Write, tmp_path: Path) -> None:
    more = 'replaces = "HYP-82"\n[set]\nsave_total_limit = "{}"'
    write("TST-01", "data.examples > 10", effect="set", more=more.format("data.examples / task.count"))
    book = load_rule_book(tmp_path)
    facts = {"plan.method": "lora", "data.examples": 11}
    for count, reason in ((0, "zero"), (None, "computed: a fact is missing.)")):
        values, traces = book.fill(facts | {"task.count": count}, fixed=("method",))
        (trace,) = (trace for trace in traces if trace.rule_id == "TST-01")
        assert "save_total_limit" not in values
        assert (trace.outcome, trace.sets) == ("fires", {})
        assert trace.message.startswith("It holds. (save_total_limit could not be computed: ")
        assert reason in trace.message


def test_a_trace_shows_what_its_condition_read_and_once_it_fired_its_settings_too(
    write: Write, tmp_path: Path
) -> None:
    more = 'replaces = "HYP-82"\n[set]\nsave_total_limit = "task.count + 1"'
    write("TST-01", "data.examples > 10", effect="set", more=more)
    book = load_rule_book(tmp_path)
    shown = {}
    for examples in (11, 5):
        _, traces = book.fill({"plan.method": "lora", "data.examples": examples, "task.count": 2}, fixed=("method",))
        shown[examples] = next(trace for trace in traces if trace.rule_id == "TST-01")
    assert (shown[11].facts, shown[11].sets) == ({"data.examples": 11, "task.count": 2}, {"save_total_limit": 3})
    assert (shown[5].facts, shown[5].sets) == ({"data.examples": 5}, {})
    assert (shown[5].outcome, shown[5].message, shown[5].because) == ("silent", "Test tst-01", "")


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


def test_each_unknown_fact_is_a_problem_of_its_own(book: RuleBook) -> None:
    with pytest.raises(RuleError) as caught:
        book.fill({"data.exampels": 5, "zzz": 1, "data.examples": 5})
    near, far = caught.value.problems
    assert (near.what, near.fix) == ("no fact is called 'data.exampels'", "Did you mean 'data.examples'?")
    assert (far.what, far.fix) == ("no fact is called 'zzz'", "")


def test_a_conflict_says_both_conditions_values_files_and_the_way_out(write: Write, tmp_path: Path) -> None:
    for rule_id, value in (("TST-01", 3), ("TST-02", 4)):
        more = f'overrides = ["HYP-82"]\n[set]\nsave_total_limit = "{value}"'
        write(rule_id, f"data.examples > {value}", effect="set", more=more)
    with pytest.raises(RuleError) as caught:
        load_rule_book(tmp_path).fill({"plan.method": "lora", "data.examples": 11})
    (problem,) = caught.value.problems
    assert problem.what == "two rules set save_total_limit at the same time: TST-01 (3) and TST-02 (4)"
    assert problem.why == "TST-01 when data.examples > 3; TST-02 when data.examples > 4"
    assert problem.fix == 'Narrow one condition, or let one win: overrides = ["TST-02"] in TST-01.'
    assert [name.strip().rpartition("/")[2] for name in problem.where.split(",")] == [
        "TST-01-test-tst-01.toml", "TST-02-test-tst-02.toml",
    ]  # fmt: skip


def test_a_fixed_field_keeps_its_value_for_what_reads_it_and_the_note_quotes_it(book: RuleBook) -> None:
    values, traces = book.fill({"plan.method": "lora", "plan.save_total_limit": 9}, fixed=("save_total_limit",))
    trace = next(trace for trace in traces if trace.rule_id == "HYP-82")
    assert "save_total_limit" not in values
    assert "save_total_limit" not in trace.sets
    assert trace.sets["seed"] == 42
    assert "(save_total_limit is fixed at 9 and was left alone.)" in trace.message


def test_the_book_knows_its_sources_digest_and_setters(book: RuleBook) -> None:
    assert {source for rule in book.rules for source in rule.sources} <= set(book.sources)
    assert book.digest == OTHER_BOOK.digest
    assert "HYP-82" in {rule.id for rule in book.setters("seed")}
    assert book.beats(book.rule("HYP-82")) == set()


@pytest.mark.parametrize("traced", [True, False])
def test_a_condition_that_cannot_be_computed_fills_nothing_and_its_trace_says_why(
    write: Write, tmp_path: Path, traced: bool
) -> None:
    more = 'replaces = "HYP-82"\n[set]\nsave_total_limit = "5"'
    write("TST-01", "data.examples / task.count > 2", effect="set", more=more)
    values, traces = load_rule_book(tmp_path).fill(
        {"plan.method": "lora", "data.examples": 11, "task.count": 0}, fixed=("method",), traced=traced
    )
    assert "save_total_limit" not in values
    shown = [trace for trace in traces if trace.rule_id == "TST-01"]
    assert [trace.outcome for trace in shown] == ["unknown"] * traced
    assert all(trace.message.startswith("Not decided: ") and "zero" in trace.message for trace in shown)


def test_a_silent_rule_misses_nothing_although_a_fact_was_not_known(write: Write, tmp_path: Path) -> None:
    write("TST-01", "data.examples > 10 && task.count == 1")
    (trace,) = (t for t in load_rule_book(tmp_path).judge({"data.examples": 5}) if t.rule_id == "TST-01")
    assert (trace.outcome, trace.missing) == ("silent", ())


def test_two_notes_on_one_rule_stand_side_by_side(write: Write, tmp_path: Path) -> None:
    more = 'overrides = ["HYP-82"]\n[set]\nsave_total_limit = "5"\nseed = "7"'
    write("TST-01", "data.examples > 10", effect="set", more=more)
    facts = {"plan.method": "lora", "data.examples": 11, "plan.save_total_limit": 3, "plan.seed": 4}
    _, traces = load_rule_book(tmp_path).fill(facts, fixed=("method", "save_total_limit", "seed"))
    (trace,) = (trace for trace in traces if trace.rule_id == "TST-01")
    notes = {
        f"({field} is fixed at {kept} and was left alone.)" for field, kept in (("save_total_limit", 3), ("seed", 4))
    }
    first, second = sorted(notes, key=trace.message.index)
    assert trace.message == f"It holds. {first} {second}"


def test_a_trace_shows_the_value_that_an_earlier_field_was_given(write: Write, tmp_path: Path) -> None:
    write("TST-01", "data.examples > 10", effect="set", more='replaces = "HYP-82"\n[set]\nsave_total_limit = "5"')
    write("TST-02", "plan.save_total_limit == 5", effect="set", more='[set]\nseed = "7"')
    _, traces = load_rule_book(tmp_path).fill({"plan.method": "lora", "data.examples": 11}, fixed=("method",))
    (trace,) = (trace for trace in traces if trace.rule_id == "TST-02")
    assert trace.facts == {"plan.save_total_limit": 5}


def test_a_book_is_loaded_with_its_sources_from_the_cache_and_in_the_language_asked_for(tmp_path: Path) -> None:
    english, chinese = (load_rule_book(cache=tmp_path, language=language) for language in ("en", "zh_CN"))
    assert english.sources.keys() == OTHER_BOOK.sources.keys()
    assert english.digest not in ("", chinese.digest)
    assert english.rule("HYP-82").title != chinese.rule("HYP-82").title
    assert any(tmp_path.iterdir())
