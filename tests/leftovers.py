"""What a test could leave changed in its process, where the next test would find it."""

from __future__ import annotations

import contextlib
import gc
import locale
import logging
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

OURS = ("advisor", "rules", "trainers", "tests")
PATCHABLE = (*OURS[:3], "trl", "peft", "bitsandbytes", "accelerate", "huggingface_hub")
"""Packages in whose modules a function of someone else is a patch that was never taken back."""
LIMITS = (resource.RLIMIT_AS, resource.RLIMIT_DATA, resource.RLIMIT_FSIZE)
SECONDS_TO_END = 20.0
"""How long a thread may take to end after its test; one that takes longer waits for something that never comes."""
OF_OTHERS = (
    b"PYTEST_CURRENT_TEST",
    b"_RJEM_MALLOC_CONF",
    b"TORCHINDUCTOR_CACHE_DIR",
    b"KMP_DUPLICATE_LIB_OK",
    b"KMP_INIT_AT_FORK",
)
"""Variables that pytest sets for each test, and polars, torch and scikit-learn for themselves when imported."""


def _folder() -> str:
    with contextlib.suppress(FileNotFoundError):
        return os.getcwd()  # noqa: PTH109 - Path.cwd() takes ten times as long
    return "a folder that is gone"


STATES: dict[str, Callable[[], Any]] = {
    "working folder": _folder,
    "sys.path": lambda: tuple(sys.path),
    "signal handlers": lambda: tuple(map(signal.getsignal, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))),
    "limits": lambda: tuple(map(resource.getrlimit, LIMITS)),
    "logging": lambda: (logging.root.level, logging.root.manager.disable),
    "locale": lambda: locale.setlocale(locale.LC_ALL),
    "time zone": lambda: time.tzname,
    "standard streams": lambda: (sys.__stdin__, sys.__stdout__, sys.__stderr__),
    "threads": lambda: frozenset(thread.name for thread in threading.enumerate() if not thread.daemon),
}
"""Name -> how it stands now. Each is read twice a test, so each takes microseconds."""
STATES_OF_LIBRARIES: dict[str, Callable[[Any], Any]] = {
    "torch": lambda torch: (
        torch.get_default_dtype(),
        torch.get_num_threads(),
        torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(),
    ),
    "transformers": lambda transformers: (
        transformers.utils.logging.get_verbosity(),
        transformers.utils.logging.is_progress_bar_enabled(),
    ),
    "hypothesis": lambda hypothesis: hypothesis.settings.get_current_profile_name(),
}
"""Package -> how it stands, once something has imported it."""


def standing() -> dict[str, Any]:
    """How everything stands that a test may change for a while."""
    now = {name: read() for name, read in STATES.items()}
    for package, read_library in STATES_OF_LIBRARIES.items():
        if package in sys.modules:
            now[package] = read_library(sys.modules[package])
    # os.environ decodes each name and value anew; a copy of what it holds takes a hundredth of the time
    environment = os.environ._data.copy()  # type: ignore[attr-defined]
    for name in OF_OTHERS:
        environment.pop(name, None)
    return now | {"environment": environment}


def left_behind(before: dict[str, Any]) -> list[str]:
    """What stands otherwise than before, a line each; threads that are about to end are waited for.

    A library's pool of threads that nobody holds any more ends by itself: some milliseconds after it was freed,
    later on a busy machine, and not before the collector came by where it stood in a circle.
    """
    left = changed(before, standing())
    until = time.monotonic() + SECONDS_TO_END
    while any(line.startswith("threads: ") for line in left) and time.monotonic() < until:
        gc.collect()
        time.sleep(0.05)
        left = changed(before, standing())
    return left


def changed(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """A line for each thing that stands otherwise; of the environment, the variables; threads only when more."""
    lines = []
    for name in before.keys() & now.keys():
        old, new = before[name], now[name]
        if old != new and name == "environment":
            names = {variable for variable, _ in old.items() ^ new.items()}
            lines += [f"{variable.decode()}: {old.get(variable)} -> {new.get(variable)}" for variable in names]
        elif name == "threads":
            lines += [f"threads: {sorted(new - old)}"] * bool(new - old)
        elif old != new:
            lines.append(f"{name}: {old} -> {new}")
    return sorted(lines)


def patched() -> Iterator[str]:
    """Functions of ours in the place of a library's, and of the tests in ours: patches that nobody took back."""
    for name, module in list(sys.modules.items()):
        package = name.partition(".")[0]
        if package not in PATCHABLE:
            continue
        strangers = ("tests",) if package in OURS else OURS
        for attribute, value in list(vars(module).items()):
            if _home(value) in strangers:
                yield f"{name}.{attribute}"
            elif isinstance(value, type) and value.__module__ == name:
                yield from (
                    f"{name}.{attribute}.{inner}" for inner, held in vars(value).items() if _home(held) in strangers
                )


def _home(value: object) -> str:
    """The package whose code a function runs; functools.wraps changes its name but not this."""
    return value.__globals__.get("__name__", "").partition(".")[0] if isinstance(value, FunctionType) else ""
