import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from transformers import TrainerControl, TrainerState

from trainers import exit_codes
from trainers.errors import CheckpointDoubted, Diverged
from trainers.training.guard import DivergenceGuard, Interrupted, StopOnSignal


class Args:
    device = torch.device("cpu")
    fp16 = False


@pytest.fixture
def stop() -> Iterator[StopOnSignal]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield StopOnSignal()
    for number, handler in before.items():
        signal.signal(number, handler)


def logged(guard: DivergenceGuard, *logs: dict[str, float]) -> TrainerControl:
    control = TrainerControl()
    for step, log in enumerate(logs, 1):
        control.should_save = True
        guard.on_log(Args(), TrainerState(global_step=step), control, logs=log)
    return control


def test_a_signal_during_a_step_saves_and_stops_at_its_end(stop: StopOnSignal) -> None:
    stop.on_train_begin()
    os.kill(os.getpid(), signal.SIGTERM)
    control = stop.on_step_end(Args(), TrainerState(global_step=3, max_steps=10), TrainerControl())
    assert control.should_save
    assert control.should_training_stop
    assert stop.stopped


def test_a_signal_at_the_last_step_is_a_finished_run_until_the_result_is_written(stop: StopOnSignal) -> None:
    stop.on_train_begin()
    os.kill(os.getpid(), signal.SIGTERM)
    stop.on_step_end(Args(), TrainerState(global_step=10, max_steps=10), TrainerControl())
    assert not stop.stopped
    with pytest.raises(Interrupted):
        stop.release()


def test_a_signal_before_the_first_step_stops_at_once(stop: StopOnSignal) -> None:
    with pytest.raises(SystemExit) as stopped:
        os.kill(os.getpid(), signal.SIGINT)
    assert stopped.value.code == exit_codes.STOPPED


def test_no_signal_no_stop(stop: StopOnSignal) -> None:
    stop.on_train_begin()
    control = stop.on_step_end(Args(), TrainerState(global_step=3, max_steps=10), TrainerControl())
    assert not control.should_training_stop
    stop.release()


@pytest.mark.parametrize("bad", [{"loss": float("nan")}, {"loss": 1.0, "grad_norm": float("inf")}])
def test_numbers_that_stay_lost_stop_the_run_and_are_not_saved(bad: dict[str, float]) -> None:
    guard = DivergenceGuard(patience=3)
    assert logged(guard, {"loss": 2.0}, bad, bad).should_save is False
    with pytest.raises(Diverged, match=r"step 1\n?.*") as diverged:
        logged(guard, bad)
    assert "for 3 logs" in diverged.value.why
    assert diverged.value.exit_code == exit_codes.DIVERGED


def test_one_bad_step_is_forgiven() -> None:
    bad = {"loss": float("nan")}
    guard = DivergenceGuard(patience=2)
    assert logged(guard, bad, {"loss": 2.0}, bad, {"loss": 2.0}, {"eval_loss": 1.0}).should_save


def test_fp16_may_meet_infinite_gradients() -> None:
    class HalfPrecision(Args):
        fp16 = True

    guard, control = DivergenceGuard(patience=1), TrainerControl()
    guard.on_log(HalfPrecision(), TrainerState(), control, logs={"loss": 2.0, "grad_norm": float("inf")})
    with pytest.raises(Diverged):
        guard.on_log(Args(), TrainerState(), control, logs={"loss": 2.0, "grad_norm": float("inf")})


def test_a_loss_that_runs_away_stops_and_a_spike_does_not() -> None:
    falling: list[dict[str, Any]] = [{"loss": 3.0 - 0.1 * step} for step in range(20)]
    spike = [{"loss": 9.0}] * 3 + [{"loss": 1.0}] * 10
    logged(DivergenceGuard(), *falling, *spike)
    with pytest.raises(Diverged, match="stays there"):
        logged(DivergenceGuard(), *falling, *[{"loss": 11.0}] * 20)


def resumed(*losses: float) -> DivergenceGuard:
    """A guard of a run that goes on from a checkpoint with these losses in its history."""
    guard = DivergenceGuard()
    history = [{"step": step, "loss": loss} for step, loss in enumerate(losses, 1)]
    guard.on_train_begin(Args(), TrainerState(global_step=len(losses), log_history=history), TrainerControl())
    return guard


def test_a_resume_that_starts_far_above_its_checkpoint_doubts_it() -> None:
    with pytest.raises(CheckpointDoubted, match="the checkpoint was at 1"):
        logged(resumed(1.0, 1.0), {"loss": 3.1})
    logged(resumed(1.0, 1.0), {"loss": 2.9}, {"loss": 9.0})


def test_losses_that_vary_much_from_log_to_log_are_allowed_to_after_a_resume() -> None:
    logged(resumed(0.5, 3.5, 1.0), {"loss": 9.4})
    with pytest.raises(CheckpointDoubted):
        logged(resumed(0.5, 3.5, 1.0), {"loss": 9.6})


def test_a_resume_whose_first_losses_are_not_finite_doubts_its_checkpoint() -> None:
    with pytest.raises(CheckpointDoubted):
        logged(resumed(1.0), {"loss": 1.0}, {"loss": float("nan")})
    with pytest.raises(Diverged) as stopped:
        logged(resumed(1.0), *[{"loss": 1.0}] * 3, *[{"loss": float("nan")}] * 3)
    assert not isinstance(stopped.value, CheckpointDoubted)


def test_a_fresh_run_has_nothing_to_be_held_to() -> None:
    guard = DivergenceGuard()
    guard.on_train_begin(Args(), TrainerState(), TrainerControl())
    logged(guard, {"loss": 900.0})


def test_a_run_that_has_risen_since_its_checkpoint_is_still_watched_after_a_resume() -> None:
    with pytest.raises(Diverged, match="stays there"):
        logged(resumed(1.0, 1.0, 3.9, 3.9), *[{"loss": 6.0}] * 20)
