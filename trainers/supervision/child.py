"""One child process: started so that it outlives trouble, followed through its log, ended cleanly.

The child writes its log itself: were it a pipe, a killed supervisor would take the child down at its next line,
before the checkpoint.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from trainers.supervision.command import Launch

_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def spawn(launch: Launch, *, log: IO[bytes], keep_open: tuple[int, ...] = ()) -> subprocess.Popen[bytes]:
    """Start the command in a session of its own, with stdout and stderr appended to `log`.

    A session of its own: Ctrl-C in the terminal reaches the supervisor alone, which then asks for a checkpoint.
    """
    return subprocess.Popen(
        launch.command,
        env={**os.environ, **launch.environment},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        pass_fds=keep_open,
        # nothing else of this package runs threads, and the function only makes one system call
        preexec_fn=STOP_WITH_PARENT,  # noqa: PLW1509
    )


@contextlib.contextmanager
def signals_forwarded(process: subprocess.Popen[Any], on_signal: Callable[[str], object]) -> Iterator[None]:
    """While entered: the first Ctrl-C, SIGTERM or SIGHUP asks the child to save and stop; a second Ctrl-C kills it.

    Nothing is installed outside the main thread, where Python allows no handlers.
    """
    asked = False

    def forward(number: int, _frame: object) -> None:
        nonlocal asked
        on_signal(signal.Signals(number).name)
        if asked and number == signal.SIGINT:
            kill_group(process)
        else:
            process.send_signal(signal.SIGTERM)
        asked = True

    try:
        before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    except ValueError:
        before = {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def follow(process: subprocess.Popen[bytes], log: Path, from_byte: int) -> Iterator[bytes]:
    """What the child appends to its log from `from_byte` on, piece by piece, until it has ended."""
    with log.open("rb") as file:
        file.seek(from_byte)
        ended = False
        while not ended:
            ended = process.poll() is not None
            while piece := file.read(1 << 16):
                yield piece
            if not ended:
                time.sleep(_POLL_SECONDS)


def kill_group(process: subprocess.Popen[Any]) -> None:
    """End the child and all it started, at once."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def exit_code(process: subprocess.Popen[Any]) -> int:
    """How the child ended, as a shell would say it: 128 + signal when a signal ended it."""
    code = process.wait()
    return code if code >= 0 else 128 - code


def _stop_with_parent() -> None:
    """Ask the kernel for a SIGTERM when the supervisor dies, so that no orphan trains on unseen."""
    assert _LIBC is not None
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


STOP_WITH_PARENT = _stop_with_parent if _LIBC else None
"""What a child does before its program starts, as `preexec_fn`; None where the kernel offers no such thing."""
