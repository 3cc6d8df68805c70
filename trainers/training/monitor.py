"""What one can watch while it trains: a line of progress, metrics.jsonl, and the memory in use.

Tokens per second count the tokens of training steps over the time spent in them; evaluation and saving are left out.
"""

from __future__ import annotations

import resource
import sys
import time
from collections import deque
from pathlib import Path
from typing import IO, Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainers import amounts
from trainers.host_memory import free_host_bytes
from trainers.language import tr
from trainers.run_folder.events import append_event
from trainers.run_folder.metrics import append_metrics, cut_metrics, losses_to_repeat

PLAIN_LINE_SECONDS = 5.0
"""Between two progress lines where stderr is not a terminal."""
SAME_LOSS_SHARE, SAME_LOSS_NATS = 0.02, 0.01
"""A repeated step has the same loss up to the larger of these: fp32 on as many devices repeats it to the last digits,
bf16 and another number of devices or micro-batch add it up in another order. A lost adapter, and mostly another
batch, is further off."""


class MemoryMeter:
    """Memory of this process: a GPU's use as nvidia-smi would show it, or resident memory on a CPU. Bytes."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.kind = "device" if device.type == "cuda" else "resident"

    def now_bytes(self) -> int:
        """In use at this moment."""
        if self.device.type == "cuda":
            return torch.cuda.memory_reserved(self.device) + self._outside_allocator()
        return _resident_bytes()

    def peak_bytes(self) -> int:
        """The most that was in use since the process began."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_reserved(self.device) + self._outside_allocator()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024

    def limit_bytes(self, sharers: int = 1) -> int:
        """The most that this process could use: the whole card, or what it holds and its share of what is free."""
        if self.device.type == "cuda":
            return torch.cuda.mem_get_info(self.device)[1]
        return self.now_bytes() + free_host_bytes() // sharers

    def forget_peak(self) -> None:
        """Reset the peak, where an allocator keeps one; resident memory has only a peak of the whole process."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    def allocated_peak_bytes(self) -> int | None:
        """The most that tensors held; None where no allocator counts."""
        return torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else None

    def _outside_allocator(self) -> int:
        """CUDA context, library workspaces, and whatever other processes hold on this card."""
        free, total = torch.cuda.mem_get_info(self.device)
        return max(0, total - free - torch.cuda.memory_reserved(self.device))


def _resident_bytes() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)


class Monitor(TrainerCallback):
    """Writes metrics.jsonl and shows progress; only on rank 0."""

    def __init__(self, run_dir: Path, *, writes: bool = True, out: IO[str] | None = None) -> None:
        self.run_dir = run_dir
        self.writes = writes
        self.out = out or sys.stderr
        self.live = self.out.isatty()
        self.meter = MemoryMeter(torch.device("cpu"))
        self.durations: deque[float] = deque(maxlen=50)
        self.step_began = self.last_shown = 0.0
        self.train_seconds = self.seconds_at_log = 0.0
        self.tokens = self.tokens_at_log = self.tokens_before = 0
        self.last: dict[str, Any] = {}
        self.to_repeat: dict[int, float] = {}

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, *_: Any, **__: Any) -> None:
        """Cut off what an earlier attempt logged beyond the checkpoint that this one goes on from.

        Its losses are kept in mind until the first of these steps has been made again.
        """
        self.meter = MemoryMeter(args.device)
        self.meter.forget_peak()
        self.tokens = self.tokens_at_log = self.tokens_before = state.num_input_tokens_seen
        if self.writes:
            self.to_repeat = losses_to_repeat(self.run_dir, state.global_step) if state.global_step else {}
            cut_metrics(self.run_dir, state.global_step)

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Start the clock of one optimizer step."""
        self.step_began = time.monotonic()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        """Stop it. On a GPU kernels may still run; over the steps of a log that evens out.

        The last step is logged whatever the cadence: 264 of 265 would look like a run that did not end.
        """
        seconds = time.monotonic() - self.step_began
        self.durations.append(seconds)
        self.train_seconds += seconds
        self.tokens = state.num_input_tokens_seen
        if state.global_step >= state.max_steps:
            control.should_log = True
        return control

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """One line of metrics, and the progress line."""
        logs = logs or {}
        if "loss" in logs:
            self._training_log(state, logs)
        elif "eval_loss" in logs:
            self._write({"step": state.global_step, "epoch": logs.get("epoch"), "eval_loss": logs["eval_loss"]})
            self._say(
                tr(
                    "step {global_step}/{max_steps}  evaluation loss {loss:.4f}",
                    global_step=state.global_step,
                    max_steps=state.max_steps,
                    loss=logs["eval_loss"],
                )
            )

    def _training_log(self, state: TrainerState, logs: dict[str, Any]) -> None:
        seconds = self.train_seconds - self.seconds_at_log
        rate = (self.tokens - self.tokens_at_log) / seconds if seconds > 0 else None
        self.tokens_at_log, self.seconds_at_log = self.tokens, self.train_seconds
        self.last = {
            "step": state.global_step,
            "total_steps": state.max_steps,
            "epoch": logs.get("epoch"),
            "loss": float(logs["loss"]),
            "learning_rate": logs.get("learning_rate"),
            "grad_norm": logs.get("grad_norm"),
            "tokens_per_second": round(rate, 1) if rate is not None else None,
            "memory_bytes": self.meter.now_bytes(),
            "peak_memory_bytes": self.meter.peak_bytes(),
            "eta_seconds": self._eta(state),
            "time": round(time.time(), 3),
        }
        self._write(self.last)
        self._show()
        if (before := self.to_repeat.get(state.global_step)) is not None:
            self.to_repeat = {}
            said = compare_repeated(state.global_step, before, self.last["loss"])
            self._say(said)
            details = {"step": state.global_step, "loss": self.last["loss"], "earlier_loss": before}
            append_event(self.run_dir, "resumed", **details, said=said)

    @property
    def tokens_per_second(self) -> float | None:
        """Over all steps of this process; None before the first."""
        made = self.tokens - self.tokens_before
        return made / self.train_seconds if self.train_seconds and made else None

    def _eta(self, state: TrainerState) -> float | None:
        if not self.durations:
            return None
        return round((state.max_steps - state.global_step) * sum(self.durations) / len(self.durations), 1)

    def _write(self, line: dict[str, Any]) -> None:
        if self.writes:
            append_metrics(self.run_dir, line)

    def _show(self) -> None:
        finished = self.last["step"] >= self.last["total_steps"]
        due = self.live or finished or time.monotonic() - self.last_shown >= PLAIN_LINE_SECONDS
        if self.writes and due:
            self.last_shown = time.monotonic()
            line = progress_line(self.last, bar_width=20 if self.live else 0)
            self.out.write(f"\r\x1b[K{line}{chr(10) if finished else ''}" if self.live else f"{line}\n")
            self.out.flush()

    def _say(self, line: str) -> None:
        if self.writes:
            self.out.write(f"\r\x1b[K{line}\n" if self.live else f"{line}\n")
            self.out.flush()


