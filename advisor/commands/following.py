"""What launch, train and resume share: the run folder, and following a run as it happens."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advisor.base.errors import InputError, Problem
from advisor.base.language import tr
from advisor.commands.output import echo, remark
from trainers.run_folder import layout

if TYPE_CHECKING:
    from rich.progress import Progress

    from trainers.plan import TrainingPlan

POLL_SECONDS = 0.5
SILENCE_SECONDS = 30.0
"""Without a line where output is no terminal, after which one says that the run goes on, and where it is."""


def new_run_dir(plan: TrainingPlan) -> Path:
    """A folder of its own under the plan's output folder: model, method and time in its name."""
    model = re.sub(r"[^A-Za-z0-9.]+", "-", plan.model.name.rstrip("/").rpartition("/")[2]).strip("-") or "model"
    return Path(plan.output_dir) / f"{model}-{plan.method}-{time.strftime('%Y%m%d-%H%M%S')}"


def require_one_run(run_dir: Path, command: str) -> None:
    """Raise InputError for a folder that is no run, or one of several tasks, each of which is a run of its own."""
    tasks = sorted(plan.parent for plan in (run_dir / layout.TASKS).glob(f"*/{layout.PLAN}"))
    if tasks and not (run_dir / layout.PLAN).exists():
        go_on = tr(", or the same multitask command again, which continues with what is left")
        raise InputError(
            Problem(
                what=tr(
                    "{run_dir} holds the runs of several tasks: {tasks}",
                    run_dir=run_dir,
                    tasks=", ".join(task.name for task in tasks),
                ),
                why=tr("{command} takes one of them", command=command),
                fix=f"sft-advisor {command} {tasks[0]}" + (go_on if command == "runs resume" else ""),
            )
        )
    if not (run_dir / layout.PLAN).is_file():
        raise InputError(
            Problem(
                what=tr("{run_dir} is no run folder", run_dir=run_dir),
                why=tr("it holds no {plan}", plan=layout.PLAN),
                fix="sft-advisor runs list",
            )
        )


def watch(run_dir: Path, carry_out: Callable[..., int]) -> int:
    """Carry out a run (`carry_out(echo=..., on_event=...)`) and show how it goes. Return its exit code."""
    from trainers.run_folder.record import is_finished

    had_finished = is_finished(run_dir)
    live = sys.stderr.isatty()
    with LiveBar(run_dir) if live else PlainLog(run_dir) as shown:
        code = carry_out(echo=shown.echo, on_event=shown.event)
    if code == 0 and not had_finished:
        _learn_from(run_dir)
    remark(tr("run folder: {run_dir}", run_dir=run_dir))
    return code


def _learn_from(run_dir: Path) -> None:
    """Put the measured peak beside the predicted one, so that the next estimate for this device is better."""
    from advisor.base.errors import AdvisorError
    from advisor.decide.pace import card_of
    from advisor.estimate.ledger import Speed, record_run
    from advisor.probe import probe

    machine = probe()
    gpus, host = machine.usable_gpus, machine.host
    speed = Speed(card_of(gpus[0]) if gpus else None, host.cpu_cores, host.measured)
    try:
        entry = record_run(run_dir, gpu_name=gpus[0].name if gpus else None, speed=speed)
    except (AdvisorError, OSError) as error:
        remark(tr("note: the measured peak is not kept for later estimates: {error}", error=error))
        return
    if entry is not None:
        from trainers.amounts import size

        remark(
            tr(
                "peak memory: {measured_bytes} measured, {predicted_bytes} predicted",
                measured_bytes=size(entry.measured_bytes),
                predicted_bytes=size(entry.predicted_bytes),
            )
        )
        if entry.measured_rate and entry.predicted_rate:
            rates = {"measured": f"{entry.measured_rate:,.0f}", "predicted": f"{entry.predicted_rate:,.0f}"}
            remark(tr("speed: {measured} tokens/s measured, {predicted} predicted", **rates))


