"""Waiting for another process: as long as a busy machine may take, and with what was seen in the message."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_SECONDS = 400.0
"""For what takes seconds on an idle machine; less than the time limit of a test, so that this message comes first."""


def wait_until(happened: Callable[[], object], instead: Callable[[], object] = lambda: "it never happened") -> None:
    """Return once `happened` gives something true. Raises AssertionError with what `instead` gives if not."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < deadline, instead()
        time.sleep(0.01)
