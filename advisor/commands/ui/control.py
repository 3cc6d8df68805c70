"""Runs that the page starts: commands in sessions of their own, which go on when the page is closed or killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.base.errors import InputError, Problem
from advisor.base.language import tr
from advisor.commands.ui.rooms import LAUNCH_LOG
from trainers.python import child_environment, module_command
from trainers.run_folder import layout
from trainers.run_folder.lock import holder_of, is_held

if TYPE_CHECKING:
    from advisor.report.page.runs import Phase

LOOK_SECONDS = 1.0
"""Between two looks at a run that is watched."""
WATCHED = (layout.RUN, layout.METRICS, layout.TRAIN_LOG, LAUNCH_LOG)
MOST_QUESTION, MOST_WRONG = 20_000, 2_000
"""Characters of a question, and of what went wrong."""


class Control:
    """Starts, stops and follows runs."""

    def __init__(self) -> None:
        self._started: dict[Path, subprocess.Popen[bytes]] = {}
        self._trained: set[Path] = set()
        """Runs of which it was seen that they train, since they were started."""
        self._talking = asyncio.Semaphore(1)

    def start(self, run_dir: Path, command: Sequence[str]) -> None:
        """`sft-advisor COMMAND` in a session of its own; what it says goes into the run folder."""
        self._trained.discard(run_dir.resolve())
        with (run_dir / LAUNCH_LOG).open("ab") as log:
            self._started[run_dir.resolve()] = subprocess.Popen(
                _own(command),
                env=child_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def phase(self, run_dir: Path) -> Phase:
        """What its command does while nothing trains; "" while it trains, or once the command is over."""
        place = run_dir.resolve()
        process = self._started.get(place)
        if is_held(run_dir):
            self._trained.add(place)
            return ""
        if process is None or process.poll() is not None:
            return ""
        return "ending" if place in self._trained else "starting"

    def stop(self, run_dir: Path) -> None:
        """Ask the run to save a checkpoint and stop. Raises InputError where nothing runs."""
        process = self._started.get(run_dir.resolve())
        holder = holder_of(run_dir) or (process.pid if process is not None and process.poll() is None else None)
        if holder is None:
            raise InputError(Problem(what=tr("nothing runs in {folder}", folder=run_dir)))
        os.kill(holder, signal.SIGTERM)

    async def ask(self, run_dir: Path, question: str) -> AsyncIterator[str]:
        """What base and tuned model answer, a line of JSON for each piece: who says it and what, or what is `wrong`.

        One question at a time, for both models are loaded for it. Whoever stops listening ends it.
        """
        command = module_command(
            "trainers.training.chat", str(run_dir), f"--ask={question[:MOST_QUESTION]}", "--pieces"
        )
        async with self._talking:
            with tempfile.TemporaryFile() as wrong:
                child = await asyncio.create_subprocess_exec(
                    *command, env=child_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=wrong
                )
                if child.stdout is None:
                    raise AssertionError("a child without the pipe that was asked for")
                try:
                    async for line in child.stdout:
                        yield line.decode()
                    if await child.wait() != 0:
                        wrong.seek(0)
                        said = wrong.read().decode(errors="replace").strip()[-MOST_WRONG:]
                        yield json.dumps({"wrong": said}) + "\n"
                finally:
                    if child.returncode is None:
                        child.kill()
                        await asyncio.shield(child.wait())

    async def changes(self, run_dir: Path) -> AsyncIterator[bool]:
        """Whether the run goes on: once at the beginning, and then each time that something has changed."""
        before: object = None
        while True:
            goes_on = is_held(run_dir) or self.phase(run_dir) != ""
            now = (goes_on, self.phase(run_dir), *(_stamp(run_dir / name) for name in WATCHED))
            if now != before:
                yield goes_on
            if not goes_on:
                return
            before = now
            await asyncio.sleep(LOOK_SECONDS)


def _own(words: Sequence[str]) -> list[str]:
    return [*module_command("advisor", *words)]


def _stamp(file: Path) -> tuple[int, int]:
    try:
        found = file.stat()
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_size)
