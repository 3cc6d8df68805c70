"""Processes that work answers out: the server goes on listening, and a hostile file holds up or ends one of them."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, ParamSpec, TypeVar

from advisor.commands.ui import desk

P = ParamSpec("P")
T = TypeVar("T")


class Overtaken(Exception):  # noqa: N818  told to nobody: the tab has asked for something else since
    """A newer request of the same tab has come before this one began."""


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

        A process that dies over its work, as a hostile file may bring about, costs that work and no other: raises
        BrokenProcessPool, and the next request finds new processes.
        """
        if (before := self._newest.pop(tab, None)) is not None:
            before.cancel()
        try:
            future = self._pool.submit(work, *args, **kwargs)
        except BrokenProcessPool:
            self._pool = self._new()
            future = self._pool.submit(work, *args, **kwargs)
        if tab:
            self._newest[tab] = future
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if future.cancelled():
                raise Overtaken from None
            raise
        finally:
            if self._newest.get(tab) is future:
                del self._newest[tab]

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown(wait=True, cancel_futures=True)
