"""What a process says by its exit code: every command, and the training process, by which the supervisor acts."""

from __future__ import annotations

DONE = 0
CRASHED = 1
BAD_PLAN = 2
"""The plan or the data cannot be used; trying again changes nothing."""
NOTHING_FITS = 3
"""An answer: no method fits on this hardware."""
DO_NOT_FINE_TUNE = 4
"""An answer: something else than fine-tuning is advised."""
ENVIRONMENT = 5
"""A package, driver or permission is missing."""
STOPPED = 75
"""Asked to stop (SIGTERM), and did so with a checkpoint: start again to continue (sysexits EX_TEMPFAIL)."""
OUT_OF_MEMORY = 76
DIVERGED = 77
"""The loss or the gradient became NaN, infinite, or ran away."""
DISK_FULL = 78
INTERRUPTED = 130

STATES = {
    DONE: "done",
    CRASHED: "error",
    BAD_PLAN: "bad_input",
    ENVIRONMENT: "environment",
    STOPPED: "stopped",
    OUT_OF_MEMORY: "out_of_memory",
    DIVERGED: "diverged",
    DISK_FULL: "disk_full",
    INTERRUPTED: "interrupted",
}
"""Exit code -> `exit_state` in run.json."""

MEANINGS = {
    DONE: "a recommendation, or a finished run",
    BAD_PLAN: "bad input: every problem at once, each with the nearest valid value",
    NOTHING_FITS: "nothing fits: the answer still carries each rejected method, and the smallest change that helps",
    DO_NOT_FINE_TUNE: "do not fine-tune: a gate fired, and says what to do instead",
    ENVIRONMENT: "the environment cannot do it: a package, a driver, a permission or disk space",
    CRASHED: "a bug of ours",
    STOPPED: "the run was asked to stop and wrote a checkpoint: `sft-advisor runs resume RUN_DIR` goes on from there",
    OUT_OF_MEMORY: "the run was out of memory, and nothing was left to lower",
    DIVERGED: "the loss or the gradient became NaN or ran away; the last good checkpoint is kept",
    DISK_FULL: "the disk is full; `sft-advisor runs resume RUN_DIR` goes on once there is room",
    INTERRUPTED: "interrupted; nothing is lost",
}
"""Exit code -> what it says to a person, in the order of the README."""
