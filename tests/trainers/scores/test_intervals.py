import random

import pytest

from trainers.scores.intervals import difference, mean_interval


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    source = random.Random(1)
    held, tries = 0, 120
    for seed in range(tries):
        before = [source.gauss(2.0, 1.0) for _ in range(60)]
        after = [value - 0.3 + source.gauss(0, 0.5) for value in before]
        found = difference(before, after, seed=seed)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= -0.3 <= found.high
    assert 0.90 <= held / tries <= 1.0


def test_rows_weigh_what_they_are_said_to_weigh() -> None:
    found = mean_interval([1.0, 3.0], [3.0, 1.0])
    assert found.value == 1.5
    assert found.low is None
    assert not found.is_sure


def test_the_same_rows_give_the_same_interval_and_no_rows_give_none() -> None:
    values = [0.0, 1.0] * 10
    assert mean_interval(values) == mean_interval(values)
    with pytest.raises(ValueError, match="no rows"):
        mean_interval([])
