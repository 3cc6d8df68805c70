"""Code that passes given tests: the answer runs with the assertions of the reference, in a child that only computes.

The child is a Python of its own: no site packages, no environment, a folder of its own that is deleted, limits on
time, memory and files; where the system has them, seccomp takes away network, programs and processes, Landlock all
files but Python's own.
"""

from __future__ import annotations

import ast
import contextlib
import secrets
import subprocess
import tempfile
import warnings

from trainers.python import code_command
from trainers.scores.structured import unfenced

SECONDS = 5
MEMORY_BYTES = 512 << 20
PRELUDE = """
import os, sys
def _lock_down():
    import contextlib
    calls = "socket connect bind execve execveat ptrace process_vm_readv fork vfork clone clone3 kill tkill tgkill"
    with contextlib.suppress(ImportError, OSError, RuntimeError):
        from pyseccomp import ALLOW, ERRNO, SyscallFilter
        locked = SyscallFilter(ALLOW)
        for call in calls.split():
            with contextlib.suppress(OSError, ValueError):  # a call that this processor or kernel does not know
                locked.add_rule(ERRNO(1), call)
        locked.load()
    with contextlib.suppress(ImportError, OSError):
        from landlockpy import AccessFS, Ruleset
        with Ruleset() as rules:
            for place in {sys.prefix, sys.base_prefix, os.path.dirname(os.__file__)}:
                rules.allow_path(place, AccessFS.READ_FILE | AccessFS.READ_DIR)
            rules.restrict()
_lock_down()
del _lock_down
sys.path[:] = [place for place in sys.path if "site-packages" not in place]
"""


def assertions(text: str) -> list[str]:
    """The assertions at the top level of Python code; [] for other texts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            body = ast.parse(unfenced(text)).body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return []
    return [ast.unparse(statement) for statement in body if isinstance(statement, ast.Assert)]


def python_passes(reference: str, answer: str) -> float:
    """1 where the answer, run on its own, makes every assertion of the reference hold; 0 where there is none."""
    tests = assertions(reference)
    if not tests or not unfenced(answer).strip():
        return 0.0
    passed = secrets.token_hex(16)  # not to be guessed by a program that ends before the assertions
    program = "\n".join([PRELUDE, unfenced(answer), *tests, f"print({passed!r})"])
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                code_command(program),
                cwd=folder,
                env={"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=2 * SECONDS,
                start_new_session=True,
                preexec_fn=_limit,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return 0.0
    return float(done.returncode == 0 and done.stdout.rstrip().endswith(passed.encode()))


def _limit() -> None:
    import resource  # not on every system

    limits = ((resource.RLIMIT_CPU, SECONDS), (resource.RLIMIT_AS, MEMORY_BYTES), (resource.RLIMIT_FSIZE, 0))
    for what, limit in (*limits, (resource.RLIMIT_NOFILE, 32), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(what, (limit, limit))
