"""What the training process says by its exit code; the supervisor acts on nothing else."""

from __future__ import annotations

DONE = 0
CRASHED = 1
BAD_PLAN = 2
"""The plan or the data cannot be used; trying again changes nothing."""
ENVIRONMENT = 5
"""A package, driver or permission is missing."""
STOPPED = 75
"""Asked to stop (SIGTERM), and did so with a checkpoint: start again to go on (sysexits EX_TEMPFAIL)."""
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
