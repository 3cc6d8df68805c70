"""One changed input through its commands, each in a fork of this process with limits on work and memory.

A case passes when every command ends by itself with a code that says something: no "this is a bug of ours", no
traceback, no signal, no raw control character on the screen.
"""

from __future__ import annotations

import io
import os
import re
import resource
import select
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import msgspec

from tests.fuzz.doors import DOORS

WORK_SECONDS = 5
WALL_SECONDS = 180
MEMORY_BYTES = 2 << 30
ANSWERS = (0, 3, 4)
"""Exit codes of an answer: recommended, nothing fits, do not fine-tune."""
RAW = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
ALLOWED = re.compile(r"\x1b\[[0-9;]*m")


class Failure(msgspec.Struct, frozen=True):
    """What went wrong with one command."""

    door: str
    kind: str
    """exit 1, hang, memory, died, traceback or raw escape."""
    said: str
    command: list[str]


class Used(msgspec.Struct, frozen=True):
    """The most that one command took."""

    work_seconds: float = 0.0
    memory_bytes: int = 0

    def or_more(self, other: Used | None) -> Used:
        """The larger of each figure."""
        other = other or Used()
        return Used(max(self.work_seconds, other.work_seconds), max(self.memory_bytes, other.memory_bytes))


class Ended(msgspec.Struct, frozen=True):
    """How one command ended."""

    code: int
    """Negative: the signal that ended it."""
    said: str
    by_itself: bool
    used: Used


def try_case(door: str, content: bytes, turn: int | None = None) -> tuple[Failure | None, Used]:
    """Feed one input to its door; the first failure, None when all commands held, and the most that one took.

    With `turn` only the command of the door whose turn it is.
    """
    most = Used()
    for command, ended in _fed(door, content, turn):
        most = ended.used.or_more(most)
        if kind := _kind(ended.code, ended.said, ended.by_itself):
            return Failure(door, kind, ended.said[-2000:], command), most
    return None, most


def dead_end(door: str, content: bytes) -> str:
    """What was said where a command refused an input that is sound; "" when all took it."""
    for command, ended in _fed(door, content):
        if ended.code not in ANSWERS and command[0] != "vet":  # whose code 2 says that it found something
            return f"{' '.join(command)}: {ended.code}: {ended.said[-2000:]}"
    return ""


def _fed(door: str, content: bytes, turn: int | None = None) -> Iterator[tuple[list[str], Ended]]:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder = Path(name)
        try:
            commands = DOORS[door].feed(folder, content)
        except (ValueError, UnicodeError, OSError, RecursionError):
            return  # an input that cannot even be written down, such as a NUL in a file's name
        for command in commands if turn is None else [commands[turn % len(commands)]]:
            yield command, _forked(command, folder)


def _kind(code: int, said: str, ended: bool) -> str:
    if not ended or code == -signal.SIGXCPU:
        return "hang"
    if code == -signal.SIGKILL:
        return "memory"
    if code < 0:
        return f"died of signal {-code}"
    if "Traceback (most recent call last)" in said:
        return "traceback"
    if code == 1:
        return "exit 1"
    return "raw escape" if RAW.search(ALLOWED.sub("", said)) else ""


def _forked(command: list[str], folder: Path) -> Ended:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os._exit(_in_child(command, folder, writing))
    os.close(writing)
    said, deadline = bytearray(), time.monotonic() + WALL_SECONDS
    ended = True
    while True:
        ready, _, _ = select.select([reading], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            os.kill(child, signal.SIGKILL)
            ended = False
            break
        piece = os.read(reading, 1 << 16)
        if not piece:
            break
        said += piece
    os.close(reading)
    _, status, usage = os.wait4(child, 0)
    used = Used(usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
    return Ended(os.waitstatus_to_exitcode(status), said.decode(errors="replace"), ended, used)


def _in_child(command: list[str], folder: Path, writing: int) -> int:
    resource.setrlimit(resource.RLIMIT_CPU, (_work_so_far() + WORK_SECONDS, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.dup2(writing, 1)
    os.dup2(writing, 2)
    os.chdir(folder)
    _own_home(folder / "home")
    code = 1
    with _streams():
        try:
            code = _run(command)
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        except BaseException:  # noqa: BLE001  what left main is what is looked for
            import traceback

            traceback.print_exc()
    return code


def _own_home(home: Path) -> None:
    """A home for this case alone, with the compiled rules of the one that has been so far."""
    home.mkdir(exist_ok=True)
    warm = os.environ.get("SFT_ADVISOR_HOME")
    for compiled in Path(warm).glob("rules-*") if warm else ():
        if not (home / compiled.name).exists():
            os.link(compiled, home / compiled.name)
    os.environ["SFT_ADVISOR_HOME"] = str(home)


def _work_so_far() -> int:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return int(used.ru_utime + used.ru_stime) + 1


@contextmanager
def _streams() -> Iterator[None]:
    out = io.TextIOWrapper(io.FileIO(1, "wb", closefd=False), encoding="utf-8", write_through=True)
    err = io.TextIOWrapper(io.FileIO(2, "wb", closefd=False), encoding="utf-8", write_through=True)
    with redirect_stdout(out), redirect_stderr(err):
        yield
        out.flush()
        err.flush()


def _run(command: list[str]) -> int:
    from advisor.commands.cli import main

    if command[0] == "ENV":
        from advisor.probe.hardware import Gpu
        from advisor.probe.visible import visible_devices

        gpus = [Gpu(index=n, name="NVIDIA L4", uuid=f"GPU-{n}", total_bytes=1 << 34) for n in range(3)]
        visible_devices({command[1]: command[2]}, gpus)
        return 0
    if command[0] == "REPORT":
        from tests.trainers.run_folder.test_foreign_folder import read_all

        read_all(Path(command[1]))
        return 0
    sys.argv = ["sft-advisor", *command]
    return main(command)
