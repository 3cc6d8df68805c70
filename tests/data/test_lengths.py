"""Token lengths: counted, projected from a sample, or estimated."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.data import profile_dataset
from advisor.data.lengths import LengthStatistics, Measured, estimate_tokens, percentiles
from advisor.model.spec import ModelSpec
from tests.data.conftest import chat, chats


def test_small_sets_are_counted_whole(write: Callable[..., str], model: ModelSpec) -> None:
    profile = profile_dataset(write(chats(50)), model)
    assert profile.lengths.exact_tokens
    assert profile.lengths.sampled_rows == profile.num_examples == 50
    assert profile.lengths.mean == pytest.approx(profile.total_tokens / 50)
    assert 0 < profile.completion_tokens < profile.total_tokens
    assert not profile.notes


def test_large_sets_are_sampled_and_say_so(write: Callable[..., str], model: ModelSpec) -> None:
    rows = [chat("the fox " * (1 + i % 40), "lazy dog " * (1 + i % 23)) for i in range(1500)]
    rows[777] = chat("short", "the answer " * 900)
    path = write(rows)
    whole = profile_dataset(path, model, sample_rows=5000)
    part = profile_dataset(path, model, sample_rows=200)
    assert part.lengths.sampled_rows == 200
    assert any("200 random rows" in note for note in part.notes)
    assert part.total_tokens == pytest.approx(whole.total_tokens, rel=0.05)
    assert part.completion_tokens == pytest.approx(whole.completion_tokens, rel=0.05)
    assert part.lengths.p95 == pytest.approx(whole.lengths.p95, rel=0.08)
    # The longest rows are always tokenised, so the maximum is a count even when the sample missed it.
    assert part.lengths.longest == whole.lengths.longest


def test_without_a_tokenizer_lengths_are_estimated_and_say_so(write: Callable[..., str]) -> None:
    profile = profile_dataset(write(chats(50)))
    assert not profile.lengths.exact_tokens
    assert profile.lengths.sampled_rows == 0
    assert any("estimated" in note for note in profile.notes)


def test_estimates_are_near_a_real_vocabulary() -> None:
    # Counted with GPT-4o's o200k vocabulary: 10, 11 and 14 tokens.
    assert estimate_tokens("The quick brown fox jumps over the lazy dog.") == pytest.approx(10, rel=0.3)
    assert estimate_tokens("Быстрая лиса прыгает через ленивую собаку") == pytest.approx(14, rel=0.5)
    assert estimate_tokens("") == 0


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=200))
def test_percentiles_are_those_of_the_sorted_list(values: list[int]) -> None:
    histogram: dict[int, int] = {}
    for value in values:
        histogram[value] = histogram.get(value, 0) + 1
    p50, p99, most = percentiles(histogram, (0.5, 0.99, 1.0))
    assert sum(value <= p50 for value in values) >= len(values) / 2
    assert p50 <= p99 <= most == max(values)


@given(st.lists(st.integers(1, 5000), min_size=2, max_size=100), st.integers(1, 6000))
def test_what_is_over_a_limit_adds_up(values: list[int], limit: int) -> None:
    statistics = LengthStatistics()
    for value in values:
        statistics.add(value, value / 2)
        statistics.count((value, value / 2), Measured(value, value // 2, value // 2, True))
    examples, tokens = statistics.over(limit)
    assert examples == sum(value > limit for value in values)
    assert tokens == sum(max(0, value - limit) for value in values)
    assert statistics.total_tokens() == sum(values)
