"""Estimates: memory, time and disk of a plan, from the shape of the model. No torch."""

from advisor.estimate.memory import Estimator, estimate_memory
from advisor.estimate.search import largest_micro_batch, largest_model, largest_rank, largest_seq_len
from advisor.estimate.stacks import OURS, Stack
from advisor.estimate.storage import estimate_storage
from advisor.estimate.time import estimate_time

__all__ = [
    "OURS",
    "Estimator",
    "Stack",
    "estimate_memory",
    "estimate_storage",
    "estimate_time",
    "largest_micro_batch",
    "largest_model",
    "largest_rank",
    "largest_seq_len",
]
