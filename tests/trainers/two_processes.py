"""Which optimizer steps on which parameters: two gloo processes, the Trainer's own optimizer classes, no mock.

python -m tests.trainers.two_processes          one JSON object, cell -> "ran" or the error's first line
"""

from __future__ import annotations

import json
import os
import socket
import sys
import typing
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from trainers.plan import Optimizer
from trainers.training.ending import end_process

SHARDINGS = ("ddp", "fsdp")
PRECISIONS = ("fp32", "bf16")
STEPS = 2
WIDTH = 256
"""Its square is past the size below which bitsandbytes keeps 32-bit states."""


def observe() -> dict[str, str]:
    """Cell "optimizer, sharding, precision" -> "ran", or why its first two steps failed."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with TemporaryDirectory() as folder:
        mp.spawn(_process, args=(port, folder), nprocs=2)
        return typing.cast("dict[str, str]", json.loads((Path(folder) / "seen.json").read_text("utf-8")))


def _process(rank: int, port: int, folder: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE="2")
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    seen = {
        f"{optimizer}, {sharding}, {precision}": _cell(optimizer, sharding, precision, folder)
        for optimizer in typing.get_args(Optimizer)
        for sharding in SHARDINGS
        for precision in PRECISIONS
    }
    if rank == 0:
        (Path(folder) / "seen.json").write_text(json.dumps(seen), "utf-8")
    end_process(0)


def _cell(optimizer: str, sharding: str, precision: str, folder: str) -> str:
    torch.manual_seed(0)
    layer: torch.nn.Module = torch.nn.Linear(WIDTH, WIDTH, bias=False)
    layer = layer.to(torch.bfloat16 if precision == "bf16" else torch.float32)
    try:
        _steps(_spread(layer, sharding), optimizer, precision, folder)
    except (RuntimeError, NotImplementedError, TypeError, ValueError) as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"
    return "ran"


def _spread(layer: torch.nn.Module, sharding: str) -> torch.nn.Module:
    if sharding == "ddp":
        return torch.nn.parallel.DistributedDataParallel(layer)
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    return typing.cast("torch.nn.Module", fully_shard(layer, mesh=init_device_mesh("cpu", (2,))))


def _steps(layer: torch.nn.Module, optimizer: str, precision: str, folder: str) -> None:
    from transformers import Trainer, TrainingArguments

    kind, options = Trainer.get_optimizer_cls_and_kwargs(TrainingArguments(folder, optim=optimizer), layer)
    stepper = kind(layer.parameters(), **(options | {"lr": 1e-2}))
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    for _ in range(STEPS):
        layer(torch.randn(4, WIDTH, dtype=dtype)).float().pow(2).sum().backward()
        before = [parameter.detach().clone() for parameter in layer.parameters()]
        stepper.step()
        stepper.zero_grad()
        if all(torch.equal(_local(old), _local(new)) for old, new in zip(before, layer.parameters(), strict=True)):
            raise RuntimeError("the step changed nothing")


def _local(tensor: torch.Tensor) -> torch.Tensor:
    from torch.distributed.tensor import DTensor

    return (tensor.to_local() if isinstance(tensor, DTensor) else tensor).detach()


if __name__ == "__main__":
    json.dump(observe(), sys.stdout, indent=1)
