import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerControl, TrainerState

from trainers import metrics
from trainers.monitor import MemoryMeter, Monitor, progress_line


class Args:
    device = torch.device("cpu")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def steps(monitor: Monitor, first: int, last: int, **more: float) -> None:
    monitor.on_train_begin(Args(), TrainerState(global_step=first - 1))
    for step in range(first, last + 1):
        state = TrainerState(global_step=step, max_steps=10)
        monitor.on_step_begin(Args(), state, TrainerControl())
        monitor.on_step_end(Args(), state, TrainerControl())
        monitor.on_log(Args(), state, TrainerControl(), logs={"loss": 1.0 / step, "num_tokens": 100.0 * step, **more})


def test_one_line_a_log_with_speed_memory_and_time_left(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path, out=io.StringIO())
    steps(monitor, 1, 4, learning_rate=1e-4, grad_norm=0.5)
    lines = metrics.read_metrics(tmp_path)
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert lines[0]["learning_rate"] == 1e-4
    assert lines[0]["memory_bytes"] > 1e6
    assert lines[0]["tokens_per_second"] > 0
    assert monitor.tokens == 400


def test_a_resume_forgets_what_will_be_trained_again(tmp_path: Path) -> None:
    steps(Monitor(tmp_path, out=io.StringIO()), 1, 6)
    with (tmp_path / metrics.METRICS_FILE).open("a") as file:
        file.write('{"step": 7, "lo')
    steps(Monitor(tmp_path, out=io.StringIO()), 5, 7)
    assert [line["step"] for line in metrics.read_metrics(tmp_path)] == [1, 2, 3, 4, 5, 6, 7]


def test_other_ranks_write_and_show_nothing(tmp_path: Path) -> None:
    out = io.StringIO()
    steps(Monitor(tmp_path, writes=False, out=out), 1, 10)
    assert not (tmp_path / metrics.METRICS_FILE).exists()
    assert out.getvalue() == ""


def test_a_terminal_gets_a_bar_that_redraws_and_a_file_gets_plain_lines(tmp_path: Path) -> None:
    terminal, plain = Terminal(), io.StringIO()
    steps(Monitor(tmp_path, out=terminal), 1, 10)
    steps(Monitor(tmp_path, out=plain), 1, 10)
    assert terminal.getvalue().count("\r") == 10
    assert "[==========          ] step 5/10" in terminal.getvalue()
    assert terminal.getvalue().endswith("\n")
    assert "\r" not in plain.getvalue()
    assert "\x1b" not in plain.getvalue()
    assert plain.getvalue().count("\n") == 2  # the first, then every five seconds, and the last


def test_the_line_people_read() -> None:
    line: dict[str, Any] = {
        "step": 120, "total_steps": 480, "loss": 1.23456, "tokens_per_second": 1834.2, "memory_bytes": 3 << 30,
        "eta_seconds": 3725.0,
    }  # fmt: skip
    assert progress_line(line) == "step 120/480  loss 1.2346  1,834 tokens/s  3.00 GiB  1:02:05 left"
    assert progress_line({**line, "tokens_per_second": None, "eta_seconds": 59.9}, bar_width=4) == (
        "[=   ] step 120/480  loss 1.2346  3.00 GiB  0:59 left"
    )


def test_memory_that_was_used_and_freed_stays_in_the_peak() -> None:
    meter = MemoryMeter(torch.device("cpu"))
    before = meter.peak_bytes()
    block = torch.ones(400_000_000, dtype=torch.uint8)
    assert meter.now_bytes() > len(block)
    del block
    assert meter.peak_bytes() >= before
    assert meter.peak_bytes() > 400_000_000
    assert meter.allocated_peak_bytes() is None


def test_a_line_that_a_crash_cut_off_is_left_out(tmp_path: Path) -> None:
    (tmp_path / metrics.METRICS_FILE).write_text(json.dumps({"step": 1}) + '\n{"step":')
    assert metrics.read_metrics(tmp_path) == [{"step": 1}]
    assert metrics.read_metrics(tmp_path / "nowhere") == []


@pytest.mark.parametrize("step", [0, 1])
def test_cutting_keeps_what_is_before(tmp_path: Path, step: int) -> None:
    for number in (1, 2):
        metrics.append_metrics(tmp_path, {"step": number})
    metrics.cut_metrics(tmp_path, step)
    assert [line["step"] for line in metrics.read_metrics(tmp_path)] == list(range(1, step + 1))
