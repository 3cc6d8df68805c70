"""What is made of the runs: within the time, against the prediction, and against each other; once for real."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.trainers.plans import lora_plan
from trainers import exit_codes
from trainers.acceptance.cells import Cell, cells
from trainers.acceptance.outcomes import Prediction, carry_out, largest_difference
from trainers.plan import plan_from_dict
from trainers.supervision.supervise import start

FIRST = Cell(name="first", plan=lora_plan())


class Clock:
    """Seconds that pass only while something runs."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def runs(clock: Clock, codes: dict[str, int], curves: dict[str, list[float]], seconds: float = 10.0) -> Any:
    """Stands for the training: writes what a run leaves, and lets the time pass."""

    def carry(cell: Cell, run_dir: Path, until: int | None) -> int:
        clock.now += seconds
        if until is not None:
            return exit_codes.STOPPED
        run_dir.mkdir(parents=True, exist_ok=True)
        lines = [{"step": step, "loss": loss} for step, loss in enumerate(curves.get(cell.name, []), start=1)]
        (run_dir / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        record = {"memory": {"measured_peak_bytes": 500}, "tokens_per_second": 90.0}
        (run_dir / "run.json").write_text(json.dumps(record))
        return codes.get(cell.name, exit_codes.DONE)

    return carry


def outcomes(tmp_path: Path, matrix: list[Cell], seconds: float = 1e9, **how: Any) -> dict[str, Any]:
    clock = Clock()
    carry = runs(clock, how.get("codes", {}), how.get("curves", {}))
    predictions = {"first": Prediction(peak_bytes=600, likely_bytes=400)}
    found = carry_out(matrix, tmp_path, predictions, carry, seconds=seconds, said=lambda _: None, clock=clock)
    return {one.name: one for one in found}


def test_equal_curves_hold_and_others_do_not(tmp_path: Path) -> None:
    again = Cell(name="again", plan=lora_plan(), like="first")
    near = Cell(name="near", plan=lora_plan(), like="first", within=1e-2)
    longer = Cell(name="longer", plan=lora_plan(), like="first", within=1e9)
    curves = {"first": [2.0, 1.0], "again": [2.0, 1.0 + 1e-9], "near": [2.0, 1.001], "longer": [2.0, 1.0, 0.5]}
    found = outcomes(tmp_path, [FIRST, again, near, longer], curves=curves)
    assert {name: one.state for name, one in found.items()} == {
        "first": "ok", "again": "differs", "near": "ok", "longer": "differs",
    }  # fmt: skip
    assert found["near"].difference == pytest.approx(1e-3)
    assert found["longer"].difference is None
    assert (found["first"].first_loss, found["first"].last_loss) == (2.0, 1.0)
    assert found["first"].of_prediction == 1.25


def test_a_run_that_fails_is_said_with_its_folder(tmp_path: Path) -> None:
    found = outcomes(tmp_path, [FIRST], codes={"first": exit_codes.OUT_OF_MEMORY})["first"]
    assert found.state == "failed"
    assert str(tmp_path / "first") in found.said


@pytest.mark.parametrize(("seconds", "tried"), [(5, 1), (19, 1), (20, 2), (39, 3), (1e9, 4)])
def test_none_begins_that_would_not_end_in_time(tmp_path: Path, seconds: float, tried: int) -> None:
    stopped = Cell(name="stopped", plan=lora_plan(), stops_at=4)
    matrix = [FIRST, *(Cell(name=name, plan=lora_plan()) for name in "ab"), stopped]
    found = outcomes(tmp_path, matrix, seconds=seconds)
    assert [one.state != "no time" for one in found.values()] == [True] * tried + [False] * (4 - tried)


def test_curves_over_other_steps_are_not_compared() -> None:
    assert largest_difference({1: 1.0}, {1: 1.5}) == 0.5
    assert largest_difference({}, {}) is None
    assert largest_difference({1: 1.0}, {2: 1.0}) is None


@pytest.mark.slow
@pytest.mark.usefixtures("warm_children")
def test_on_this_cpu_a_run_is_the_same_again_and_when_it_was_resumed(
    make_plan: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    matrix = cells(plan_from_dict(make_plan()))[:3]

    def carry(cell: Cell, run_dir: Path, until: int | None) -> int:
        looks = ("--examples", "2", "--samples", "0")
        return start(cell.plan, run_dir, options=(*looks, *(("--until", str(until)) if until else ())))

    found = carry_out(matrix, tmp_path, {}, carry, seconds=1e9, said=lambda _: None)
    assert [(one.name, one.state, one.difference) for one in found] == [
        ("lora", "ok", None),
        ("the same again", "ok", 0.0),
        ("stopped and resumed", "ok", 0.0),
    ]
    assert all(one.peak_bytes and one.tokens_per_second for one in found)
    assert msgspec.json.encode(found)
