"""What races on this machine have shown: kept in the ledger without the data, and read as facts by later advice.

    record_race(verdict, plan, device="cpu")
    facts = raced_facts(device="cpu", model="Qwen3-8B", data="3f...")      # {} without a race

A figure becomes a fact only where its interval lies on one side of zero.
"""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from advisor.estimate.ledger import Ledger
from trainers.foreign.files import LOG_BYTES, read_small_file
from trainers.paths import absolute
from trainers.plan import DatasetRef, TrainingPlan
from trainers.scores.intervals import Interval
from trainers.supervision.trials import PLAN
from trainers.supervision.verdict import Verdict


class Raced(msgspec.Struct, frozen=True, kw_only=True):
    """One trial of a race."""

    name: str
    method: str
    setting: dict[str, Any]
    loss: float
    over_best: Interval | None
    seconds: float


class RaceEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One race; a line of the ledger. Nothing of the data but its digest."""

    schema: Literal["sft-advisor/raced/v1"] = "sft-advisor/raced/v1"
    when: str
    device: str
    model: str
    data: str
    """Digest of the training file, or the hub's name of the dataset."""
    plan_method: str
    trials: tuple[Raced, ...]
    """The best first."""
    over_plan: Interval | None
    """Loss of the first less that of the plan; None where the plan won."""

    def facts(self) -> dict[str, Any]:
        """As rules read them; what could not be told is absent."""
        return {**self._method(), **self._rate()}

    def _method(self) -> dict[str, Any]:
        winner = self.trials[0].method
        nearest: dict[str, Raced] = {}
        for trial in self.trials[1:]:
            if trial.method != winner:
                nearest.setdefault(trial.method, trial)
        gaps = [trial.over_best for trial in nearest.values()]
        if not gaps or not all(gap is not None and gap.is_sure and gap.value > 0 for gap in gaps):
            return {}
        least = min(gap.value for gap in gaps if gap is not None)
        return {"trial.method": winner, "trial.method_gain": round(least, 4), "trial.count": len(self.trials)}

    def _rate(self) -> dict[str, Any]:
        winner, gain = self.trials[0], self.over_plan
        rate = winner.setting.get("learning_rate")
        if winner.name == PLAN or set(winner.setting) != {"learning_rate"} or gain is None or not gain.is_sure:
            return {}
        return {
            "trial.rate_method": winner.method,
            "trial.learning_rate": rate,
            "trial.rate_gain": round(-gain.value, 4),
            "trial.count": len(self.trials),
        }


def record_race(found: Verdict, plan: TrainingPlan, device: str, ledger: Ledger | None = None) -> None:
    """Add a race to the ledger. Raises OSError when it cannot be written."""
    (ledger or Ledger.open()).record(
        RaceEntry(
            when=datetime.now(UTC).isoformat(timespec="seconds"),
            device=device,
            model=absolute(plan.model.name),
            data=data_key(plan.dataset),
            plan_method=plan.method,
            trials=tuple(
                Raced(
                    name=one.name,
                    method=one.method,
                    setting=one.setting,
                    loss=one.loss,
                    over_best=one.over_best,
                    seconds=one.seconds,
                )
                for one in found.ranked
            ),
            over_plan=found.over_plan,
        )
    )


def data_key(dataset: DatasetRef | None) -> str:
    """What stands for a dataset: the digest of its bytes, so that a moved file is the same; else its name."""
    return (dataset.sha256 or dataset.source) if dataset is not None else ""


def raced_facts(*, device: str, model: str, data: str, ledger: Ledger | None = None) -> dict[str, Any]:
    """The facts of the newest race on this device with this model and these data; {} without one."""
    races = [
        entry
        for entry in _entries((ledger or Ledger.open()).path)
        if (entry.device, entry.model, entry.data) == (device, absolute(model), data) and entry.trials
    ]
    return races[-1].facts() if races and data else {}


def _entries(path: Path) -> list[RaceEntry]:
    try:
        lines = read_small_file(path, LOG_BYTES).splitlines()
    except OSError:
        return []
    races = []
    for line in lines:
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            races.append(msgspec.json.decode(line, type=RaceEntry))
    return races
