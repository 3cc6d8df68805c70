"""Processes that work answers out: the server goes on listening, and a hostile file holds up or ends one of them."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any, NamedTuple, ParamSpec, TypeVar

from advisor.base.language import tr
from advisor.commands.ui import desk

P = ParamSpec("P")
T = TypeVar("T")


class Overtaken(Exception):  # noqa: N818  told to nobody: the tab has asked for something else since
    """A newer request of the same tab has come before this one began."""


class Failed(Exception):  # noqa: N818  told to the person as it is
    """The work could not be done; the text says what, why and what to do."""


class _Wrong(NamedTuple):
    """How work failed, in words: an exception of ours does not survive the way between processes."""

    said: str


def _carried_out(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | _Wrong:
    """In a worker: the result, or in words what went wrong."""
    from advisor.commands.failures import explain_failure

    try:
        return work(*args, **kwargs)
    except Exception as error:  # noqa: BLE001  a bug, too, is told and costs no other page anything
        return _Wrong("\n".join(explain_failure(error)[0]))


class Workers:
    """Some processes that take one piece of work each, in the order in which it comes."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._pool = self._new()
        self._newest: dict[str, Future[Any]] = {}

    def _new(self) -> ProcessPoolExecutor:
        # a fresh interpreter: a fork of a process with threads may hold a lock that nobody releases
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._number, mp_context=context, initializer=desk.prepare)

    def warm(self, work: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Have every process begin, with something that a first request will need; nothing is waited for."""
        for _ in range(self._number):
            self._pool.submit(work, *args, **kwargs)

    async def ask(self, tab: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of `work`. Of a tab only the newest request counts: raises Overtaken for one before it.

        Raises Failed where it could not be done. A process that dies over its work, as a hostile file may bring
        about, costs that work and no other: the next request finds new processes.
        """
        if (before := self._newest.pop(tab, None)) is not None:
            before.cancel()
        carry_out: Callable[[], T | _Wrong] = partial(_carried_out, work, *args, **kwargs)
        try:
            future = self._pool.submit(carry_out)
        except BrokenProcessPool:
            self._pool = self._new()
            future = self._pool.submit(carry_out)
        if tab:
            self._newest[tab] = future
        try:
            done = await asyncio.wrap_future(future)
        except BrokenProcessPool as error:
            raise Failed(
                tr("the process that worked on this has ended; a file that it read may be damaged")
            ) from error
        except asyncio.CancelledError:
            if future.cancelled():
                raise Overtaken from None
            raise
        finally:
            if self._newest.get(tab) is future:
                del self._newest[tab]
        if isinstance(done, _Wrong):
            raise Failed(done.said)
        return done

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown(wait=True, cancel_futures=True)
