"""Batch arithmetic: rows of packed and unpacked data, steps of a run, micro-batches worth trying."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.decide.batch import (
    Examples,
    RunLength,
    accumulation_steps,
    examples_per_row,
    micro_batch_sizes,
    num_steps,
    rows_per_epoch,
    rows_per_step,
    typical_row_tokens,
    useful_rows,
)
from trainers.plan import ModelRef, TrainingPlan


def plan(**fields: Any) -> TrainingPlan:
    return TrainingPlan(**{"model": ModelRef(name="m"), "method": "lora", **fields})


LENGTHS = st.floats(1, 10_000)
PLANS = st.builds(
    plan,
    packing=st.booleans(),
    max_seq_len=st.integers(8, 8_192),
    num_gpus=st.sampled_from([1, 2, 3, 8, 16]),
    num_epochs=st.sampled_from([0.5, 1.0, 2.0, 3.0]),
    max_steps=st.none() | st.integers(1, 5_000),
    accelerator=st.sampled_from(["cuda", "cpu"]),
    optimizer_in_backward=st.booleans(),
)
DATA = st.builds(
    Examples,
    count=st.none() | st.integers(1, 3_000_000),
    mean_tokens=st.none() | LENGTHS,
    eval_fraction=st.sampled_from([0.0, 0.05, 0.5]),
)


def test_one_example_in_twenty_is_kept_back_unless_there_is_an_evaluation_set() -> None:
    assert Examples(count=1_000).trained == 950
    assert Examples(count=1_000, eval_fraction=0.0).trained == 1_000
    assert Examples(count=1_000, eval_fraction=0.2).trained == 800
    assert Examples(count=10).trained == 10  # 9.5, rounded up: nothing is lost to a fraction
    assert Examples(count=1).trained == 1
    assert Examples().trained is None


def test_a_row_that_is_not_packed_holds_one_example() -> None:
    assert examples_per_row(plan(max_seq_len=1_000), Examples(mean_tokens=100.0)) == 1.0


def test_a_packed_row_is_filled_to_ninety_five_percent() -> None:
    packed = plan(packing=True, max_seq_len=1_000)
    assert examples_per_row(packed, Examples(mean_tokens=100.0)) == pytest.approx(9.5)
    assert examples_per_row(packed, Examples(mean_tokens=400.0)) == pytest.approx(2.375)


def test_an_example_longer_than_a_packed_row_fills_one() -> None:
    packed = plan(packing=True, max_seq_len=1_000)
    assert examples_per_row(packed, Examples(mean_tokens=980.0)) == 1.0
    assert examples_per_row(packed, Examples(mean_tokens=4_000.0)) == 1.0


def test_packing_without_a_known_length_counts_one_example_a_row() -> None:
    assert examples_per_row(plan(packing=True), Examples(count=5)) == 1.0


def test_rows_of_an_epoch_are_those_that_train_over_those_of_a_row() -> None:
    data = Examples(count=1_000, mean_tokens=100.0)
    assert rows_per_epoch(plan(max_seq_len=1_000), data) == 950
    assert rows_per_epoch(plan(max_seq_len=1_000, packing=True), data) == 100
    assert rows_per_epoch(plan(max_seq_len=1_000, packing=True), Examples(count=1_005, mean_tokens=100.0)) == 101
    assert rows_per_epoch(plan(packing=True), Examples(count=1, mean_tokens=2.0)) == 1
    assert rows_per_epoch(plan(), Examples(count=0)) == 1


def test_long_texts_are_several_rows_and_long_chats_are_cut() -> None:
    texts = Examples(count=1_000, mean_tokens=5_000.0, eval_fraction=0.0, are_split=True)
    assert rows_per_epoch(plan(max_seq_len=1_000), texts) == 5_000
    assert rows_per_epoch(plan(max_seq_len=8_000), texts) == 1_000
    chats = Examples(count=1_000, mean_tokens=5_000.0, eval_fraction=0.0)
    assert rows_per_epoch(plan(max_seq_len=1_000), chats) == 1_000
    assert rows_per_epoch(plan(), Examples(mean_tokens=100.0)) is None


def test_rows_of_a_step_are_the_examples_wished_for_shared_evenly_by_the_devices() -> None:
    assert rows_per_step(plan(), Examples(), 16) == 16
    assert rows_per_step(plan(num_gpus=8), Examples(), 32) == 32
    assert rows_per_step(plan(num_gpus=3), Examples(), 16) == 18
    assert rows_per_step(plan(num_gpus=8), Examples(), 1) == 8


def test_rows_of_a_step_of_packed_data_hold_the_examples_wished_for() -> None:
    packed, data = plan(packing=True, max_seq_len=1_000), Examples(mean_tokens=100.0)
    assert rows_per_step(packed, data, 95) == 10
    assert rows_per_step(packed, data, 16) == 2
    assert rows_per_step(packed, data, 1) == 1


def test_steps_are_rows_times_epochs_over_rows_of_a_step_rounded_up() -> None:
    data = Examples(count=100, eval_fraction=0.0)
    assert num_steps(plan(), data, 10) == 10
    assert num_steps(plan(num_epochs=3.0), data, 16) == 19  # 18.75
    assert num_steps(plan(num_epochs=0.5), data, 10) == 5
    assert num_steps(plan(), Examples(count=1), 64) == 1


def test_a_number_of_steps_that_was_asked_for_outweighs_the_epochs() -> None:
    data = Examples(count=100, eval_fraction=0.0)
    assert num_steps(plan(max_steps=7, num_epochs=3.0), data, 10) == 7
    assert num_steps(plan(max_steps=700), data, 10) == 700


def test_steps_are_not_known_without_the_number_of_examples() -> None:
    assert num_steps(plan(), Examples(mean_tokens=100.0), 16) is None


def test_a_usual_row_is_as_long_as_the_mean_and_at_most_the_sequence_length() -> None:
    assert typical_row_tokens(plan(max_seq_len=2_048), Examples(mean_tokens=300.2)) == 301
    assert typical_row_tokens(plan(max_seq_len=256), Examples(mean_tokens=300.2)) == 256
    assert typical_row_tokens(plan(max_seq_len=2_048), Examples()) == 2_048
    assert typical_row_tokens(plan(max_seq_len=2_048, packing=True), Examples(mean_tokens=300.0)) == 2_048
    assert typical_row_tokens(plan(), Examples(mean_tokens=0.5)) == 1


@pytest.mark.parametrize(
    ("accelerator", "mean", "rows"),
    [
        ("cuda", 1_024.0, 16),  # 16,384 tokens
        ("cuda", 1_025.0, 15),
        ("cuda", 16_384.0, 1),
        ("cuda", 16_385.0, 1),
        ("rocm", 1_024.0, 16),
        ("cpu", 128.0, 16),  # 2,048 tokens
        ("cpu", 129.0, 15),
        ("cpu", 4_096.0, 1),
        ("cuda", 1.0, 16_384),
        ("cpu", 1.0, 2_048),
    ],
)
def test_a_micro_batch_of_more_tokens_than_a_device_uses_at_once_is_not_useful(
    accelerator: str, mean: float, rows: int
) -> None:
    sized = plan(accelerator=accelerator, max_seq_len=32_768)
    assert useful_rows(sized, Examples(mean_tokens=mean)) == rows


def test_micro_batches_divide_the_step_of_a_device_largest_first() -> None:
    data = Examples(mean_tokens=100.0)
    assert list(micro_batch_sizes(plan(), data, 12)) == [12, 6, 4, 3, 2, 1]
    assert list(micro_batch_sizes(plan(), data, 7)) == [7, 1]
    assert list(micro_batch_sizes(plan(), data, 1)) == [1]


def test_micro_batches_stop_at_the_useful_size() -> None:
    data = Examples(mean_tokens=4_000.0)
    assert list(micro_batch_sizes(plan(max_seq_len=8_192), data, 16)) == [4, 2, 1]


@pytest.mark.parametrize(("attention", "rows"), [("sdpa", 1), ("eager", 1), ("flash2", 256)])  # 16,384 tokens
def test_packed_rows_stand_alone_but_for_a_kernel_that_needs_no_mask(attention: str, rows: int) -> None:
    assert useful_rows(plan(packing=True, max_seq_len=64, attention=attention), Examples(mean_tokens=10)) == rows


def test_a_step_in_backward_takes_a_micro_batch_of_any_size_in_one_forward() -> None:
    in_backward = plan(optimizer_in_backward=True)
    assert list(micro_batch_sizes(in_backward, Examples(mean_tokens=100.0), 5)) == [5, 4, 3, 2, 1]
    assert accumulation_steps(in_backward, 16, 2) == 1
    assert accumulation_steps(plan(), 16, 2) == 8
    assert accumulation_steps(plan(), 16, 16) == 1
    assert accumulation_steps(plan(), 2, 5) == 1
    assert isinstance(accumulation_steps(plan(), 7, 2), int)


def test_a_run_length_gives_the_facts_that_are_known() -> None:
    assert RunLength().facts() == {}
    assert RunLength(rows_per_step=16).facts() == {"plan.global_batch_size": 16}
    assert RunLength(rows_per_step=16, num_steps=100).facts() == {"plan.global_batch_size": 16, "plan.num_steps": 100}


@given(plan=PLANS, mean=LENGTHS)
def test_a_packed_row_never_holds_more_tokens_than_it_has(plan: TrainingPlan, mean: float) -> None:
    held = examples_per_row(plan, Examples(mean_tokens=mean))
    assert held >= 1
    assert held == 1 or held * mean <= plan.max_seq_len


@given(plan=PLANS, data=DATA, wished=st.integers(1, 512))
def test_a_step_gives_every_device_the_same_rows_and_none_to_spare(
    plan: TrainingPlan, data: Examples, wished: int
) -> None:
    rows = rows_per_step(plan, data, wished)
    assert rows % plan.num_gpus == 0
    assert rows >= plan.num_gpus
    needed = max(1, round(wished / examples_per_row(plan, data)))
    assert needed <= rows < needed + plan.num_gpus


@given(plan=PLANS, data=DATA, rows=st.integers(1, 512))
def test_the_steps_of_a_run_are_enough_for_its_epochs_and_not_one_more(
    plan: TrainingPlan, data: Examples, rows: int
) -> None:
    steps = num_steps(plan, data, rows)
    in_epoch = rows_per_epoch(plan, data)
    if in_epoch is None:
        assert steps is None
    elif plan.max_steps is not None:
        assert steps == plan.max_steps
    else:
        assert steps is not None
        assert (steps - 1) * rows < in_epoch * plan.num_epochs <= steps * rows


@given(plan=PLANS, data=DATA, rows=st.integers(1, 300))
def test_every_micro_batch_worth_trying_makes_up_the_step(plan: TrainingPlan, data: Examples, rows: int) -> None:
    sizes = list(micro_batch_sizes(plan, data, rows))
    assert sizes == sorted(set(sizes), reverse=True)
    assert sizes[-1] == 1
    assert sizes[0] <= max(1, min(rows, useful_rows(plan, data)))
    for size in sizes:
        steps = accumulation_steps(plan, rows, size)
        assert steps == 1 if plan.optimizer_in_backward else steps * size == rows


@given(count=st.integers(0, 10**7))
def test_what_is_kept_back_is_at_most_a_twentieth(count: int) -> None:
    trained = Examples(count=count).trained
    assert trained is not None
    assert math.floor(count * 0.05) - 1 <= count - trained <= count * 0.05 + 1e-6
