"""An acceptance run on a screen: what holds, what does not and why, what had no time; and what is refused."""

from __future__ import annotations

import argparse
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from advisor.base.errors import InputError
from advisor.commands.verify import run
from advisor.report.verify import acceptance
from tests.documents import validated
from trainers.acceptance.outcomes import Acceptance, Outcome, Prediction

OUTCOMES = (
    Outcome(
        name="lora", state="ok", peak_bytes=500 << 20, predicted=Prediction(likely_bytes=400 << 20), last_loss=2.5
    ),
    Outcome(
        name="the same again", state="differs", like="lora", within=0.0, difference=0.25, said="its losses differ"
    ),
    Outcome(name="accumulated", state="ok", like="lora", within=1e-3, difference=2e-5),
    Outcome(name="full", state="failed", said="out of memory (see runs/full)"),
    Outcome(name="packed", state="no time"),
)


def shown(width: int = 80) -> str:
    screen = Console(file=StringIO(), width=width)
    screen.print(acceptance(OUTCOMES, "H100"))
    assert isinstance(screen.file, StringIO)
    return screen.file.getvalue()


def test_the_verdict_stands_first_and_everything_else_under_its_own_head() -> None:
    text = shown()
    assert text.startswith("2 of 4 plans hold on H100; 1 had no time")
    assert "500 MiB           1.25" in text
    assert "the same again: bit for bit as lora: 2.5e-01" in text
    assert "accumulated: as lora within 0.001: 2.0e-05" in text
    assert "full: out of memory (see runs/full)" in text
    assert "packed" in text.partition("No time was left for")[2]


def test_its_document_is_described() -> None:
    document = validated("acceptance", Acceptance(device="H100", model="m", plans=OUTCOMES))
    assert [plan["state"] for plan in document["plans"]] == ["ok", "differs", "ok", "failed", "no time"]


def test_no_line_is_wider_than_the_screen() -> None:
    assert max(map(len, shown().splitlines())) <= 80


def test_all_that_is_wrong_is_said_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "before").touch()
    asked = argparse.Namespace(minutes=0.0, model=None, run_dir=tmp_path, json=False)
    with pytest.raises(InputError) as refused:
        run(asked)
    assert [problem.what for problem in refused.value.problems] == [
        "--minutes cannot be 0.0",
        f"{tmp_path} is not empty",
    ]
