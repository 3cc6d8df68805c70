"""Shapes and plans for the tests of the estimators."""

from __future__ import annotations

from functools import cache
from typing import Any

from advisor.estimate import Estimator
from advisor.estimate.stacks import Stack
from advisor.model.catalog import from_catalog
from advisor.model.families import spec_from_config
from advisor.model.spec import ModelSpec
from trainers.plan import ModelRef, TrainingPlan

MODELS = (
    "Llama-3.1-8B",
    "Qwen2.5-7B",
    "Qwen3-30B-A3B",
    "SmolLM2-135M",
    "gemma-2-2b",
    "Mixtral-8x7B-Instruct-v0.1",
)


@cache
def model(name: str) -> ModelSpec:
    """A shape of the bundled catalogue."""
    found = from_catalog(name)
    assert found is not None, name
    return found


def plan(method: str = "lora", **fields: Any) -> TrainingPlan:
    """A complete plan of this method; `fields` replace its values."""
    values: dict[str, Any] = {"model": ModelRef(name="x"), "method": method, "max_seq_len": 2048}
    if method in ("lora", "qlora"):
        values |= {"lora_rank": 16, "lora_alpha": 32, "lora_targets": ("all-linear",)}
    if method == "qlora":
        values["quantization"] = "nf4"
    if method == "prefix":
        values |= {"num_virtual_tokens": 50, "gradient_checkpointing": False}
    if method == "adapter":
        values["adapter_bottleneck"] = 64
    return TrainingPlan(**values | fields)


def estimator(config: Any, method: str, stack: Stack, *, batch: int, length: int, **fields: Any) -> Estimator:
    """Our estimator of one of transformers' configurations, for rows without padding and the loss of all words."""
    made = plan(method, micro_batch_size=batch, max_seq_len=length, loss_kernel="full", packing=True, **fields)
    return Estimator(spec_from_config(config.to_dict() | {"model_type": config.model_type}), made, stack)
