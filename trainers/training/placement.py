"""Where this process runs: which rank it is, which devices it may see, whether they are there."""

from __future__ import annotations

import os
import sys

from trainers.accelerators import ACCELERATORS, by_cuda_api
from trainers.errors import EnvironmentLacking, PlanRefused
from trainers.language import tr
from trainers.plan import TrainingPlan


def rank() -> int:
    """This process's number over all nodes; 0 without torchrun."""
    return int(os.environ.get("RANK", "0"))


def say(line: str) -> None:
    """Print one line of the log, on the first process only; nothing for an empty one."""
    if line and rank() == 0:
        print(line, file=sys.stderr, flush=True)


def choose_devices(plan: TrainingPlan) -> None:
    """Set what torch reads when it is imported. Raises PlanRefused for another number of processes than planned."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world != plan.num_gpus:
        raise PlanRefused(
            tr("the plan is for {num_gpus} processes and {world} were started", num_gpus=plan.num_gpus, world=world),
            fix=f"torchrun --nproc-per-node {plan.num_gpus // plan.num_nodes} -m trainers.training.run ...",
        )
    if plan.accelerator == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    elif plan.device_uuids and "CUDA_VISIBLE_DEVICES" not in os.environ:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(plan.device_uuids)
    elif world == 1 and by_cuda_api(plan.accelerator):
        # With several cards in sight the Trainer would spread one process over all of them.
        os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    if plan.sharding == "fsdp":
        # from_pretrained reads these: without them every rank loads the whole model into host memory.
        os.environ.setdefault("ACCELERATE_USE_FSDP", "true")
        os.environ.setdefault("FSDP_VERSION", "2")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def require_devices(plan: TrainingPlan) -> None:
    """Raise EnvironmentLacking when torch does not see what the plan trains on, rather than train on the CPU."""
    import torch

    if by_cuda_api(plan.accelerator) and not torch.cuda.is_available():
        built_for_cpu = torch.version.cuda is None and torch.version.hip is None
        raise EnvironmentLacking(
            tr(
                "the plan is for {accelerator}, and torch {version} sees no GPU",
                accelerator=plan.accelerator,
                version=torch.__version__,
            ),
            why=(tr("this torch was built for CPUs") if built_for_cpu else tr("driver and torch do not agree")),
            fix=tr("install the torch build for this driver (https://pytorch.org/get-started), or plan for the CPU"),
        )
    row = ACCELERATORS[plan.accelerator]
    module = torch.backends.mps if row.torch_device == "mps" else getattr(torch, row.torch_device)
    if not module.is_available():
        raise EnvironmentLacking(
            tr(
                "the plan is for {accelerator}, and torch {version} sees no {maker} GPU",
                accelerator=plan.accelerator,
                version=torch.__version__,
                maker=row.maker,
            ),
            fix="sft-advisor doctor",
        )
