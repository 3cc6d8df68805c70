"""How a training process ends: always, also where it is one of several that talk over gloo."""

from __future__ import annotations

import atexit
import logging
import os
import sys
from typing import NoReturn

from trainers.training.ranks import in_group


def leave_group() -> None:
    """Give a group of processes back where that is safe: one that NCCL alone serves.

    A group that gloo serves joins its threads when it is destroyed, and holds Python's lock while it waits. A thread
    that is just dropping its last finished collective needs that lock, and neither ever ends: 6 of 200 pairs of
    processes with torch 2.13 on two busy cores (https://github.com/pytorch/pytorch/issues/56297). Such a group is
    kept, and ends with its process.
    """
    from torch import distributed

    if in_group() and "gloo" not in _backends():
        distributed.destroy_process_group()


def end_process(code: int) -> NoReturn:
    """End this process with a code, its exit functions run and all that it printed written.

    In a group the interpreter is not taken down, which would destroy the group that `leave_group` kept. What a full
    disk does not hold of the last words is dropped, or Python would end with 120 for it.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    if not in_group():
        sys.exit(code)
    atexit._run_exitfuncs()
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def _backends() -> str:
    """What serves the group, such as `nccl`, or `cpu:gloo,cuda:nccl`."""
    from torch import distributed

    return f"{distributed.get_backend()} {distributed.get_backend_config()}"