class PlainLog:
    """What the training process prints, passed on as it comes; a sign of life where it prints nothing for long."""

    def __init__(self, run_dir: Path, silence_seconds: float = SILENCE_SECONDS) -> None:
        self.run_dir, self.silence_seconds = run_dir, silence_seconds
        self.began = self.last_heard = time.monotonic()
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> PlainLog:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.thread.join()

    def echo(self, piece: bytes) -> None:
        """A piece of the log."""
        self.last_heard = time.monotonic()
        echo(piece)

    def event(self, event: dict[str, Any]) -> None:
        """A decision of the supervisor."""
        if event.get("said"):
            self.last_heard = time.monotonic()
            remark(str(event["said"]))

    def _listen(self) -> None:
        while not self.ended.wait(min(POLL_SECONDS, self.silence_seconds)):
            if time.monotonic() - self.last_heard >= self.silence_seconds:
                self.last_heard = time.monotonic()
                remark(self._sign_of_life())

    def _sign_of_life(self) -> str:
        from trainers.amounts import clock
        from trainers.run_folder.record import read_record

        phase = str(read_record(self.run_dir / layout.RUN).get("phase") or "starting").replace("_", " ")
        return tr(
            "still running: {phase}, {clock} since the start", phase=phase, clock=clock(time.monotonic() - self.began)
        )


class LiveBar:
    """One bar with loss, speed, memory and time left, read from the run's metrics; the log stands above it."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.progress = _progress()
        self.task = self.progress.add_task("starting", total=None, figures="")
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._follow, daemon=True)
        self.rest = b""

    def __enter__(self) -> LiveBar:
        self.progress.start()
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.thread.join()
        self.update()
        self.progress.stop()

    def echo(self, piece: bytes) -> None:
        """Whole lines above the bar, without the progress lines that the bar replaces."""
        *lines, self.rest = (self.rest + piece).split(b"\n")
        for line in lines:
            text = line.decode(errors="replace").rpartition("\r")[2].rstrip()
            if text and not re.match(r"step \d+/\d+  loss", text):
                self.progress.console.print(text, highlight=False, markup=False, style="dim")

    def event(self, event: dict[str, Any]) -> None:
        """A decision of the supervisor, above the bar."""
        if event.get("said"):
            self.progress.console.print(str(event["said"]), highlight=False, markup=False)

    def update(self) -> None:
        """Show the newest metrics; before there are any, and after the last, the phases that are over."""
        from trainers.run_folder.metrics import read_metrics

        last = next((line for line in reversed(read_metrics(self.run_dir)) if "total_steps" in line), None)
        if last is None or last["step"] >= last["total_steps"]:
            over = ", ".join(self._phases_over())
            figures = tr("done: {over}", over=over) if over else ""
        else:
            figures = _figures(last)
        if last is None:
            self.progress.update(self.task, figures=figures)
            return
        step, total = last["step"], last["total_steps"]
        self.progress.update(
            self.task,
            description=tr("step {step}/{total}", step=step, total=total),
            completed=step,
            total=total,
            figures=figures,
        )

    def _phases_over(self) -> list[str]:
        from trainers.run_folder.record import read_record

        return list(read_record(self.run_dir / layout.RUN).get("seconds") or {})

    def _follow(self) -> None:
        while not self.ended.wait(POLL_SECONDS):
            self.update()


def _figures(metrics: dict[str, Any]) -> str:
    """Loss, speed, memory and time left of one line of metrics."""
    from trainers.amounts import duration, size

    figures = [tr("loss {loss:.4f}", loss=metrics["loss"])]
    if metrics.get("tokens_per_second"):
        figures.append(tr("{rate:,.0f} tokens/s", rate=metrics["tokens_per_second"]))
    if metrics.get("memory_bytes"):
        figures.append(size(metrics["memory_bytes"]))
    if metrics.get("eta_seconds") is not None:
        figures.append(tr("{time} left", time=duration(metrics["eta_seconds"])))
    return "  ".join(figures)


def _progress() -> Progress:
    from rich.progress import BarColumn, Progress, TextColumn

    from advisor.report.screen import Screen

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[figures]}"),
        console=Screen(stderr=True, highlight=False),
        expand=True,
    )
