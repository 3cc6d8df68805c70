"""Commands of the trainers that need torch, run as a child process with its own output."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from trainers.python import child_environment, module_command


def run_child(module: str, *arguments: str | Path) -> int:
    """`python -m MODULE ARGUMENTS` on this terminal. Return its exit code.

    Ctrl-C is passed on, and the child has time to clean up; a second one ends it at once. Raises
    KeyboardInterrupt when it was ended without a message of its own.
    """
    return _until_it_ends(module, arguments)[0]


def read_child(module: str, *arguments: str | Path) -> tuple[int, str]:
    """As `run_child`, with what it wrote to stdout; its stderr goes to this terminal."""
    return _until_it_ends(module, arguments, stdout=subprocess.PIPE)


def _until_it_ends(module: str, arguments: Sequence[str | Path], stdout: int | None = None) -> tuple[int, str]:
    from trainers.exit_codes import INTERRUPTED
    from trainers.supervision import child

    # a session of its own: in that of the terminal Ctrl-C would reach it while Python is still starting
    process = subprocess.Popen(
        module_command(module, *arguments),
        env=child_environment(),
        stdout=stdout,
        text=True,
        start_new_session=True,
        # one system call, and no threads run here that could hold a lock
        preexec_fn=child.STOP_WITH_PARENT,  # noqa: PLW1509
    )
    asked: list[str] = []
    with child.signals_forwarded(process, on_signal=asked.append):
        printed, _ = process.communicate()
    code = child.exit_code(process)
    if asked and code not in (0, INTERRUPTED):
        raise KeyboardInterrupt
    return code, printed or ""
