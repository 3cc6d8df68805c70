"""One published run, ready to be predicted, with every counter that its row states."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from advisor.estimate.stacks import Stack
from advisor.model.spec import ModelSpec
from tests.benchmarks.published.frameworks import framework_of, stack_of
from tests.benchmarks.published.models import model_of
from tests.benchmarks.published.plans import layers_split, length_known, lengths_vary, plan_of, require_stated
from tests.benchmarks.published.rows import GIB, grade_of, source_of
from trainers.plan import TrainingPlan

Counter = Literal["allocated", "reserved", "device", "card"]

UNITS = {"GiB": GIB, "MiB": 1024**2, "GB": 10**9, "MB": 10**6}
VISIBLE_GIB = {
    "A100-80GB": 79.15,
    "A100-40GB": 39.39,
    "A800-80GB": 79.15,
    "H100-80GB": 79.15,
    "H100-96GB": 94.9,
    "H200": 139.7,
    "L40S-48GB": 44.4,
    "A40-48GB": 44.4,
    "A6000-48GB": 47.45,
    "T4-16GB": 14.56,
    "V100-16GB": 15.77,
    "V100-32GB": 31.73,
    "L4-24GB": 22.05,
    "A10G-24GB": 21.98,
    "RTX3090-24GB": 23.6,
    "RTX4090-24GB": 23.6,
    "TitanRTX-24GB": 23.6,
    "RTX2080Ti-11GB": 10.7,
    "RTX4070TiSuper-16GB": 15.6,
    "MI300X-192GB": 191.7,
    "B200": 178.35,
}


class Run(NamedTuple):
    """One published run."""

    id: str
    source: str
    grade: str
    model: ModelSpec
    plan: TrainingPlan
    stack: Stack
    hugging_face: bool
    counter: Counter
    """What the row's main figure is."""
    measured: dict[str, int]
    """Counter -> bytes of one GPU; empty where only the card's size is known."""
    oom: bool
    capacity_bytes: int | None
    lengths_vary: bool
    length_known: bool
    row: dict[str, str]

    @property
    def value_bytes(self) -> int | None:
        """The row's main figure."""
        return self.measured.get(self.counter)


def express(row: dict[str, str]) -> Run:
    """Raises NotExpressed with the reason."""
    framework = framework_of(row)
    require_stated(row)
    model = model_of(row)
    return Run(
        id=row["id"],
        source=source_of(row["id"]),
        grade=grade_of(row),
        model=model,
        plan=plan_of(row, model),
        stack=stack_of(row, model),
        hugging_face=framework.hugging_face,
        counter=_counter(row),
        measured=_measured(row),
        oom=row["oom"] == "yes",
        capacity_bytes=_capacity(row),
        lengths_vary=lengths_vary(row),
        length_known=length_known(row),
        row=row,
    )


def _measured(row: dict[str, str]) -> dict[str, int]:
    """The main figure, and nvidia-smi's where the note has it beside."""
    if row["what_is_reported"] == "card_size" or row["oom"] == "yes":
        return {}
    exact = re.search(r"torch peak bytes=(\d+)", row["note"]) or re.search(r"^bytes=(\d+)", row["note"])
    value = int(exact[1]) if exact else int(float(row["reported_value"]) * UNITS[row["reported_unit"]])
    summed = "[sum]" in row["note"] or (row["id"].startswith("qwen-") and row["n_gpus"] not in ("1", "unknown"))
    parts = 1 if layers_split(row) else int(row["n_gpus"])
    found = {_counter(row): value // parts if summed else value}
    shown = re.search(r"nvidia-smi peak averaged over GPUs=(\d+) MiB", row["note"])
    return {"device": int(shown[1]) * UNITS["MiB"]} | found if shown else found


def _counter(row: dict[str, str]) -> Counter:
    """`unknown` is read as what the framework usually prints: torchtune its allocator peak, others the device."""
    known: dict[str, Counter] = {
        "max_allocated": "allocated",
        "max_reserved": "reserved",
        "nvidia-smi": "device",
        "card_size": "card",
    }
    if row["what_is_reported"] in known:
        return known[row["what_is_reported"]]
    if source_of(row["id"]) in ("tune-old", "tune-tut"):
        return "reserved"
    if row["framework"].startswith("torchtune"):
        return "allocated"
    return "reserved" if row["framework"].startswith("torchtitan") else "device"


def _capacity(row: dict[str, str]) -> int | None:
    visible = VISIBLE_GIB.get(row["gpu"])
    if visible is None:
        size = re.search(r"(\d+)GB", row["gpu"])
        visible = float(size[1]) * 0.975 if size else None
    cards = int(row["n_gpus"]) if layers_split(row) else 1
    return int(visible * GIB) * cards if visible else None
