"""Filling the fields of a plan: which rule speaks, which values stand, and what the traces of it say."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.coverage import STRUCTURAL, Sampler
from rules.engine import RuleBook, RuleError, load_rule_book
from tests.rules.conftest import OTHER_BOOK, Write

SAMPLER = Sampler(OTHER_BOOK)


def test_fields_are_filled_in_the_order_of_their_dependencies(book: RuleBook) -> None:
    order = book.settable
    assert order.index("rank_for_task") < order.index("lora_rank") < order.index("lora_alpha")
    assert order.index("merge") < order.index("artifact")
    assert order.index("compute_dtype") < order.index("weights_dtype")


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
