"""Ask the driver in a child process that may hang or die, and always return an answer.

A kernel driver can block a call forever, and a lost card has been seen to crash the library. The child tells each
call before it makes it; when it falls silent for too long it is killed, the card it was asking is left out, and the
others are asked again. A forked child costs milliseconds; where there is no fork, a thread with a deadline does it.
"""

from __future__ import annotations

import os
import selectors
import signal
import threading
import time
import warnings
from collections.abc import Callable

import msgspec

from advisor.probe.nvml import Device, Failure, Reading, read_driver
from advisor.probe.nvml_errors import CRASHED, HUNG

CALL_LIMIT_SECONDS = 5.0
"""The longest silence: a cold driver needs 1 to 3 s for its first answer from a card."""
MAX_HUNG_CARDS = 3
_RESULT = b"="


class _StoppedError(Exception):
    """The child fell silent or died during a call."""

    def __init__(self, call: str, device: int | None, code: int) -> None:
        self.failure = Failure(call=call, code=code, device=device)


def ask_driver(limit_seconds: float = CALL_LIMIT_SECONDS) -> Callable[[], Reading]:
    """Start one walk over the driver now; the function returned waits for it and always comes back.

    It ends after at most (MAX_HUNG_CARDS + 1) x `limit_seconds` of silence. Work done in between costs nothing.
    """
    finish = _start(frozenset(), limit_seconds)
    return lambda: _answer(finish, limit_seconds)


def _answer(finish: Callable[[], Reading], limit_seconds: float) -> Reading:
    skip: dict[int, Failure] = {}
    while True:
        try:
            reading = finish()
        except _StoppedError as stop:
            device = stop.failure.device
            if device is None or device in skip or len(skip) >= MAX_HUNG_CARDS:
                known = [Device(index=index) for index in sorted({*skip, *([] if device is None else [device])})]
                return Reading(devices=known, failures=[*skip.values(), stop.failure])
            skip[device] = stop.failure
            finish = _start(frozenset(skip), limit_seconds)
        else:
            reading.failures = [skip.get(f.device, f) if f.device in skip else f for f in reading.failures]
            return reading


def _start(skip: frozenset[int], limit_seconds: float) -> Callable[[], Reading]:
    pipe: tuple[int, ...] = ()
    try:
        pipe = source, sink = os.pipe()
        child = _fork()
    except OSError:  # no fork here, or no process or file is left: ask from a thread
        for end in pipe:
            os.close(end)
        return lambda: _in_thread(skip, limit_seconds)
    if child == 0:
        _serve(source, sink, skip)
    os.close(sink)
    return lambda: _finish(child, source, limit_seconds)


def _fork() -> int:
    """os.fork(); raises OSError where there is none."""
    if not hasattr(os, "fork"):
        raise OSError("this system does not fork")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the child only calls the driver and writes to a pipe
        return os.fork()


def _finish(child: int, source: int, limit_seconds: float) -> Reading:
    try:
        return _collect(source, limit_seconds)
    finally:
        os.close(source)
        _end(child)


def _serve(source: int, sink: int, skip: frozenset[int]) -> None:
    """The child: never returns, and writes nothing but the protocol."""
    status = 1
    try:
        os.close(source)
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)  # libraries print to stdout and stderr; JSON must stay alone there
        os.dup2(silent, 2)

        def report(call: str, device: int | None) -> None:
            os.write(sink, f"{call} {'' if device is None else device}\n".encode())

        reading = read_driver(report, skip)
        content = _RESULT + msgspec.json.encode(reading) + b"\n"
        while content:
            content = content[os.write(sink, content) :]
        status = 0
    finally:
        os._exit(status)


def _collect(source: int, limit_seconds: float) -> Reading:
    """Read the child's messages up to its result. Raises _StoppedError when it falls silent or dies."""
    buffer = b""
    last: tuple[str, int | None] = ("nvmlInit", None)
    with selectors.DefaultSelector() as selector:
        selector.register(source, selectors.EVENT_READ)
        while True:
            if not selector.select(limit_seconds):
                raise _StoppedError(*last, HUNG)
            chunk = os.read(source, 65536)
            if not chunk:
                raise _StoppedError(*last, CRASHED)
            *lines, buffer = (buffer + chunk).split(b"\n")
            for line in lines:
                if line.startswith(_RESULT):
                    return msgspec.json.decode(line[1:], type=Reading)
                call, _, device = line.decode().partition(" ")
                last = (call, int(device) if device else None)


def _end(child: int) -> None:
    """Kill the child if it still runs. A child that hangs in the kernel cannot be waited for."""
    for _ in range(20):
        try:
            if os.waitpid(child, os.WNOHANG)[0]:
                return
            os.kill(child, signal.SIGKILL)
        except (ChildProcessError, ProcessLookupError):
            return
        time.sleep(0.005)


def _in_thread(skip: frozenset[int], limit_seconds: float) -> Reading:
    """Without fork (Windows): a thread that is left behind when it does not come back."""
    last: list[tuple[str, int | None, float]] = [("nvmlInit", None, time.monotonic())]
    results: list[Reading] = []

    def report(call: str, device: int | None) -> None:
        last[0] = (call, device, time.monotonic())

    thread = threading.Thread(target=lambda: results.append(read_driver(report, skip)), daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.02)
        call, device, since = last[0]
        if time.monotonic() - since > limit_seconds:
            raise _StoppedError(call, device, HUNG)
    if not results:
        raise _StoppedError(last[0][0], last[0][1], CRASHED)
    return results[0]
