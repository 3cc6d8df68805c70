"""Carrying the cells out within a time, and what came of each. No torch here."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from trainers import exit_codes
from trainers.acceptance.cells import Cell
from trainers.language import tr
from trainers.run_folder import layout
from trainers.run_folder.metrics import points, read_metrics
from trainers.run_folder.record import read_record

State = Literal["ok", "differs", "failed", "no time"]
CarryOut = Callable[[Cell, Path, int | None], int]
"""Trains a cell in this folder to this step (None: to its end) and returns the exit code of its run."""


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """What was predicted of a cell; None: not known."""

    peak_bytes: int | None = None
    """Upper end of the device use (resident memory on a CPU)."""
    likely_bytes: int | None = None
    """The likely use."""
    tokens_per_second: float | None = None
    """Tokens of the steps over their time, padding left out."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One cell, predicted and measured."""

    name: str
    """What the cell tries, such as `full` or `packed`."""
    state: State
    """differs: it ended, and its losses are not those that it must have. no time: it was not begun."""
    seconds: float = 0.0
    """From the start of its process to its end, loading included."""
    said: str = ""
    """Why it is not ok."""
    predicted: Prediction = Prediction()
    """Before it began."""
    peak_bytes: int | None = None
    """Measured on the device, or resident on a CPU."""
    allocated_bytes: int | None = None
    """The allocator's own peak; None on a CPU."""
    tokens_per_second: float | None = None
    """Tokens of the steps over their time, padding left out."""
    first_loss: float | None = None
    """Training loss of the first step, in nats per token."""
    last_loss: float | None = None
    """Of the last step."""
    like: str | None = None
    """The cell whose losses it must have."""
    difference: float | None = None
    """Largest difference of a training loss from that of the cell `like`, in nats per token."""
    within: float | None = None
    """The largest difference that is allowed."""

    @property
    def of_prediction(self) -> float | None:
        """Measured peak over the likely one."""
        likely = self.predicted.likely_bytes
        return self.peak_bytes / likely if self.peak_bytes and likely else None


class Acceptance(msgspec.Struct, frozen=True, kw_only=True):
    """What `doctor verify --json` prints, and leaves as verify.json."""

    schema: Literal["sft-advisor/acceptance/v1"] = "sft-advisor/acceptance/v1"
    """Name and version of this document."""
    device: str
    """What the plans ran on."""
    model: str
    """The model that they trained."""
    plans: tuple[Outcome, ...]
    """Every cell of the matrix, in the order in which they ran."""


def carry_out(
    matrix: Sequence[Cell],
    folder: Path,
    predictions: dict[str, Prediction],
    start: CarryOut,
    *,
    seconds: float,
    said: Callable[[str], object],
    clock: Callable[[], float] = time.monotonic,
) -> list[Outcome]:
    """An outcome of every cell, in order. One begins only where the longest before it still fits into `seconds`."""
    began, outcomes, longest = clock(), [], 0.0
    for cell in matrix:
        predicted = predictions.get(cell.name, Prediction())
        if clock() - began + longest > seconds:
            outcomes.append(Outcome(name=cell.name, state="no time", predicted=predicted))
            continue
        said(tr("{name} ...", name=cell.name))
        at = clock()
        code = _trained(cell, _place(folder, cell.name), start)
        took = clock() - at
        longest = max(longest, took)
        outcomes.append(_outcome(cell, folder, code, took, predicted))
    return outcomes


def _trained(cell: Cell, run_dir: Path, start: CarryOut) -> int:
    if cell.stops_at is not None:
        code = start(cell, run_dir, cell.stops_at)
        if code != exit_codes.STOPPED:
            return code
    return start(cell, run_dir, None)


def _outcome(cell: Cell, folder: Path, code: int, seconds: float, predicted: Prediction) -> Outcome:
    run_dir = _place(folder, cell.name)
    record, curve = read_record(run_dir / layout.RUN), losses(run_dir)
    memory = record.get("memory") or {}
    known: dict[str, Any] = {
        "name": cell.name,
        "seconds": round(seconds, 1),
        "predicted": predicted,
        "peak_bytes": memory.get("measured_peak_bytes"),
        "allocated_bytes": memory.get("allocated_peak_bytes"),
        "tokens_per_second": record.get("tokens_per_second"),
        "first_loss": next(iter(curve.values()), None),
        "last_loss": next(reversed(curve.values()), None),
    }
    if code != exit_codes.DONE:
        what = (record.get("failure") or {}).get("what") or exit_codes.STATES.get(code, str(code))
        return Outcome(state="failed", said=tr("{what} (see {folder})", what=what, folder=run_dir), **known)
    if cell.like is None:
        return Outcome(state="ok", **known)
    like = losses(_place(folder, cell.like))
    known |= {"like": cell.like, "within": cell.within, "difference": largest_difference(curve, like)}
    if known["difference"] is not None and known["difference"] <= cell.within:
        return Outcome(state="ok", **known)
    return Outcome(state="differs", said=tr("its losses are not those of {like}", like=cell.like), **known)


def losses(run_dir: Path) -> dict[int, float]:
    """Step -> training loss."""
    return {int(step): loss for step, loss in points(read_metrics(run_dir), "loss")}


def largest_difference(one: dict[int, float], other: dict[int, float]) -> float | None:
    """Of two curves over the same steps; None where the steps are others, or there are none."""
    if not one or one.keys() != other.keys():
        return None
    return max(abs(one[step] - other[step]) for step in one)


def _place(folder: Path, name: str) -> Path:
    return folder / name.replace(",", "").replace(" ", "-")
