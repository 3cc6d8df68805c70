"""How often the intervals hold the truth, of which they say 95 %: counted out where answers are right or wrong."""

import random
from math import comb

import pytest

from trainers.scores.intervals import STATED, difference, gain, mean_interval, share

WITHIN = 0.05
TRIES = 150


@pytest.mark.parametrize("rows", [20, 50])
def test_a_share_lies_in_its_interval_as_often_as_it_says_however_near_to_all_or_none_it_is(rows: int) -> None:
    found = [share([1.0] * right + [0.0] * (rows - right)) for right in range(rows + 1)]
    for truth in (place / 100 for place in range(101)):
        held = sum(
            comb(rows, right) * truth**right * (1 - truth) ** (rows - right)
            for right, one in enumerate(found)
            if one.low <= truth <= one.high
        )
        assert held >= STATED - WITHIN, truth


def test_a_gain_lies_in_its_interval_as_often_as_it_says_whatever_was_lost_beside_it() -> None:
    rows = 20
    found = [
        (
            lost,
            won,
            gain([1.0] * lost + [0.0] * (rows - lost), [0.0] * lost + [1.0] * won + [0.0] * (rows - lost - won)),
        )
        for lost in range(rows + 1)
        for won in range(rows + 1 - lost)
    ]
    for lose, win in ((x / 10, y / 10) for x in range(11) for y in range(11 - x)):
        same = max(0.0, 1 - lose - win)
        held = sum(
            comb(rows, lost) * comb(rows - lost, won) * lose**lost * win**won * same ** (rows - lost - won)
            for lost, won, one in found
            if one.low <= win - lose <= one.high
        )
        assert held >= STATED - WITHIN, (lose, win)


def gauss(source: random.Random) -> float:
    return source.gauss(-0.3, 0.5)


def skewed(source: random.Random) -> float:
    return source.expovariate(2) - 0.8


@pytest.mark.parametrize("draw", [gauss, skewed])
def test_a_change_of_the_loss_lies_in_its_interval_as_often_as_it_says_with_twenty_rows(draw) -> None:
    source = random.Random(1)
    held = 0
    for seed in range(TRIES):
        before = [source.gauss(2.0, 1.0) for _ in range(20)]
        found = difference(before, [value + draw(source) for value in before], seed=seed)
        held += found.low <= -0.3 <= found.high
    assert abs(held / TRIES - STATED) <= WITHIN


def test_all_right_is_no_certainty_and_models_that_answer_alike_are_not_told_apart() -> None:
    everything = share([1.0] * 20)
    assert everything.value == everything.high == 1.0
    assert 0.7 < everything.low < 0.9
    nothing = gain([0.0, 1.0] * 10, [0.0, 1.0] * 10)
    assert nothing.value == 0.0
    assert -0.2 < nothing.low < 0.0 < nothing.high < 0.2
    assert gain([0.0] * 8, [1.0] * 8).is_sure


def test_scores_between_right_and_wrong_stay_within_their_bounds() -> None:
    found = share([0.9, 1.0, 1.0, 0.95, 1.0, 1.0, 0.2, 1.0])
    assert 0.0 <= found.low < found.value < found.high <= 1.0
    assert share([2.0, 5.0, 9.0, 4.0] * 3).high > 5.0  # a measure of one's own that keeps to no bounds


def test_the_same_losses_row_by_row_are_no_change_at_all() -> None:
    found = difference([2.0, 3.0] * 10, [2.0, 3.0] * 10)
    assert (found.low, found.value, found.high) == (0.0, 0.0, 0.0)
    assert not found.is_sure


def test_rows_weigh_what_they_are_said_to_weigh() -> None:
    found = mean_interval([1.0, 3.0], [3.0, 1.0])
    assert found.value == 1.5
    assert found.low is None
    assert not found.is_sure
    heavy = mean_interval([1.0] * 10 + [3.0] * 10, [3.0] * 10 + [1.0] * 10)
    assert heavy.low < heavy.value == 1.5 < heavy.high


def test_the_same_rows_give_the_same_interval_and_no_rows_give_none() -> None:
    values = [0.0, 1.0] * 10
    assert mean_interval(values) == mean_interval(values)
    for of in (mean_interval, share):
        with pytest.raises(ValueError, match="no rows"):
            of([])
