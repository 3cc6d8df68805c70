"""4-bit weights that FSDP2 splits: gathered bit for bit, or the plan is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from bitsandbytes.nn import Linear4bit, Params4bit
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from transformers import TrainerControl, TrainerState, TrainingArguments

from tests.trainers.plans import lora_plan
from trainers.errors import PlanRefused
from trainers.training.packed_bits import PackedBits, looks_at


@pytest.fixture
def alone_in_a_group(tmp_path: Path) -> Iterator[Any]:
    """A mesh of this one process."""
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    distributed.destroy_process_group()


def packed_model() -> torch.nn.Sequential:
    """Two 4-bit layers, stored as bf16."""
    layers = [
        Linear4bit(64, 64, bias=False, quant_type="nf4", compute_dtype=torch.bfloat16, quant_storage=torch.bfloat16)
        for _ in range(2)
    ]
    for layer in layers:
        weight = torch.randn(64, 64, dtype=torch.bfloat16)
        layer.weight = Params4bit(weight, requires_grad=False, quant_type="nf4", quant_storage=torch.bfloat16).to(
            "cpu"
        )
        layer.quant_state = layer.weight.quant_state
    return torch.nn.Sequential(*layers)


def shard(model: torch.nn.Sequential, mesh: Any) -> None:
    for layer in model:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    model(torch.randn(2, 64, dtype=torch.bfloat16))


def after_a_step(watch: PackedBits, model: torch.nn.Module, folder: Path) -> None:
    args = TrainingArguments(output_dir=str(folder), use_cpu=True, report_to=[])
    watch.on_step_end(args, TrainerState(), TrainerControl(), model=model)


def test_weights_that_come_back_as_they_went_pass(alone_in_a_group: Any, tmp_path: Path) -> None:
    model = packed_model()
    watch = PackedBits(model)
    shard(model, alone_in_a_group)
    after_a_step(watch, model, tmp_path)
    assert watch.compared == len(watch.whole) == 2


def test_one_bit_that_changed_on_the_way_is_named(alone_in_a_group: Any, tmp_path: Path) -> None:
    model = packed_model()
    watch = PackedBits(model)
    model[1].weight.data.view(torch.int16)[0] ^= 1
    shard(model, alone_in_a_group)
    with pytest.raises(PlanRefused, match="1 of 2 4-bit weights are other bits"):
        after_a_step(watch, model, tmp_path)


def test_only_weights_that_fsdp_splits_are_looked_at() -> None:
    packed = {"method": "qlora", "quantization": "nf4", "num_gpus": 2}
    assert looks_at(lora_plan(**packed, sharding="fsdp", optimizer="adamw_torch_fused"))
    assert not looks_at(lora_plan(**packed, sharding="ddp"))
    assert not looks_at(lora_plan(num_gpus=2, sharding="fsdp"))
