import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.waiting import wait_until
from trainers.supervision import child
from trainers.supervision.command import Launch


def spawn(tmp_path: Path, code: str) -> tuple[subprocess.Popen[bytes], Path]:
    log = tmp_path / "log"
    launch = Launch(command=(sys.executable, "-uc", code), environment={"GREETING": "hi"}, files={})
    with log.open("ab") as file:
        return child.spawn(launch, log=file), log


def test_what_it_prints_is_followed_to_the_end_and_kept(tmp_path: Path) -> None:
    process, log = spawn(tmp_path, "import os; print(os.environ['GREETING']); print('x' * 200_000)")
    heard = b"".join(child.follow(process, log, 0))
    assert heard == log.read_bytes() == b"hi\n" + b"x" * 200_000 + b"\n"
    assert child.exit_code(process) == 0


@pytest.mark.parametrize(("code", "expected"), [("import sys; sys.exit(76)", 76), ("import os; os.abort()", 134)])
def test_the_exit_code_is_that_of_a_shell(tmp_path: Path, code: str, expected: int) -> None:
    assert child.exit_code(spawn(tmp_path, code)[0]) == expected


def test_a_second_ctrl_c_kills_the_child_and_what_it_started(tmp_path: Path) -> None:
    code = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "inner = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "print(inner.pid, flush=True);"
        "time.sleep(60)"
    )
    process, log = spawn(tmp_path, code)
    wait_until(lambda: log.read_bytes().strip())
    heard: list[str] = []
    handler = signal.getsignal(signal.SIGINT)
    with child.signals_forwarded(process, on_signal=heard.append):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)
        assert process.poll() is None
        os.kill(os.getpid(), signal.SIGINT)
        assert child.exit_code(process) == 128 + signal.SIGKILL
    assert heard == ["SIGINT", "SIGINT"]
    inner = int(log.read_text())
    wait_until(lambda: not psutil.pid_exists(inner) or psutil.Process(inner).status() == psutil.STATUS_ZOMBIE)
    assert signal.getsignal(signal.SIGINT) is handler
