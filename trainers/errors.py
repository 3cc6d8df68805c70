"""Errors of a run, each as what happened, why, and what to do, with the exit code it ends in."""

# ruff: noqa: N818  each name says what happened; `PlanRefusedError` would say it twice
from __future__ import annotations

from trainers import exit_codes


class RunError(RuntimeError):
    """Base of everything that stops a run and can be explained."""

    exit_code = exit_codes.CRASHED

    def __init__(self, what: str, *, why: str = "", fix: str = "") -> None:
        self.what, self.why, self.fix = what, why, fix
        super().__init__("\n".join(part for part in (what, why, fix) if part))


class PlanRefused(RunError):
    """The plan, the data or the run folder cannot be used as they are."""

    exit_code = exit_codes.BAD_PLAN


class EnvironmentLacking(RunError):
    """This machine cannot do it: a package, driver, permission or process limit."""

    exit_code = exit_codes.ENVIRONMENT


class DiskFull(RunError):
    """There is no room for the next checkpoint or result."""

    exit_code = exit_codes.DISK_FULL


class Diverged(RunError):
    """The loss or its gradient is not finite, or the loss runs away."""

    exit_code = exit_codes.DIVERGED


class CheckpointDoubted(Diverged):
    """A run that goes on from a checkpoint does not go on as it was: the checkpoint is not to be believed."""


class DeliveryDiffers(RunError):
    """What was made of a result does not answer as the model that was trained."""


class NotMergeable(RunError):
    """The method adds something that no plain weight matrix can hold."""

    exit_code = exit_codes.BAD_PLAN


class ExamplesError(RunError):
    """The training data, or the evaluation set, cannot be found, read or understood."""

    exit_code = exit_codes.BAD_PLAN
    of_evaluation = False
    """Whether it is the evaluation set that was named beside the training data."""
