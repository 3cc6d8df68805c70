"""How much memory and time what came from outside may take while it is read, whatever it is.

    with bounded_memory(): ...     a MemoryError instead of the machine's last byte
        allow(file_bytes)          inside of it: a large file may take more than a small one
    with bounded_time(2): ...      OutOfTime instead of a template that never ends

The bounds of single numbers (blocks, keys, entries) stand where those are read. These two are the net below: they
hold on Linux, in the main thread, and do nothing elsewhere.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from trainers.foreign.text import whole_number

READING_BYTES = 1536 << 20
"""Beyond what the process holds already; the largest tokenizer with a thousand long rows takes a quarter of it."""
TIMES_GIVEN = 12
"""What a file of JSON takes in Python's objects, times its size: a large file is asked for, a small one is not."""
THREAD_BYTES = 8 << 20
"""Stack that the kernel counts for each thread of a native reader."""
TEMPLATE_SECONDS = 2.0
"""One conversation through a chat template takes a millisecond."""
TEMPLATE_MEAN_SECONDS = 0.02
"""What many conversations may take on average, beside the first TEMPLATE_SECONDS."""

MOST_UNPACKED_BYTES = 1 << 30
MOST_TIMES_UNPACKED = 100
"""A file that holds more than both was made to fill a machine; examples take 3 to 50 times their packed size, and
rows that are all the same up to a thousand times, but no gigabyte of them is of use."""

WORK_SECONDS = 60
"""Seconds of one processor that the reading of a small file may take; it takes a tenth of one."""
WORK_BYTES_PER_SECOND = 100_000
"""Large files may take longer: a tenth of the slowest reading that was measured."""


def unpacked_limit_bytes(packed_bytes: int) -> int:
    """How much a file of this size may hold once it is unpacked."""
    return max(MOST_UNPACKED_BYTES, packed_bytes * MOST_TIMES_UNPACKED)


def is_weighed_first(packed_bytes: int) -> bool:
    """Whether a file is so small that it is unpacked once to be weighed before it is read: some seconds at most."""
    return packed_bytes * MOST_TIMES_UNPACKED <= MOST_UNPACKED_BYTES


def work_seconds(file_bytes: int) -> int:
    """Seconds of work, over all processors, that reading files of this size may take."""
    return (WORK_SECONDS + file_bytes // WORK_BYTES_PER_SECOND) * max(1, (os.cpu_count() or 1) // 4)


class OutOfTime(Exception):  # noqa: N818  names what happened
    """What was read did not come to an end in time."""


@contextmanager
def bounded_memory() -> Iterator[None]:
    """While entered: the process may take READING_BYTES more than it holds. What asks for more gets a MemoryError."""
    held = data_bytes()
    if held is None:
        yield
        return
    import resource

    before, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = held + READING_BYTES + THREAD_BYTES * (os.cpu_count() or 1)
    limits = [limit for limit in (before, hard, wanted) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min(limits), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, hard))


def allow(file_bytes: int) -> None:
    """Let the memory bound that is entered grow with the size of a file; without one nothing happens."""
    if data_bytes() is None:
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if soft != resource.RLIM_INFINITY:
        more = soft + TIMES_GIVEN * file_bytes
        resource.setrlimit(resource.RLIMIT_DATA, (more if hard == resource.RLIM_INFINITY else min(more, hard), hard))


@contextmanager
def bounded_time(seconds: float) -> Iterator[None]:
    """While entered: OutOfTime is raised after so many seconds of this process's work. Not nested; main thread only.

    Work is counted, not the clock: on a machine that is busy with others nothing ends early.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGVTALRM) is _ended:
        yield
        return
    before = signal.signal(signal.SIGVTALRM, _ended)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _ended(_number: int, _frame: FrameType | None) -> None:
    raise OutOfTime


def data_bytes() -> int | None:
    """What counts against RLIMIT_DATA now; None where the system has no such figure."""
    if sys.platform != "linux":
        return None
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    found = next((line.split()[1] for line in lines if line.startswith("VmData:")), None)
    kib = whole_number(found or "")
    return None if kib is None else kib * 1024
