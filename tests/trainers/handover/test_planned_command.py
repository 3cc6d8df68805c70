"""The serve command that a plan shows is the one that its finished run writes down."""

import json
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from rules.facts import SERVED_FORMATS
from tests.trainers.plans import full_plan, lora_plan
from trainers.handover.serving import commands, planned_command
from trainers.plan import Delivery, Engine, ServedFormat, TrainingPlan


def with_delivery(plan: TrainingPlan, **fields: Any) -> TrainingPlan:
    return msgspec.structs.replace(plan, delivery=Delivery(**fields))


def as_written(plan: TrainingPlan, folder: Path, place: str) -> str | None:
    command = commands(plan, folder, base=plan.model.name, name="NAME")[plan.delivery.engine].command
    return command and command.replace(str(folder), place).replace("\n", " && ")


@pytest.mark.parametrize("engine", ["vllm", "sglang", "llama_cpp"])
def test_an_adapter_is_served_as_the_plan_said(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 8}))
    plan = with_delivery(lora_plan(lora_rank=8), engine=engine, max_loras=12, max_cpu_loras=30)
    assert planned_command(plan) == as_written(plan, tmp_path, "RUN/result")


@pytest.mark.parametrize("engine", ["vllm", "sglang", "llama_cpp", "ollama"])
@pytest.mark.parametrize("quantization", ["none", "fp8"])
def test_a_model_is_served_as_the_plan_said(engine: Engine, quantization: ServedFormat, tmp_path: Path) -> None:
    plan = with_delivery(full_plan(), engine=engine, artifact="full_model", quantization=quantization)
    assert planned_command(plan) == as_written(plan, tmp_path, "RUN/result")
    merged = with_delivery(lora_plan(), engine=engine, artifact="merged_model", quantization=quantization)
    assert planned_command(merged) == as_written(merged, tmp_path, "RUN/merged")


def test_adapters_that_do_not_share_a_batch_wait_in_host_memory() -> None:
    command = planned_command(with_delivery(lora_plan(), engine="vllm", max_loras=16, max_cpu_loras=40))
    assert command is not None
    assert "--max-loras 16 --max-cpu-loras 40" in command
    few = planned_command(with_delivery(lora_plan(), engine="vllm", max_loras=12, max_cpu_loras=12))
    assert few is not None
    assert few.endswith("--max-loras 12")


def test_what_an_engine_refuses_has_no_command() -> None:
    assert planned_command(with_delivery(lora_plan(use_dora=True), engine="vllm")) is None
    assert planned_command(with_delivery(lora_plan(), engine="transformers")) is None
    assert planned_command(with_delivery(lora_plan(), engine="other")) is None


def test_an_adapter_for_ollama_is_served_by_llama_cpp() -> None:
    command = planned_command(with_delivery(lora_plan(), engine="ollama"))
    assert command == planned_command(with_delivery(lora_plan(), engine="llama_cpp"))


def test_rules_and_plan_know_the_same_formats() -> None:
    assert set(SERVED_FORMATS) == set(get_args(ServedFormat))
