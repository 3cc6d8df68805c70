"""The guard against what a test leaves behind sees each kind of it."""

from __future__ import annotations

import functools
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import settings

from rules import engine
from tests.leftovers import changed, left_behind, patched, standing


@pytest.fixture
def undo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Whatever a case does by itself is known to monkeypatch first, which puts it back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging.root, "level", logging.root.level)
    monkeypatch.setenv("A_VARIABLE", "x")
    monkeypatch.syspath_prepend(tmp_path / "first")
    return monkeypatch


CHANGES: dict[str, Callable[[Path], object]] = {
    "A_VARIABLE": lambda _: os.environ.__setitem__("A_VARIABLE", "y"),
    "working folder": lambda folder: os.chdir(folder.parent),
    "sys.path": lambda _: sys.path.append("somewhere"),
    "logging": lambda _: logging.root.setLevel(logging.CRITICAL + 1),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_stands_otherwise_is_named(undo: pytest.MonkeyPatch, tmp_path: Path, what: str) -> None:
    before = standing()
    assert changed(before, standing()) == []
    CHANGES[what](tmp_path)
    [line] = changed(before, standing())
    assert line.startswith(f"{what}: ")


def test_a_signal_a_thread_and_a_profile_are_seen() -> None:
    before, ends = standing(), threading.Event()
    thread = threading.Thread(target=ends.wait, name="of this test")
    handler, profile = signal.getsignal(signal.SIGHUP), settings.get_current_profile_name()
    try:
        thread.start()
        # under nohup it is ignored already
        signal.signal(signal.SIGHUP, signal.SIG_DFL if handler == signal.SIG_IGN else signal.SIG_IGN)
        settings.load_profile("explore" if profile != "explore" else "fixed")
        seen = [line.partition(":")[0] for line in changed(before, standing())]
    finally:
        signal.signal(signal.SIGHUP, handler)
        settings.load_profile(profile)
        ends.set()
        thread.join()
    assert seen == ["hypothesis", "signal handlers", "threads"]


def test_a_thread_that_is_about_to_end_is_waited_for() -> None:
    before = standing()
    pool = ThreadPoolExecutor(1)
    pool.submit(time.sleep, 0.2)
    pool.shutdown(wait=False)
    assert changed(before, standing())
    assert left_behind(before) == []
    before["threads"] |= {"gone since"}
    assert changed(before, standing()) == []


def test_a_pool_that_nobody_holds_any_more_is_collected() -> None:
    class Holder:
        """In a circle, so that only the collector frees it."""

    before, holder = standing(), Holder()
    holder.self, holder.pool = holder, ThreadPoolExecutor(1)  # type: ignore[attr-defined]
    holder.pool.submit(int)  # type: ignore[attr-defined]
    del holder
    assert left_behind(before) == []


def test_a_function_of_the_tests_in_a_module_of_ours_is_a_patch_whatever_it_calls_itself() -> None:
    original = engine.load_rule_book

    @functools.wraps(original)
    def stand_in(*_: object) -> None:
        return None

    assert not [name for name in patched() if name.startswith("rules.engine")]
    engine.load_rule_book = stand_in  # type: ignore[assignment]
    try:
        assert "rules.engine.load_rule_book" in set(patched())
    finally:
        engine.load_rule_book = original
