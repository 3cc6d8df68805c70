"""The ledger: predicted beside measured peaks of the runs on this machine, and the correction they give.

    ledger = Ledger.open()                                   # in the data folder of this user
    record_run(run_dir, gpu_name="NVIDIA L4")                # after a run, from its run.json and plan.toml
    ledger.calibration("NVIDIA L4", "trl", "lora")           # -> Calibration or None
    estimate_memory(model, plan, calibration=...)            # corrected, and says by what

A measured number beats a predicted one: only the bytes that move (activations, logits, buffers, caches) are scaled;
weights and states are exact. One JSON line a run; lines of other versions and broken lines are left alone.
"""

from __future__ import annotations

import contextlib
import os
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from advisor.base.language import tr
from advisor.estimate.memory import Estimator
from advisor.estimate.runtime import Calibration
from advisor.estimate.stacks import OURS, Stack
from advisor.estimate.time import CardLike, RatesLike, estimate_time
from advisor.model.spec import ModelSpec
from trainers.folders import data_folder
from trainers.foreign.files import LOG_BYTES, json_object, read_small_file
from trainers.plan import PlanError, TrainingPlan, load_plan
from trainers.run_folder import layout
from trainers.run_folder.record import read_record
from trainers.run_folder.shape import number
from trainers.scores.intervals import Interval

LEDGER_SCHEMA = "sft-advisor/ledger/v1"
FILE_NAME = "ledger.jsonl"
RECENT = 20
"""The newest runs say most about the present stack; older ones are not used."""
STRONGEST = 2.0
"""A correction beyond this means that something else is wrong; it is not applied."""
STRONGEST_PACE = 20.0
"""The same of speed: a shared machine can be as slow as that."""
LEAST_SPREAD = 0.2
"""Of a corrected time: another day, another load."""

Counter = Literal["allocated", "reserved", "device", "resident"]


class Speed(NamedTuple):
    """What the estimate of time has to know of a device."""

    card: CardLike | None = None
    cpu_cores: int | None = None
    cpu: RatesLike | None = None


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One run. Peaks in bytes, of one device; `static_bytes` are the weights, adapters and states predicted."""

    schema: Literal["sft-advisor/ledger/v1"] = "sft-advisor/ledger/v1"
    when: str
    device: str
    stack: str
    method: str
    model: str
    counter: Counter
    predicted_bytes: int
    measured_bytes: int
    static_bytes: int = 0
    predicted_rate: float | None = None
    """Tokens a second, worked out without any correction."""
    measured_rate: float | None = None
    base_loss: float | None = None
    tuned_loss: float | None = None
    """Nats per supervised token of the kept-back rows, before and after."""
    loss_change: Interval | None = None
    """Tuned less base."""

    @property
    def pace(self) -> float | None:
        """Measured over predicted speed; None where either is not known."""
        return self.measured_rate / self.predicted_rate if self.measured_rate and self.predicted_rate else None

    @property
    def factor(self) -> float | None:
        """Measured over predicted, of the bytes that move; None when nothing moves."""
        moving = self.predicted_bytes - self.static_bytes
        if moving <= 0 or self.measured_bytes <= self.static_bytes:
            return None
        return (self.measured_bytes - self.static_bytes) / moving


class Ledger:
    """The runs of one user on one machine."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def open(cls) -> Ledger:
        """The user's ledger; the file need not exist yet."""
        return cls(data_folder() / FILE_NAME)

    def record(self, entry: msgspec.Struct) -> None:
        """Append one run in a single write. Raises OSError when the file cannot be written."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = msgspec.json.encode(entry) + b"\n"
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            size = os.fstat(handle).st_size
            torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
            os.write(handle, b"\n" + line if torn else line)
        finally:
            os.close(handle)

    def entries(self) -> Iterator[Entry]:
        """All readable runs, oldest first."""
        try:
            lines = read_small_file(self.path, LOG_BYTES).splitlines()
        except OSError:
            return
        for line in lines:
            with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                yield msgspec.json.decode(line, type=Entry)

    def calibration(self, device: str, stack: str, method: str) -> Calibration | None:
        """The correction for a device, stack and method; runs of other methods serve when there are none of this.

        None without runs, and when the runs disagree with the prediction by more than a factor of two.
        """
        found, kind = self._of(device, stack, method, lambda entry: entry.factor)
        correction = _correction(found, STRONGEST)
        if correction is None:
            return None
        factor, spread = correction
        basis = tr(
            "{runs} of {kind} with {stack} on {device}: what moves was {factor:.2f} times the prediction",
            runs=_runs(found),
            kind=kind,
            stack=stack,
            device=device,
            factor=factor,
        )
        return Calibration(factor=factor, spread=spread, runs=len(found), basis=basis)

    def pace(self, device: str, stack: str, method: str) -> Calibration | None:
        """How fast runs were against the prediction, as `calibration` says how much memory they took."""
        found, kind = self._of(device, stack, method, lambda entry: entry.pace)
        correction = _correction(found, STRONGEST_PACE)
        if correction is None:
            return None
        factor, spread = correction
        spread = max(spread, LEAST_SPREAD)
        basis = tr(
            "Measured on this machine: {runs} of {kind} went at {factor:.2f} times the speed that the model of the "
            "device gives; divide and multiply by {spread:.2g}.",
            runs=_runs(found),
            kind=kind,
            factor=factor,
            spread=1 + spread,
        )
        return Calibration(factor=factor, spread=spread, runs=len(found), basis=basis)

    def _of(
        self, device: str, stack: str, method: str, figure: Callable[[Entry], float | None]
    ) -> tuple[list[float], str]:
        """The newest figures of a method's runs and its name; of other methods where it has none."""
        same = [entry for entry in self.entries() if entry.device == device and entry.stack == stack]
        chosen = [entry for entry in same if entry.method == method]
        figures = [value for entry in (chosen or same)[-RECENT:] if (value := figure(entry)) is not None]
        return figures, method if chosen else tr("other methods")


