"""Carries trials out by successive halving, and goes on where it was stopped: all that is known is in their folders.

    survivors = Race(field, carry_out, said).run()

Each rung takes the trials that are left a part of the way; the half with higher evaluation losses goes no further.
The plan itself always goes to its end, so that the winner can be held against it. No torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trainers import exit_codes
from trainers.language import tr
from trainers.run_folder.best_step import best_of, evaluations
from trainers.run_folder.metrics import read_metrics
from trainers.supervision.trials import PLAN, Trial

WHOLE = (1.0,)
HALVING = (0.25, 0.5, 1.0)
"""Shares of the steps at which trials are held against each other."""
HALVED_FROM = 4
"""Fewer trials all go to their end: there is little to save."""
FINALISTS = 2
OUT = (exit_codes.DIVERGED, exit_codes.OUT_OF_MEMORY)
"""How a trial ends that has lost, and not the race with it."""

CarryOut = Callable[[Trial, int | None], int]
"""Trains a trial to this step (None: to its end) and returns the exit code of its run."""


class RaceStopped(Exception):  # noqa: N818  a stop is no error
    """A trial was stopped, or failed in a way that has nothing to do with its setting."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exit code {code}")
        self.code = code


class Race:
    """The trials of one race, held against each other at these shares of their steps.

    `has_time(trial, steps)` says whether the budget still holds so many steps of a trial.
    """

    def __init__(
        self,
        field: Sequence[Trial],
        shares: Sequence[float],
        carry_out: CarryOut,
        said: Callable[[str], object],
        has_time: Callable[[Trial, int], bool] = lambda *_: True,
    ) -> None:
        self.field, self.shares, self.carry_out = list(field), shares, carry_out
        self.said, self.has_time = said, has_time

    def run(self) -> list[Trial]:
        """The trials that went to their end. Raises RaceStopped."""
        left = self.field
        for share in self.shares:
            left = [trial for trial in left if self._leg(trial, share)]
            if share < 1:
                left = best_half(left, share)
                self.said(
                    tr(
                        "after {share:.0%} of the steps these go on: {left}",
                        share=share,
                        left=", ".join(trial.name for trial in left),
                    )
                )
        return left

    def _leg(self, trial: Trial, share: float) -> bool:
        """Whether the trial is still in the race once it has gone so far."""
        step = step_at(trial, share)
        before = steps_made(trial)
        if trial.name != PLAN and before < step and not self.has_time(trial, step - before):
            self.said(tr("{name} goes no further: the budget has no time for it", name=trial.name))
            return False
        if before >= step and share < 1:
            return True
        code = self.carry_out(trial, step if share < 1 else None)
        if code == exit_codes.DONE or (code == exit_codes.STOPPED and share < 1 and steps_made(trial) >= step):
            return True
        if code in OUT:
            self.said(
                tr(
                    "{name} is out of the race: {state}",
                    name=trial.name,
                    state=exit_codes.STATES[code].replace("_", " "),
                )
            )
            return False
        raise RaceStopped(code)


def places(trials: int, shares: Sequence[float]) -> list[tuple[float, int]]:
    """How many trials take each part of the steps between two rungs: what a race costs."""
    found, before, left = [], 0.0, trials
    for share in shares:
        found.append((share - before, left))
        before, left = share, min(left, kept(left) + 1)
    return found


def kept(trials: int) -> int:
    """How many of so many go on."""
    return max(FINALISTS, (trials + 1) // 2)


def best_half(trials: Sequence[Trial], share: float) -> list[Trial]:
    """Those with the lowest evaluation losses so far, and the plan, in their order."""
    losses = {trial.name: loss_at(trial, share) for trial in trials}
    ranked = sorted(trials, key=lambda trial: losses[trial.name])
    on = {trial.name for trial in ranked[: kept(len(trials))] if losses[trial.name] < float("inf")} | {PLAN}
    return [trial for trial in trials if trial.name in on]


def step_at(trial: Trial, share: float) -> int:
    """The evaluation at or after this share of a trial's steps."""
    every = trial.plan.eval_steps
    return min(trial.plan.max_steps or every, every * max(1, round(share * (trial.plan.max_steps or every) / every)))


def steps_made(trial: Trial) -> int:
    """Steps that a trial has evaluated, and so need not make again."""
    return max((one.step for one in evaluations(read_metrics(trial.folder))), default=0)


def loss_at(trial: Trial, share: float) -> float:
    """The lowest evaluation loss up to this share of the steps; infinite without one."""
    step = step_at(trial, share)
    best = best_of(one for one in evaluations(read_metrics(trial.folder)) if one.step <= step)
    return best.loss if best else float("inf")
