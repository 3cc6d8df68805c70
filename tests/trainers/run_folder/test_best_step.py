"""Which step is delivered, decided from the log of evaluations."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainers.run_folder.best_step import Delivered, Evaluation, best_of, choose, evaluations, in_words, without_gain

CURVES = st.lists(st.one_of(st.floats(0, 20), st.just(float("inf"))), min_size=1, max_size=12)


def curve(*losses: float) -> list[Evaluation]:
    """Evaluations at steps 10, 20, ..."""
    return [Evaluation(10 * place, loss) for place, loss in enumerate(losses, start=1)]


def chosen(*losses: float, total: int | None = None, damaged: tuple[int, ...] = (), best: bool = True) -> Delivered:
    found = curve(*losses)
    last = found[-1].step if found else 7
    return choose(found, last, total or last, wants_best=best, is_whole=lambda step: step not in damaged)


def test_a_run_that_got_worse_delivers_its_best_step_and_says_both_losses() -> None:
    found = chosen(3.0, 2.0, 2.5)
    assert (found.step, found.value, found.last_step, found.last_value) == (20, 2.0, 30, 2.5)
    assert in_words(found) == (
        "step 20 is delivered: its evaluation loss is the lowest (2.0000, and at the last one (30) it was 2.5000)"
    )


def test_a_run_that_only_got_better_delivers_its_last_step() -> None:
    found = chosen(3.0, 2.0, 1.0)
    assert (found.step, found.reason) == (30, "the last step, which has the lowest evaluation loss")


def test_the_plan_may_ask_for_the_last_step() -> None:
    assert chosen(3.0, 2.0, 2.5, best=False).step == 30
    assert "load_best_model_at_end is off" in chosen(3.0, 2.0, 2.5, best=False).reason


def test_a_run_without_an_evaluation_delivers_its_last_step() -> None:
    assert chosen().step == 7
    assert chosen(float("inf"), float("inf")).step == 20


def test_a_damaged_checkpoint_gives_way_to_the_next_best_one_and_is_named() -> None:
    found = chosen(2.2, 2.0, 2.5, damaged=(20,))
    assert found.step == 10
    assert "the checkpoint of step 20, where it was 2.0000, is damaged or gone" in found.reason
    gone = chosen(2.2, 2.0, 2.1, damaged=(20, 10))
    assert (gone.step, gone.reason) == (
        30,
        "the last step, as the checkpoint of step 20, where it was 2.0000, is damaged or gone",
    )


def test_an_early_end_is_said() -> None:
    found = chosen(2.0, 2.1, 2.2, 2.3, total=100)
    assert found.stopped_early
    assert in_words(found).endswith("; the run ended early, at step 40")


def test_what_is_not_finite_is_never_the_best() -> None:
    log = [{"step": 5, "eval_loss": float("nan")}, {"step": 10, "eval_loss": 3.0}, {"step": 10, "loss": 1.0}]
    assert evaluations(log) == [Evaluation(5, float("inf")), Evaluation(10, 3.0)]
    assert best_of(evaluations(log)) == Evaluation(10, 3.0)


def test_a_step_evaluated_twice_counts_once_with_what_came_last() -> None:
    assert evaluations([{"step": 5, "eval_loss": 1.0}, {"step": 5, "eval_loss": 2.0}]) == [Evaluation(5, 2.0)]


@pytest.mark.parametrize(
    ("losses", "since"), [((3, 2, 1), 0), ((1, 2, 3), 2), ((1, 1, 1), 2), ((3, 1, 2, 0.5, 0.6), 1), ((), 0)]
)
def test_evaluations_without_a_gain_are_counted_from_the_best_one(losses: tuple[float, ...], since: int) -> None:
    assert without_gain(curve(*losses)) == since


@given(losses=CURVES, damaged=st.sets(st.integers(1, 12)))
def test_no_step_that_could_be_delivered_was_better_than_the_one_that_is(
    losses: list[float], damaged: set[int]
) -> None:
    found = curve(*losses)
    last, whole = found[-1].step, {one.step for one in found} - {10 * place for place in damaged}
    delivered = choose(found, last, last, wants_best=True, is_whole=whole.__contains__)
    at_hand = [one.loss for one in found if one.step in whole | {last}]
    assert delivered.step in whole | {last}
    taken = next(one.loss for one in found if one.step == delivered.step)
    assert taken == min(at_hand)


@given(losses=CURVES, cut=st.integers(1, 12))
def test_a_resumed_run_sees_what_an_undisturbed_one_saw(losses: list[float], cut: int) -> None:
    log = [{"step": one.step, "eval_loss": one.loss} for one in curve(*losses)]
    assert evaluations([*log[:cut], *log[cut - 1 :]]) == evaluations(log)
