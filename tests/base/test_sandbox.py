"""What runs in the child that reads foreign files can answer, and nothing else."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
linux = pytest.mark.skipif(sys.platform != "linux", reason="the child's limits are Linux's")

TRIALS = """
import ctypes, json, os, resource, signal, socket, subprocess, sys, threading, time
from pathlib import Path
from advisor.base import sandbox
from advisor.base.errors import InputError, MachineError, Problem
from advisor.base.sandbox import lock_down, sandboxed, what_holds

def locked(work):
    def locked_work():
        lock_down(0)
        return work()
    return locked_work

def said(kind, work, **more):
    try:
        return sandboxed(kind, work, **more)
    except BaseException as error:
        notes = "".join(getattr(error, "__notes__", []))
        return f"{type(error).__name__}: {error} {notes}"

def allowed(work):
    try:
        work()
    except OSError:
        return False
    return True

def write(path):
    return lambda: Path(path).write_text("x")

def use_up():
    resource.setrlimit(resource.RLIMIT_CPU, (1, 2))
    while True:
        pass

def wait_for_itself():
    taken = threading.Lock()
    taken.acquire()
    taken.acquire()

def panic():
    os.write(1, b"from the file")
    os.write(2, b"from the file")
    os.abort()

class PanicException(BaseException):  # as Rust's libraries call it
    pass

def fail(error):
    def work():
        raise error
    return work

def connect():
    socket.create_connection(("127.0.0.1", 9), timeout=1)

def speak():
    socket.socket(socket.AF_UNIX)

def syscall(*call):
    libc = ctypes.CDLL(None, use_errno=True)
    given = [ctypes.c_long(one) if isinstance(one, int) else one for one in call]
    return ctypes.get_errno() if libc.syscall(*given) else 0