def compare_repeated(step: int, before: float, now: float) -> str:
    """A sentence: whether a resumed run goes on as before, judged by a step made before the stop too."""
    if abs(now - before) <= max(SAME_LOSS_SHARE * abs(before), SAME_LOSS_NATS):
        return (
            f"the curve goes on as before: step {step} has a loss of {now:.4f}, before the stop it was {before:.4f}"
        )
    return (
        f"warning: the curve does not go on as it was: step {step} has a loss of {now:.4f}, before the stop it was "
        f"{before:.4f}. Rounding explains {SAME_LOSS_SHARE:.0%}; dropout on another number of devices explains more; "
        "else the checkpoint or the data is not what it was"
    )


def progress_line(metrics: dict[str, Any], bar_width: int = 0) -> str:
    """One log as people read it: position, loss, speed, memory, time left. `bar_width` characters of bar in front."""
    done = metrics["step"] / max(1, metrics["total_steps"])
    filled = round(done * bar_width)
    bar = f"[{'=' * filled}{' ' * (bar_width - filled)}] " if bar_width else ""
    parts = [f"{bar}step {metrics['step']}/{metrics['total_steps']}", f"loss {metrics['loss']:.4f}"]
    if metrics["tokens_per_second"] is not None:
        parts.append(f"{metrics['tokens_per_second']:,.0f} tokens/s")
    parts.append(amounts.gib(metrics["memory_bytes"], 2))
    if metrics["eta_seconds"] is not None:
        parts.append(f"{amounts.clock(metrics['eta_seconds'])} left")
    return "  ".join(parts)
