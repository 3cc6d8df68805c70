"""Samples that are uniform, the longest rows, and memory that stays bounded when rows are huge."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from advisor.data import profile_dataset
from advisor.data.sampling import FEWEST_KEPT, Longest, Reservoir
from advisor.model.spec import ModelSpec
from trainers.examples.example import Example


def text(characters: int) -> Example:
    return Example(text="x" * characters)


def test_every_row_has_the_same_chance() -> None:
    hits = [0] * 40
    for seed in range(600):
        sample = Reservoir(10, 10_000, seed)
        for line in range(40):
            sample.add(line, text(5))
        for kept in sample.kept:
            hits[kept.line] += 1
    # 150 expected for each; five standard deviations are about 53.
    assert all(97 < count < 203 for count in hits)


def test_long_rows_make_the_sample_smaller_not_other() -> None:
    hits = [0] * 64
    for seed in range(400):
        sample = Reservoir(64, 2_000, seed)
        for line in range(64):
            sample.add(line, text(400 if line % 2 else 1))
        assert sum(kept.example.size for kept in sample.kept) <= max(2_000, FEWEST_KEPT * 400)
        for kept in sample.kept:
            hits[kept.line] += 1
    long, short = sum(hits[1::2]), sum(hits[0::2])
    assert 0.85 < long / short < 1.15


@given(st.lists(st.integers(1, 500), min_size=1, max_size=200))
def test_the_longest_are_kept(sizes: list[int]) -> None:
    longest = Longest(10**9)
    for line, size in enumerate(sizes):
        longest.add(size, line, text(size))
    kept = [one.example.size for one in longest.rows()]
    assert kept == sorted(sizes, reverse=True)[: len(kept)]
    assert len(kept) == min(64, len(sizes))


def test_the_very_longest_is_kept_whatever_its_size() -> None:
    longest = Longest(100)
    for line, size in enumerate((50, 60, 5000, 40)):
        longest.add(size, line, text(size))
    assert longest.rows()[0].example.size == 5000


def test_huge_documents_are_profiled_in_bounded_time_and_memory(tmp_path: Path, model: ModelSpec) -> None:
    import tracemalloc

    path = tmp_path / "books.jsonl"
    with path.open("w") as file:
        for number in range(60):
            file.write(json.dumps({"text": f"book {number} " + "the quick brown fox " * 15_000}) + "\n")
    few = tmp_path / "few.jsonl"
    few.write_text('{"text": "a fox"}\n' * 5, encoding="utf-8")
    profile_dataset(str(few), model)  # what is imported and read once for all is not what is measured
    tracemalloc.start()
    profile = profile_dataset(str(path), model, sample_rows=1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert profile.num_examples == 60
    assert profile.lengths.sampled_rows < 60
    assert profile.lengths.longest > 15_000
    # The format is decided on rows held for a moment; beyond these, about the bound on the sample.
    assert peak < 60 * 300_000 * 3