EPERM = 1
sandbox._LOOK_SECONDS = 0.2
there = Path(sys.argv[1])
waiting = threading.Thread(target=lambda: None)
out = {
    "answer": said(dict[str, int], locked(lambda: {"a": 1})),
    "pid": said(int, locked(os.getpid)) != os.getpid(),
    "socket": said(bool, locked(lambda: allowed(connect))),
    "unix socket": said(bool, locked(lambda: allowed(speak))),
    "before": said(bool, lambda: allowed(speak)),
    "write": said(bool, locked(lambda: allowed(write(there / "x")))),
    "grow": said(bool, locked(lambda: allowed(lambda: (there / "old").open("a").write("x")))),
    "write where it may": said(bool, locked(lambda: allowed(write(there / "out" / "x"))), writes=(there / "out",)),
    "write beside it": said(bool, locked(lambda: allowed(write(there / "y"))), writes=(there / "out",)),
    "remove": said(bool, locked(lambda: allowed(lambda: os.unlink(there / "old")))),
    "run": said(bool, locked(lambda: allowed(lambda: subprocess.run(["true"])))),
    "read": said(str, locked(lambda: (there / "old").read_text())),
    "signal": said(bool, locked(lambda: allowed(lambda: os.kill(os.getppid(), 0)))),
    "tgkill": said(bool, locked(lambda: syscall(234, os.getppid(), os.getppid(), 0) != EPERM)),
    "own signal": said(bool, locked(lambda: syscall(234, os.getpid(), os.getpid(), 0) != EPERM)),
    "type for the user": said(bool, locked(lambda: syscall(16, 0, (1 << 32) + 0x5412, b"x") != EPERM)),
    "work": said(int, locked(use_up)),
    "standstill": said(int, locked(wait_for_itself)),
    "sleep": said(int, locked(lambda: time.sleep(3) or 1)),
    "panic": said(int, locked(panic)),
    "crash": said(int, locked(lambda: ctypes.string_at(0))),
    "input": said(int, fail(InputError(Problem(what="one"), Problem(what="two")))),
    "machine": said(int, fail(MachineError(Problem(what="no network")))),
    "memory": said(int, fail(MemoryError())),
    "depth": said(int, fail(RecursionError("deep"))),
    "system": said(int, fail(FileNotFoundError(2, "x", "there"))),
    "package": said(int, fail(ModuleNotFoundError("x", name="polars"))),
    "rust panic": said(int, fail(PanicException("retry-limit over"))),
    "bug": said(int, fail(KeyError("odd"))),
    "wrong type": said(int, locked(lambda: "text")),
    "interrupt": said(int, fail(KeyboardInterrupt())),
    "within": said(int, lambda: sandboxed(int, os.getpid) - os.getpid()),
    "holds": what_holds(),
}
print(json.dumps(out))
"""


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("there")
    (folder / "old").write_text("old")
    (folder / "out").mkdir()
    command = [sys.executable, "-P", "-c", TRIALS, str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "from the file" not in done.stdout + done.stderr
    assert sorted(path.name for path in folder.rglob("*")) == ["old", "out", "x"]
    assert (folder / "old").read_text() == "old"
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT)}


@linux
def test_the_answer_of_another_process_comes_back(tried: dict[str, Any]) -> None:
    assert tried["answer"] == {"a": 1}
    assert tried["pid"]
    assert tried["read"] == "old"
    assert tried["within"] == 0


@linux
@pytest.mark.parametrize("what", ["socket", "unix socket", "write", "grow", "write beside it", "remove", "run"])
def test_what_a_reader_does_not_need_is_refused(tried: dict[str, Any], what: str) -> None:
    needs = "seccomp" if what in ("socket", "unix socket", "run") else "Landlock"
    if not any(one.startswith(needs) for one in tried["holds"]):
        pytest.skip(f"this kernel or container has no {needs}")
    assert tried[what] is False


@linux
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers of the calls are those of x86-64")
def test_nobody_else_is_signalled_or_typed_for(tried: dict[str, Any]) -> None:
    if "seccomp" not in tried["holds"]:
        pytest.skip("this kernel or container has no seccomp")
    assert tried["own signal"] is True
    assert [tried[what] for what in ("signal", "tgkill", "type for the user")] == [False] * 3


@linux
def test_what_it_was_given_remains(tried: dict[str, Any]) -> None:
    assert tried["write where it may"] is True
    assert tried["before"] is True


@linux
def test_a_reader_that_crashes_or_does_not_end_is_told_as_the_file_it_read(tried: dict[str, Any]) -> None:
    assert tried["work"].startswith("InputError: a file takes too long to be read")
    assert tried["standstill"].startswith("InputError: a file stops the library that reads it (SIGABRT)")
    assert tried["sleep"] == 1
    assert tried["panic"].startswith("InputError: a file stops the library that reads it (SIGABRT)")
    assert tried["rust panic"].startswith("InputError: a file stops the library that reads it: retry-limit over")
    assert tried["crash"].startswith("InputError: a file stops the library that reads it (SIGSEGV)")


@linux
def test_errors_come_back_as_they_were(tried: dict[str, Any]) -> None:
    assert tried["input"].startswith("InputError: one; two")
    assert tried["machine"].startswith("MachineError: no network")
    assert tried["memory"].startswith("MemoryError")
    assert tried["depth"].startswith("RecursionError: deep")
    assert tried["system"].startswith("FileNotFoundError: [Errno 2] No such file or directory: 'there'")
    assert tried["package"].startswith("ModuleNotFoundError: No module named 'polars'")
    assert tried["interrupt"].startswith("KeyboardInterrupt")


@linux
def test_a_bug_names_its_place_and_keeps_its_trace(tried: dict[str, Any]) -> None:
    assert tried["bug"].startswith("SandboxError: KeyError: 'odd' in work, line")
    assert "Traceback" in tried["bug"]


@linux
def test_an_answer_of_another_type_is_none(tried: dict[str, Any]) -> None:
    assert tried["wrong type"].startswith("SandboxError: an answer that is none of int")
