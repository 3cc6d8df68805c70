"""Which optimizer was seen to step on what each method trains, with the real libraries on two processes.

docs/optimizer-matrix.md holds the whole table; tests/trainers/test_seen_to_run.py runs every cell and compares.
"""

from __future__ import annotations

from trainers.method import METHODS
from trainers.plan import Optimizer, Sharding, TrainingPlan

STEPPED: dict[Optimizer, frozenset[Sharding]] = {
    "adamw_torch_fused": frozenset(("none", "ddp", "fsdp")),
    "adamw_torch": frozenset(("none", "ddp", "fsdp")),
    "adamw_8bit": frozenset(("none", "ddp")),
    "paged_adamw_32bit": frozenset(("none", "ddp")),
    "paged_adamw_8bit": frozenset(("none", "ddp")),
    "adafactor": frozenset(("none", "ddp")),
    "sgd": frozenset(("none", "ddp", "fsdp")),
    "lion_8bit": frozenset(("none", "ddp")),
}
"""Optimizer -> shardings under which its first steps ran, for each method in each of its dtypes alike.

Replicated parameters are ordinary tensors, on one device as on many. FSDP2's are DTensors, which the kernels of
bitsandbytes and transformers' Adafactor do not take.
"""
TRIED: frozenset[Sharding] = frozenset(("none", "ddp", "fsdp"))
"""Shardings that the table speaks of; DeepSpeed's are tested apart, where it is installed."""


def was_seen_to_run(plan: TrainingPlan) -> bool:
    """Whether the first steps of such a plan ran: its method, quantisation, optimizer, sharding and number format."""
    return bool(was_seen_to_step(plan.optimizer, plan.sharding)) and plan.weights_dtype in METHODS[plan.method].dtypes


def was_seen_to_step(optimizer: Optimizer, sharding: Sharding) -> bool | None:
    """Whether the optimizer stepped on parameters held so; None: never tried."""
    return sharding in STEPPED[optimizer] if sharding in TRIED else None
