import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerControl, TrainerState

from trainers.run_folder import layout, metrics
from trainers.training.monitor import MemoryMeter, Monitor, progress_line


class Args:
    device = torch.device("cpu")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def steps(monitor: Monitor, first: int, last: int, **more: float) -> None:
    """Steps of a hundred tokens each, as a process makes them that begins with the first of these."""
    monitor.on_train_begin(Args(), TrainerState(global_step=first - 1, num_input_tokens_seen=100 * (first - 1)))
    for step in range(first, last + 1):
        state = TrainerState(global_step=step, max_steps=10, num_input_tokens_seen=100 * step)
        monitor.on_step_begin(Args(), state, TrainerControl())
        monitor.on_step_end(Args(), state, TrainerControl())
        monitor.on_log(Args(), state, TrainerControl(), logs={"loss": 1.0 / step, **more})


def test_one_line_a_log_with_speed_memory_and_time_left(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path, out=io.StringIO())
    steps(monitor, 1, 4, learning_rate=1e-4, grad_norm=0.5)
    lines = metrics.read_metrics(tmp_path)
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert lines[0]["learning_rate"] == 1e-4
    assert lines[0]["memory_bytes"] > 1e6
    assert lines[0]["tokens_per_second"] > 0
    assert monitor.tokens == 400


@pytest.mark.parametrize("step", [264, 265])
def test_the_last_step_is_logged_whatever_the_cadence(tmp_path: Path, step: int) -> None:
    control = TrainerControl()
    Monitor(tmp_path, out=io.StringIO()).on_step_end(Args(), TrainerState(global_step=step, max_steps=265), control)
    assert control.should_log is (step == 265)


def test_a_resume_counts_tokens_on_and_its_speed_is_of_its_own_steps(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path, out=io.StringIO())
    steps(monitor, 5, 7)
    assert monitor.tokens == 700
    assert monitor.tokens_per_second == pytest.approx(300 / monitor.train_seconds)


def test_a_resume_forgets_what_will_be_trained_again(tmp_path: Path) -> None:
    steps(Monitor(tmp_path, out=io.StringIO()), 1, 6)
    with (tmp_path / layout.METRICS).open("a") as file:
        file.write('{"step": 7, "lo')
    steps(Monitor(tmp_path, out=io.StringIO()), 5, 7)
    assert [line["step"] for line in metrics.read_metrics(tmp_path)] == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (0.201, "the curve goes on as before: step 5 has a loss of 0.2000, before the stop it was 0.2010"),
        (
            0.9,
            "warning: the curve does not go on as it was: step 5 has a loss of 0.2000, before the stop it was 0.9000",
        ),
    ],
)
def test_the_first_repeated_step_is_held_against_what_it_was(tmp_path: Path, before: float, said: str) -> None:
    for step, loss in ((4, 0.25), (5, before), (6, 7.0)):
        metrics.append_metrics(tmp_path, {"step": step, "loss": loss})
    out = io.StringIO()
    steps(Monitor(tmp_path, out=out), 5, 7)
    assert out.getvalue().count("the curve ") == 1
    [event] = [json.loads(line) for line in (tmp_path / layout.EVENTS).read_text().splitlines()]
    assert event["said"].startswith(said)
    assert event["said"] in out.getvalue()
    assert (event["event"], event["step"], event["loss"], event["earlier_loss"]) == ("resumed", 5, 0.2, before)


def test_only_means_over_the_same_steps_are_compared(tmp_path: Path) -> None:
    """Logged every third step with a checkpoint at 4: the line of step 6 will be a mean over 5 and 6 alone."""
    for step, loss in ((3, 1.0), (6, 2.0), (9, 3.0), (12, float("nan"))):
        metrics.append_metrics(tmp_path, {"step": step, "loss": loss})
    metrics.append_metrics(tmp_path, {"step": 9, "eval_loss": 3.5})
    assert metrics.losses_to_repeat(tmp_path, 4) == {9: 3.0}
    assert metrics.losses_to_repeat(tmp_path, 6) == {9: 3.0}
    assert metrics.losses_to_repeat(tmp_path, 12) == {}


def test_other_ranks_write_and_show_nothing(tmp_path: Path) -> None:
    out = io.StringIO()
    steps(Monitor(tmp_path, writes=False, out=out), 1, 10)
    assert not (tmp_path / layout.METRICS).exists()
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
    (tmp_path / layout.METRICS).write_text(json.dumps({"step": 1}) + '\n{"step":')
    assert metrics.read_metrics(tmp_path) == [{"step": 1}]
    assert metrics.read_metrics(tmp_path / "nowhere") == []


@pytest.mark.parametrize("step", [0, 1])
def test_cutting_keeps_what_is_before(tmp_path: Path, step: int) -> None:
    for number in (1, 2):
        metrics.append_metrics(tmp_path, {"step": number})
    metrics.cut_metrics(tmp_path, step)
    assert [line["step"] for line in metrics.read_metrics(tmp_path)] == list(range(1, step + 1))
