"""Training processes without the seven seconds that the import of their libraries takes: forked where all are loaded.

Each is a process as the supervisor's own: a session, a log, an environment, signals and an exit code of its own, the
same module with the same arguments. What differs is its parent, so tests in which that matters start it as users do.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import runpy
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import IO

from tests.waiting import PATIENCE_SECONDS
from trainers.network import HUB_OFF
from trainers.supervision import child
from trainers.supervision.command import Launch

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["tests.trainers.warm_imports"])
cold_spawn = child.spawn


class WarmChild:
    """What the supervisor uses of subprocess.Popen."""

    def __init__(self, process: ForkServerProcess) -> None:
        assert process.pid is not None
        self._process, self.pid = process, process.pid

    def poll(self) -> int | None:
        """Its exit code, as Popen counts: -9 for one that SIGKILL ended; None while it runs."""
        return self._process.exitcode

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        self._process.join()
        code = self._process.exitcode
        assert code is not None
        return code

    def send_signal(self, number: int) -> None:
        """As kill(1)."""
        os.kill(self.pid, number)


def spawn(launch: Launch, *, log: IO[bytes], keep_open: tuple[int, ...] = ()) -> WarmChild | subprocess.Popen[bytes]:
    """Stands for `trainers.supervision.child.spawn`; a run over several processes starts as ever."""
    module, *arguments = launch.command[launch.command.index("-m") + 1 :]
    if module == "trainers.training.torchrun":
        return cold_spawn(launch, log=log, keep_open=keep_open)
    return WarmChild(start(module, arguments, {**os.environ, **launch.environment}, Path(log.name), Path(log.name)))


def run(module: str, *arguments: str, processes: int = 1) -> subprocess.CompletedProcess[str]:
    """`python -m module arguments...` to its end, or torchrun's processes with what torchrun would set for each."""
    with tempfile.TemporaryDirectory() as folder:
        out, error = Path(folder, "out"), Path(folder, "error")
        ranks = [{}] if processes == 1 else _ranks(processes)
        environment = {**os.environ, **HUB_OFF, "OMP_NUM_THREADS": "1"}
        started = [start(module, arguments, environment | rank, out, error) for rank in ranks]
        try:
            for process in started:
                process.join(PATIENCE_SECONDS)
            codes = [process.exitcode for process in started]
        finally:
            for process in started:
                process.kill()
        code = next((code for code in codes if code != 0), 0)
        said = [file.read_text(encoding="utf-8") if file.exists() else "" for file in (out, error)]
        assert code is not None, f"still running after {PATIENCE_SECONDS} s\n{said[1][-3000:]}"
        return subprocess.CompletedProcess([module, *arguments], code, *said)


def free_port() -> int:
    """A port for a meeting some seconds from now: below the ports that Linux gives to whoever asks for any."""
    for port in random.sample(range(20000, 30000), 20):
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)):
                return port
    raise AssertionError("twenty ports in use")


def _ranks(processes: int) -> list[dict[str, str]]:
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    world = {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
    return [meeting | world | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(processes)]


def start(
    module: str, arguments: Sequence[str], environment: dict[str, str], out: Path, error: Path
) -> ForkServerProcess:
    """`python -m module arguments...` in a forked process, what it prints appended to two files."""
    process = SERVER.Process(target=_run, args=(module, arguments, environment, out, error, Path.cwd()))
    before = {name: os.environ.get(name) for name in HUB_OFF}
    os.environ |= HUB_OFF  # for the server, which this may start: the hub's library reads them when it is imported
    try:
        process.start()
    finally:
        for name in HUB_OFF:
            del os.environ[name]
        os.environ |= {name: value for name, value in before.items() if value is not None}
    return process


def _run(
    module: str, arguments: Sequence[str], environment: dict[str, str], out: Path, error: Path, folder: Path
) -> None:
    os.setsid()
    for path, number in ((out, 1), (error, 2)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
