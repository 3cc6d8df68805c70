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
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from advisor.estimate.memory import Estimator
from advisor.estimate.runtime import Calibration
from advisor.estimate.stacks import OURS, Stack
from advisor.language import tr
from advisor.model.spec import ModelSpec
from trainers.folders import data_folder
from trainers.foreign.files import LOG_BYTES, json_object, read_small_file
from trainers.plan import PlanError, TrainingPlan, load_plan
from trainers.run_folder import layout
from trainers.run_folder.record import read_record

LEDGER_SCHEMA = "sft-advisor/ledger/v1"
FILE_NAME = "ledger.jsonl"
RECENT = 20
"""The newest runs say most about the present stack; older ones are not used."""
STRONGEST = 2.0
"""A correction beyond this means that something else is wrong; it is not applied."""

Counter = Literal["allocated", "reserved", "device", "resident"]


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
        same = [entry for entry in self.entries() if entry.device == device and entry.stack == stack]
        chosen = [entry for entry in same if entry.method == method] or same
        factors = [entry.factor for entry in chosen[-RECENT:] if entry.factor is not None]
        if not factors:
            return None
        factor = statistics.median(factors)
        if not 1 / STRONGEST <= factor <= STRONGEST:
            return None
        spread = max(abs(each / factor - 1) for each in factors) if len(factors) > 1 else abs(factor - 1)
        runs = tr("{count} runs", count=len(factors)) if len(factors) > 1 else tr("1 run")
        kind = method if any(entry.method == method for entry in same) else tr("other methods")
        basis = tr(
            "{runs} of {kind} with {stack} on {device}: what moves was {factor:.2f} times the prediction",
            runs=runs,
            kind=kind,
            stack=stack,
            device=device,
            factor=factor,
        )
        return Calibration(factor=factor, spread=spread, runs=len(factors), basis=basis)


def calibrations_for(device: str, stack: str, methods: Iterable[str]) -> dict[str, Calibration]:
    """By method, the correction that the user's ledger holds for a device; methods without one are left out."""
    ledger = Ledger.open()
    calibrations = {method: ledger.calibration(device, stack, method) for method in methods}
    return {method: calibration for method, calibration in calibrations.items() if calibration is not None}


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
    )


def record_run(run_dir: Path, *, gpu_name: str | None = None, ledger: Ledger | None = None) -> Entry | None:
    """Put a finished run into the ledger; None when its folder holds no measured peak.

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
    entry = entry_from_run(run, plan, resolve_model(plan.model.name), device=device, longest_tokens=longest)
    if entry is not None:
        (ledger or Ledger.open()).record(entry)
    return entry


def _longest_tokens(preflight: Path) -> int | None:
    """Tokens of a row of the longest batch, from the preflight; None when none was made."""
    measured = (json_object(preflight) or {}).get("measured")
    tokens = measured.get("longest_tokens") if isinstance(measured, dict) else None
    return tokens if isinstance(tokens, int) and tokens > 0 else None
