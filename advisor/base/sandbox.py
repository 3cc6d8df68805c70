"""What strangers made is read in a child process from which nothing comes back but data of a stated type.

    verdict = sandboxed(DataVerdict, lambda: check_dataset("chats.jsonl"))

The child is a fork, so it costs milliseconds. It may fetch what a hub name stands for; from `lock_down` on, which is
called before the first foreign byte is read, it has (`trainers/foreign/lock.py`)

    no network and no other program     seccomp, Landlock
    nothing that it can write           Landlock; RLIMIT_FSIZE where it has nowhere to write
    no more work than its files need    RLIMIT_CPU; memory is bounded where files are read
    no waiting for itself               ended when all its threads wait for each other: a native reader that ran out
                                        of memory may leave a lock behind

Landlock and seccomp are Linux's, and a kernel or container may lack either: then the limits remain, and `doctor` says
so. Where a process cannot be forked safely (other systems, native threads that run already) the work is done in it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from advisor.base.errors import AdvisorError, InputError, MachineError, Problem, panic
from advisor.base.language import tr
from trainers.foreign import lock
from trainers.foreign.limits import WORK_SECONDS, work_seconds

T = TypeVar("T")
_LOCKED = b"."
"""What a child says first once it is locked: it waits for no network from here on."""
_LOOK_SECONDS, _LOOKS = 2.0, 5
"""How often, and how many times in a row, all its threads must be found waiting for each other."""
_ASLEEP = ("futex", "do_epoll_wait", "ep_poll")
"""Where the kernel says that a thread waits for another, or an event loop without a network for what never comes."""
LARGEST_ANSWER_BYTES = 256 << 20
"""What is taken from a child that may no longer be what it was."""


class SandboxError(Exception):
    """The child met a case that it was not written for; its traceback is a note of this error."""


class _Failed(msgspec.Struct, frozen=True):
    """An exception of the child, without its class: nothing that is called comes out of a child."""

    kind: Literal["input", "machine", "memory", "depth", "system", "package", "bug"]
    problems: tuple[Problem, ...] = ()
    what: str = ""
    number: int = 0
    place: str = ""
    trace: str = ""


class _Child:
    """Whether this process is such a child, and where it may write."""

    writes: tuple[Path, ...] | None = None
    sink = -1
    is_locked = False


def sandboxed(kind: type[T], work: Callable[[], T], *, writes: tuple[Path, ...] = ()) -> T:
    """What `work` returns, which is of type `kind` and made of msgspec's; `writes` are folders that it may write to.

    Raises InputError and MachineError as `work` does, and InputError where the child was ended by a limit or by a
    fault of a native reader.
    """
    if not _forks_safely() or _Child.writes is not None:
        return work()
    source, sink = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads of Python alone, and none holds a lock for long
        child = os.fork()
    if child == 0:
        os.close(source)
        _serve(sink, work, writes)
    os.close(sink)
    try:
        said = _all_of(source, child)
    finally:
        os.close(source)
        _, status = os.waitpid(child, 0)
    return _understood(kind, said, os.waitstatus_to_exitcode(status))


def lock_down(file_bytes: int) -> None:
    """In a child, before it reads `file_bytes` of what strangers made: what it does not need is given up for good.

    In any other process nothing happens.
    """
    if _Child.writes is None or _Child.is_locked:
        return
    import resource

    _Child.is_locked = True
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)  # a native reader that fails prints what the file made it print
    os.dup2(silent, 2)
    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_CPU: work_seconds(file_bytes)}
    if not _Child.writes:
        limits[resource.RLIMIT_FSIZE] = 0
    lock.give_up(lock.READER, reads=["/"], writes=_Child.writes, limits=limits)
    os.write(_Child.sink, _LOCKED)


def what_holds() -> tuple[str, ...]:
    """What bounds such a child on this machine, in words for `doctor`."""
    if not _forks_safely():
        return ()
    return (tr("a process of its own"), *lock.holds())


def _forks_safely() -> bool:
    """Whether a fork of this process can work on: on Linux, when no thread of a native library runs in it."""
    if sys.platform != "linux":
        return False
    try:
        threads = len(list(Path("/proc/self/task").iterdir()))
    except OSError:
        return False
    return threads <= threading.active_count()


def _serve(sink: int, work: Callable[[], T], writes: tuple[Path, ...]) -> None:
    """The child: never returns."""
    code = 1
    try:
        _Child.writes, _Child.sink = writes, sink
        with contextlib.suppress(AttributeError, OSError):
            end_with_parent()
        answer = _answer(work)
        while answer:
            answer = answer[os.write(sink, answer) :]
        code = 0
    except KeyboardInterrupt:
        code = 130
    finally:
        os._exit(code)


def end_with_parent() -> None:
    """Ask the kernel to end this process when its parent ends. Linux alone: elsewhere AttributeError or OSError."""
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _answer(work: Callable[[], T]) -> bytes:
    try:
        return b"=" + _encoded(work())
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  handed to the parent
        return b"!" + msgspec.msgpack.encode(_failed(error))


def _encoded(value: object) -> bytes:
    """MessagePack, in which an integer beyond 64 bits, which a row of JSON may hold, goes as its digits."""
    try:
        return msgspec.msgpack.encode(value)
    except OverflowError:
        return msgspec.msgpack.encode(_with_digits(msgspec.to_builtins(value, builtin_types=(bytes,))))


def _with_digits(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_digits(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_with_digits(one) for one in value]
    return str(value) if type(value) is int and not -(2**63) <= value < 2**64 else value


def _failed(error: BaseException) -> _Failed:
    problems = error.problems if isinstance(error, AdvisorError) else tuple(filter(None, [panic(error)]))
    if problems:
        return _Failed("machine" if isinstance(error, MachineError) else "input", problems=problems)
    place = traceback.extract_tb(error.__traceback__)[-1]
    where, said = tr("{name}, line {lineno}", name=place.name, lineno=place.lineno), str(error)[:2000]
    if isinstance(error, MemoryError):
        return _Failed("memory")
    if isinstance(error, RecursionError):
        return _Failed("depth", what=said)
    if isinstance(error, OSError) and error.errno:
        return _Failed("system", what=str(error.filename or ""), number=error.errno)
    if isinstance(error, ModuleNotFoundError) and error.name:
        return _Failed("package", what=error.name)
    trace = "".join(traceback.format_exception(error))[-20_000:]
    return _Failed("bug", what=f"{type(error).__name__}: {said}", place=where, trace=trace)


def _all_of(source: int, child: int) -> bytearray:
    """What the child says, and nothing of one that says too much; locked, it may not stand still."""
    said, still = bytearray(), 0
    while True:
        ready, _, _ = select.select([source], [], [], _LOOK_SECONDS)
        if ready:
            piece = os.read(source, 1 << 16)
            if not piece:
                return said.removeprefix(_LOCKED)
            said += piece
            if len(said) > LARGEST_ANSWER_BYTES:
                return bytearray()
        still = still + 1 if not ready and said == _LOCKED and waits_for_itself(child) else 0
        if still >= _LOOKS:
            os.kill(child, signal.SIGABRT)
            still = 0


def waits_for_itself(process: int) -> bool:
    """Whether every thread of a process sleeps until another wakes it; False where the kernel does not say."""
    try:
        threads = list(Path(f"/proc/{process}/task").iterdir())
        return bool(threads) and all((thread / "wchan").read_text().startswith(_ASLEEP) for thread in threads)
    except OSError:
        return False


def _understood(kind: type[T], said: bytearray, code: int) -> T:
    if code == 130:
        raise KeyboardInterrupt
    try:
        if code == 0 and said[:1] == b"=":
            return msgspec.msgpack.decode(memoryview(said)[1:], type=kind)
        if code == 0 and said[:1] == b"!":
            raise _raised(msgspec.msgpack.decode(memoryview(said)[1:], type=_Failed))
    except msgspec.MsgspecError as error:
        raise SandboxError(
            tr("an answer that is none of {name}: {error}", name=kind.__name__, error=error)
        ) from error
    raise InputError(_ended(code))


def _raised(failed: _Failed) -> BaseException:
    """The exception of the child, as this process would have raised it."""
    usual: dict[str, Callable[[], BaseException]] = {
        "input": lambda: InputError(*failed.problems),
        "machine": lambda: MachineError(*failed.problems),
        "memory": MemoryError,
        "depth": lambda: RecursionError(failed.what),
        "system": lambda: OSError(failed.number, os.strerror(failed.number), failed.what or None),
        "package": lambda: ModuleNotFoundError(f"No module named {failed.what!r}", name=failed.what),
    }
    if failed.kind in usual:
        return usual[failed.kind]()
    error = SandboxError(f"{failed.what} in {failed.place}")
    error.add_note(failed.trace)
    return error


def _ended(code: int) -> Problem:
    """Why a child ended without an answer."""
    if -code == signal.SIGXCPU:
        what, why = (
            tr("a file takes too long to be read"),
            tr("a file of its size needs far less than {work_seconds} s", work_seconds=WORK_SECONDS),
        )
    elif -code == signal.SIGKILL:
        what, why = tr("a file takes too much memory to be read"), tr("the system ended the process that read it")
    else:
        name = signal.Signals(-code).name if code < 0 else tr("exit code {code}", code=code)
        what = tr("a file stops the library that reads it ({name})", name=name)
        why = tr("it is damaged, or made to do that; it was read in a process of its own and harmed nothing")
    return Problem(
        what=what,
        why=why,
        fix=tr("leave out the file that you trust least; `sft-advisor doctor vet` looks at one alone"),
    )
