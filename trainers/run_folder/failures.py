"""From an exception to an exit code and the three parts of a message: what happened, why, what to do."""

from __future__ import annotations

import errno
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trainers import exit_codes
from trainers.errors import CheckpointDoubted, RunError
from trainers.foreign.text import terminal
from trainers.language import tr
from trainers.plan import PlanError
from trainers.run_folder import layout
from trainers.run_folder.checkpoint import is_disk_full
from trainers.writing import write_atomically

LOST_TOUCH = "another process of this run ended"


def judge(error: BaseException, phase: str) -> tuple[int, dict[str, Any]]:
    """Exit code, and phase, what, why and fix of a failure. The phase is refined by where the error was raised.

    `doubts_checkpoint` says that the run did not go on as the checkpoint was, which is in quarantine now.
    """
    phase = _phase(error) or phase
    code, what, why, fix = _judged(error)
    doubts = {"doubts_checkpoint": True} if isinstance(error, CheckpointDoubted) else {}
    return code, {"phase": phase, "what": what, "why": why, "fix": fix, **doubts}


def _judged(error: BaseException) -> tuple[int, str, str, str]:  # noqa: PLR0911  one line a kind of failure
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    if isinstance(error, RunError):
        return error.exit_code, error.what, error.why, error.fix
    if isinstance(error, PlanError):
        return exit_codes.BAD_PLAN, str(error), "", tr("correct the plan file")
    if isinstance(error, KeyboardInterrupt):
        return exit_codes.INTERRUPTED, tr("interrupted"), "", tr("start the same run again to continue")
    if is_out_of_memory(error):
        fix = tr(
            "halve micro_batch_size and double gradient_accumulation_steps, or set gradient_checkpointing = true"
        )
        return exit_codes.OUT_OF_MEMORY, tr("out of memory"), first, fix
    if is_disk_full(error):
        fix = tr("free some space, then start the same run again")
        return exit_codes.DISK_FULL, tr("the disk is full"), first, fix
    if any(mark in str(error) for mark in ("closed by peer", "Connection reset by peer", "NCCL", "ProcessGroup")):
        return exit_codes.CRASHED, LOST_TOUCH, first, tr("look at the error that came first")
    if type(error).__name__ == "UnpicklingError" or "weights_only" in str(error):
        what, why = (
            tr("a file of this checkpoint or model holds program code"),
            tr("it was not written by this trainer"),
        )
        return (
            exit_codes.BAD_PLAN,
            what,
            why,
            tr("start from a checkpoint of your own, or take the safetensors files"),
        )
    if isinstance(error, ImportError):
        return exit_codes.ENVIRONMENT, tr("a package is missing or broken"), first, "pip install 'sft-advisor[train]'"
    return exit_codes.CRASHED, f"{type(error).__name__}: {first}", tr("this is a fault of the trainer"), ""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on a GPU or in the host."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    text = str(error)
    return type(error).__name__ in ("OutOfMemoryError", "AcceleratorError", "RuntimeError") and any(
        mark in text for mark in ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
    )


def _phase(error: BaseException) -> str | None:
    """`evaluation` or `saving` when the Trainer was doing that in between; None otherwise."""
    functions = {frame.name for frame in traceback.extract_tb(error.__traceback__)}
    if functions & {"evaluation_loop", "prediction_step"}:
        return "evaluation"
    return "saving" if functions & {"_save_checkpoint", "save_pretrained"} else None


def tell(failure: dict[str, Any]) -> None:
    """Print the three parts on stderr."""
    lines = [f"error: {failure['what']}"]
    lines += [f"  {name}: {failure[key]}" for name, key in (("why", "why"), ("try", "fix")) if failure[key]]
    print(terminal("\n".join(lines)), file=sys.stderr, flush=True)


def keep_trace(error: BaseException, run_dir: Path) -> str:
    """Write the traceback to crash.txt of the run, for a report. Return the hint to print."""
    trace = "".join(traceback.format_exception(error))
    write_atomically(run_dir / layout.CRASH, trace.encode(errors="replace"))
    return tr("attach {file} to a report", file=run_dir / layout.CRASH)


def explained(action: Callable[[], object]) -> int:
    """Run `action`. Return 0, or print what is wrong and return the exit code. For small commands without a record.

    Ctrl-C and SIGTERM end it alike: what the action has begun is cleaned up, one line says so, the code is 130.
    """
    handler = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        action()
    except KeyboardInterrupt:
        print(tr("interrupted"), file=sys.stderr, flush=True)
        return exit_codes.INTERRUPTED
    except Exception as error:  # noqa: BLE001  the outermost frame: whatever it is becomes a message and a code
        code, failure = judge(error, "starting")
        tell(failure)
        return code
    finally:
        signal.signal(signal.SIGTERM, handler)
    return exit_codes.DONE
