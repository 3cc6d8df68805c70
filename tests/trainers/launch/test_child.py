import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainers.launch import child
from trainers.launch.local import Launch


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
    while not log.read_bytes().strip():
        time.sleep(0.02)
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
    deadline = time.monotonic() + 5
    while Path(f"/proc/{inner}").exists() and "Z" not in Path(f"/proc/{inner}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert signal.getsignal(signal.SIGINT) is handler


def test_kills_for_lack_of_memory_are_read_from_the_own_control_group(tmp_path: Path) -> None:
    assert child.out_of_ram_kills(tmp_path / "none", tmp_path) == 0
    (tmp_path / "cgroup").write_text("0::/user.slice/run\n")
    (tmp_path / "user.slice" / "run").mkdir(parents=True)
    (tmp_path / "user.slice" / "run" / "memory.events").write_text("low 0\noom 3\noom_kill 2\n")
    assert child.out_of_ram_kills(tmp_path / "cgroup", tmp_path) == 2
