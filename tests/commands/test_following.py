"""Watching a run: the folder's name, the live bar, the plain log, and what is learnt from the measured peak."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

from rich.console import Console

from advisor.commands import following
from advisor.commands.following import LiveBar, PlainLog, new_run_dir, watch
from tests.report import made_by_hand as made
from tests.waiting import wait_until
from trainers.plan import ModelRef

METRICS = {
    "step": 3,
    "total_steps": 10,
    "loss": 1.25,
    "tokens_per_second": 850.0,
    "memory_bytes": 2 << 30,
    "eta_seconds": 40.0,
}


def test_each_run_gets_a_folder_of_its_own():
    name = new_run_dir(made.plan(model=ModelRef(name="./models/My Model!/"), output_dir="out"))
    assert name.parent == Path("out")
    assert re.fullmatch(r"My-Model-lora-\d{8}-\d{6}", name.name)
    assert new_run_dir(made.plan(model=ModelRef(name="///"))).name.startswith("model-lora-")


def test_the_live_bar_shows_the_newest_metrics(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(
        json.dumps(METRICS | {"step": 2}) + "\n" + json.dumps(METRICS) + "\n" + '{"step": 3, "eval_loss": 1}\n{"st'
    )
    bar = LiveBar(tmp_path)
    bar.update()
    task = bar.progress.tasks[0]
    assert (task.completed, task.total, task.description) == (3, 10, "step 3/10")
    assert task.fields["figures"] == "loss 1.2500  850 tokens/s  2.0 GiB  40 s left"


def test_the_live_bar_says_which_phases_are_over(tmp_path):
    (tmp_path / "run.json").write_text('{"seconds": {"data": 1.2, "loading": 3.0}}')
    bar = LiveBar(tmp_path)
    bar.update()
    assert bar.progress.tasks[0].fields["figures"] == "done: data, loading"
    (tmp_path / "metrics.jsonl").write_text(json.dumps(METRICS | {"step": 10}) + "\n")
    bar.update()
    assert bar.progress.tasks[0].fields["figures"] == "done: data, loading"
    assert bar.progress.tasks[0].completed == 10


def test_the_live_bar_passes_the_log_on_without_its_progress_lines(tmp_path):
    bar = LiveBar(tmp_path)
    bar.progress.live.console = screen = Console(file=io.StringIO(), width=80)
    bar.echo(b"loading [bold]model[/]\nstep 1/10  loss 2.0  1 tokens/s\nhalf a ")
    bar.echo(b"line\n")
    bar.event({"event": "back_off", "said": "half the micro-batch"})
    assert screen.file.getvalue().splitlines() == ["loading [bold]model[/]", "half a line", "half the micro-batch"]


def test_the_plain_log_passes_everything_on(tmp_path, capsys):
    log = PlainLog(tmp_path)
    log.echo("é".encode()[:1] + b"ok\n")
    log.event({"said": "finished"})
    log.event({"event": "start"})
    assert capsys.readouterr().err == "\ufffdok\nfinished\n"


def test_a_run_that_prints_nothing_gives_a_sign_of_life_with_its_phase(tmp_path, capsys):
    (tmp_path / "run.json").write_text('{"phase": "base_evaluation"}')
    with PlainLog(tmp_path, silence_seconds=0.05) as log:
        wait_until(lambda: not log.thread.is_alive() or log.last_heard > log.began, lambda: "no sign of life")
    said = capsys.readouterr().err
    assert re.match(r"still running: base evaluation, 0:\d\d since the start\n", said), said
    assert not log.thread.is_alive()


def test_watching_gives_the_exit_code_and_names_the_folder(tmp_path, capsys):
    def carry_out(echo, on_event):
        echo(b"training\n")
        on_event({"said": "stopped as asked"})
        return 75

    assert watch(tmp_path, carry_out) == 75
    assert capsys.readouterr().err.splitlines() == ["training", "stopped as asked", f"run folder: {tmp_path}"]


def test_a_folder_without_a_measured_peak_teaches_nothing(tmp_path, capsys):
    assert watch(tmp_path, lambda echo, on_event: 0) == 0
    assert capsys.readouterr().err == f"run folder: {tmp_path}\n"
    assert following.POLL_SECONDS < 1