def _correction(found: Sequence[float], strongest: float) -> tuple[float, float] | None:
    """The median and how far the others are from it; None without any, and beyond the strongest that is believed."""
    if not found:
        return None
    factor = statistics.median(found)
    if not 1 / strongest <= factor <= strongest:
        return None
    spread = max(abs(each / factor - 1) for each in found) if len(found) > 1 else abs(factor - 1)
    return factor, spread


def _runs(found: Sequence[float]) -> str:
    return tr("{count} runs", count=len(found)) if len(found) > 1 else tr("1 run")


def calibrations_for(device: str, stack: str, methods: Iterable[str]) -> dict[str, Calibration]:
    """By method, the correction that the user's ledger holds for a device; methods without one are left out."""
    ledger = Ledger.open()
    calibrations = {method: ledger.calibration(device, stack, method) for method in methods}
    return {method: calibration for method, calibration in calibrations.items() if calibration is not None}


def paces_for(device: str, stack: str, methods: Iterable[str]) -> dict[str, Calibration]:
    """By method, how fast the user's ledger says that runs on a device are against the prediction."""
    ledger = Ledger.open()
    paces = {method: ledger.pace(device, stack, method) for method in methods}
    return {method: pace for method, pace in paces.items() if pace is not None}


def device_key(accelerator: str, gpu_name: str | None) -> str:
    """How the ledger names a device: the card as its driver prints it, or "cpu"."""
    return gpu_name if accelerator != "cpu" and gpu_name else accelerator


def entry_from_run(
    run: Mapping[str, Any],
    plan: TrainingPlan,
    model: ModelSpec,
    *,
    device: str,
    longest_tokens: int | None = None,
    stack: Stack = OURS,
    speed: Speed | None = None,
) -> Entry | None:
    """The ledger line of a finished run, from its run.json and plan; None when it holds no measured peak.

    The prediction is worked out anew without any correction, so that corrections do not feed on themselves, and for
    the longest batch that the data really held (`longest_tokens` a row) where the preflight measured it.
    """
    memory = run.get("memory")
    measured = memory.get("measured_peak_bytes") if isinstance(memory, Mapping) else None
    if not measured:
        return None
    estimator = Estimator(model, plan, stack)
    scores = run.get("scores") or {}
    return Entry(
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        device=device,
        stack=stack.name,
        method=plan.method,
        model=plan.model.name,
        counter="resident" if plan.accelerator == "cpu" else "device",
        predicted_bytes=estimator.estimate(None, longest_tokens).device.likely,
        measured_bytes=int(measured),
        static_bytes=estimator.static_bytes,
        predicted_rate=_predicted_rate(run, plan, model, speed, stack) if speed else None,
        measured_rate=number(run.get("tokens_per_second")),
        base_loss=number(run.get("eval_loss_before")),
        tuned_loss=number(run.get("eval_loss_after")),
        loss_change=msgspec.convert(scores.get("loss_change"), Interval | None),
    )


def _predicted_rate(
    run: Mapping[str, Any], plan: TrainingPlan, model: ModelSpec, speed: Speed, stack: Stack
) -> float | None:
    """Tokens a second by the model of the device alone, for rows as long as the run's were."""
    data = run.get("data") or {}
    rows, tokens = number(data.get("train_sequences")), number(data.get("train_tokens"))
    time = estimate_time(
        model,
        plan,
        speed.card,
        len_mean=tokens / rows if rows and tokens else None,
        stack=stack,
        cpu_cores=speed.cpu_cores,
        cpu_measured=speed.cpu,
    )
    return time.tokens_per_second if time else None


def record_run(
    run_dir: Path, *, gpu_name: str | None = None, ledger: Ledger | None = None, speed: Speed | None = None
) -> Entry | None:
    """Put a finished run into the ledger; None when its folder holds no measured peak.

    Without `speed` of the device nothing is said of how fast it was against the prediction.
    Reads `run.json`, `plan.toml` and, where there is one, `preflight.json` of the run folder.
    Raises InputError when its model can no longer be resolved.
    """
    from advisor.model import resolve_model

    run = read_record(run_dir / layout.RUN)
    try:
        plan = load_plan(run_dir / layout.PLAN)
    except PlanError:
        return None
    device = device_key(plan.accelerator, gpu_name)
    longest = _longest_tokens(run_dir / layout.PREFLIGHT)
    model = resolve_model(plan.model.name)
    entry = entry_from_run(run, plan, model, device=device, longest_tokens=longest, speed=speed)
    if entry is not None:
        (ledger or Ledger.open()).record(entry)
    return entry


def _longest_tokens(preflight: Path) -> int | None:
    """Tokens of a row of the longest batch, from the preflight; None when none was made."""
    measured = (json_object(preflight) or {}).get("measured")
    tokens = measured.get("longest_tokens") if isinstance(measured, dict) else None
    return tokens if isinstance(tokens, int) and tokens > 0 else None
