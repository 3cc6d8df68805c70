"""Which optimizer steps on what each method trains: two gloo processes, our backends, the Trainer's optimizers.

python -m tests.trainers.two_processes          one JSON object, cell -> "ran" or the error's first line

FSDP2 shards as accelerate does it for the Trainer; nothing is replaced by a mock.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.distributed.tensor import DTensor

from tests.trainers.fsdp_on_cpu import let_fsdp_through
from tests.trainers.plans import of_method
from trainers.method import METHODS, Method
from trainers.methods import backend
from trainers.plan import Dtype, Optimizer, Sharding, TrainingPlan, plan_from_dict
from trainers.training.arguments import fsdp_config
from trainers.training.ending import end_process

SHARDINGS: tuple[Sharding, ...] = ("ddp", "fsdp")
STEPS = 2
WIDTH = 256
PARTS = 16
"""Rank, bottleneck and virtual tokens: times WIDTH it is the size from which bitsandbytes keeps 8-bit states."""


def name_of(optimizer: str, method: str, sharding: str, precision: str) -> str:
    """A cell of the matrix in words."""
    return f"{optimizer}, {method}, {sharding}, {precision}"


def observe(methods: tuple[Method, ...] = tuple(METHODS)) -> dict[str, str]:
    """Cell -> "ran", or why its first two steps failed."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with TemporaryDirectory() as folder:
        _save_small_model(Path(folder))
        mp.spawn(_process, args=(port, folder, methods), nprocs=2)
        return typing.cast("dict[str, str]", json.loads((Path(folder) / "seen.json").read_text("utf-8")))


def _save_small_model(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"<unk>": 0, "</s>": 1}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, eos_token="</s>").save_pretrained(str(folder))
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64, hidden_size=WIDTH, intermediate_size=WIDTH, num_hidden_layers=1, num_attention_heads=4
    )
    LlamaForCausalLM(config).save_pretrained(str(folder))


def _process(rank: int, port: int, folder: str, methods: tuple[Method, ...]) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), LOCAL_RANK=str(rank))
    os.environ.update(WORLD_SIZE="2", LOCAL_WORLD_SIZE="2")
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    let_fsdp_through()
    seen = {}
    for method in methods:
        for sharding in SHARDINGS:
            for precision in sorted(METHODS[method].dtypes):
                for optimizer, words in _cells(method, sharding, precision, folder):
                    seen[name_of(optimizer, method, sharding, precision)] = words
    if rank == 0:
        (Path(folder) / "seen.json").write_text(json.dumps(seen), "utf-8")
    end_process(0)


def _cells(method: Method, sharding: Sharding, precision: Dtype, folder: str) -> Iterator[tuple[str, str]]:
    plan = plan_from_dict(
        {
            "model": {"name": folder},
            "sharding": sharding,
            "num_gpus": 2,
            "accelerator": "cpu",
            "compute_dtype": precision,
            "weights_dtype": precision,
            **of_method(method, PARTS),
            "gradient_checkpointing": False,
        }
    )
    try:
        model = _spread(backend(method).trainable(backend(method).load(plan), plan), plan)
    except (RuntimeError, NotImplementedError, TypeError, ValueError) as error:
        yield from ((optimizer, _first_line(error)) for optimizer in typing.get_args(Optimizer))
        return
    for optimizer in typing.get_args(Optimizer):
        try:
            _steps(model, optimizer, folder)
        except (RuntimeError, NotImplementedError, TypeError, ValueError) as error:
            yield optimizer, _first_line(error)
        else:
            yield optimizer, "ran"


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0]}"


def _spread(model: torch.nn.Module, plan: TrainingPlan) -> torch.nn.Module:
    model.train()
    if plan.sharding == "ddp":
        return torch.nn.parallel.DistributedDataParallel(model)
    from accelerate import Accelerator, FullyShardedDataParallelPlugin

    options = fsdp_config(plan)
    plugin = FullyShardedDataParallelPlugin(
        fsdp_version=options["version"],
        auto_wrap_policy=options["auto_wrap_policy"].lower(),
        reshard_after_forward=options["reshard_after_forward"],
    )
    any_optimizer = torch.optim.SGD([parameter for parameter in model.parameters() if parameter.requires_grad])
    sharded, _ = Accelerator(cpu=True, fsdp_plugin=plugin).prepare(model, any_optimizer)
    if not any(isinstance(parameter, DTensor) for parameter in sharded.parameters()):
        raise RuntimeError("nothing was sharded")
    return typing.cast("torch.nn.Module", sharded)


def _steps(model: torch.nn.Module, optimizer: str, folder: str) -> None:
    from transformers import Trainer, TrainingArguments

    arguments = TrainingArguments(folder, optim=optimizer, use_cpu=True)
    kind, options = Trainer.get_optimizer_cls_and_kwargs(arguments, model)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    stepper = kind(trained, **(options | {"lr": 1e-2}))
    ids = torch.arange(16).reshape(2, 8)
    for _ in range(STEPS):
        stepper.zero_grad()
        model(input_ids=ids, labels=ids).loss.backward()
        before = [_local(parameter).clone() for parameter in trained]
        stepper.step()
        if all(torch.equal(old, _local(new)) for old, new in zip(before, trained, strict=True)):
            raise RuntimeError("the step changed nothing")


def _local(tensor: torch.Tensor) -> torch.Tensor:
    return (tensor.to_local() if isinstance(tensor, DTensor) else tensor).detach()


if __name__ == "__main__":
    json.dump(observe(), sys.stdout, indent=1)
