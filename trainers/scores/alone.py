"""A program that only computes: `python -m trainers.scores.alone`, the word to print and then the program on stdin.

The word is printed when the program came to its end. Before its first line runs, this process has given up network,
other programs, all files but Python's own, and more than the stated time and memory.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from trainers.foreign import lock

SECONDS = 5
MEMORY_BYTES = 512 << 20
MOST_FILES = 32


def main() -> None:
    """Read, lock, run, say so."""
    passed, _, program = sys.stdin.buffer.read().decode().partition("\n")
    _lock_down()
    exec(compile(program, "<answer>", "exec"), {"__name__": "__main__"})
    print(passed)


def _lock_down() -> None:
    import resource  # not on every system

    lock.give_up(
        lock.PROGRAM,
        reads={sys.prefix, sys.base_prefix, Path(os.__file__).parent},
        limits={
            resource.RLIMIT_CPU: SECONDS,
            resource.RLIMIT_AS: MEMORY_BYTES,
            resource.RLIMIT_FSIZE: 0,
            resource.RLIMIT_NOFILE: MOST_FILES,
            resource.RLIMIT_CORE: 0,
        },
    )
    sys.path[:] = [place for place in sys.path if place.startswith(sys.base_prefix) and "-packages" not in place]


if __name__ == "__main__":
    main()
