"""What starting a plan on this machine runs: one python process, or torchrun when the plan asks for more.

torchrun rather than `accelerate launch`: it forwards SIGTERM to its workers and needs no rank per node.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from trainers.accelerators import by_cuda_api
from trainers.cgroup import cpu_quota
from trainers.errors import PlanRefused
from trainers.foreign.text import shell, shell_line
from trainers.language import tr
from trainers.network import network_environment, network_sentence
from trainers.plan import TrainingPlan, plan_to_dict
from trainers.python import child_settings, module_command
from trainers.run_folder import layout

SHUTDOWN_SECONDS = 240
"""How long torchrun waits after SIGTERM for the workers' checkpoint; its own default of 30 s kills large saves."""


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """Exactly what a start would do, as data."""

    command: tuple[str, ...]
    environment: dict[str, str]
    """What is set on top of the caller's environment."""
    network: str = "none"
    """What the run may reach, as a sentence."""
    files: dict[str, str]
    """Path -> content of what is written before the command runs."""

    def as_shell(self) -> str:
        """The command with its environment, to paste into a shell."""
        settings = [f"{name}={shell(value)}" for name, value in self.environment.items()]
        return " ".join([*settings, shell_line(self.command)])


def prepare(
    plan: TrainingPlan,
    run_dir: Path,
    *,
    resume: str = "auto",
    module: str = "trainers.training.run",
    extra: tuple[str, ...] = (),
    rendezvous: str | None = None,
    caller: Mapping[str, str] | None = None,
) -> Launch:
    """What starting this plan here would run. `rendezvous` (HOST:PORT) joins this node to a run over several.

    `caller` is the environment to add to (None: this process's). Raises PlanRefused for a plan over several nodes
    without a rendezvous.
    """
    import tomli_w

    plan = plan.anchored()
    caller = os.environ if caller is None else caller
    per_node = plan.num_gpus // plan.num_nodes
    if plan.num_nodes > 1 and rendezvous is None:
        raise PlanRefused(
            tr("the plan spans {num_nodes} nodes and this starts only one", num_nodes=plan.num_nodes),
            why=tr("each node has to be started with the address at which they meet"),
            fix=tr("give --rendezvous HOST:PORT on every node, or use the slurm, skypilot or kubernetes export"),
        )
    child = [module, str(run_dir / layout.PLAN), "--run-dir", str(run_dir), "--resume", resume, *extra]
    return Launch(
        command=module_command(*_torchrun(plan, per_node, run_dir, rendezvous), *child),
        environment=environment(plan, per_node, caller),
        network=network_sentence(plan, caller),
        files={str(run_dir / layout.PLAN): tomli_w.dumps(plan_to_dict(plan))},
    )


def environment(plan: TrainingPlan, processes_here: int, caller: Mapping[str, str]) -> dict[str, str]:
    """Variables that the training processes get. What the caller has set stays, except the choice of devices."""
    variables = {
        "OMP_NUM_THREADS": str(max(1, _usable_cores() // processes_here)),
        "TOKENIZERS_PARALLELISM": "false",
        "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(SHUTDOWN_SECONDS),
        "PYTHONUNBUFFERED": "1",
    }
    if plan.accelerator == "cpu":
        # Threads that wait sleep. Spinning, as is the default, they take the cores from those that work as soon as
        # anything else runs: beside a load of 13 on two cores, 0.1 instead of 1.1 steps a second.
        variables["OMP_WAIT_POLICY"] = "PASSIVE"
    if by_cuda_api(plan.accelerator):
        # fewer failures from fragmentation when the length of batches varies
        variables["PYTORCH_ALLOC_CONF"] = "expandable_segments:True"
    if plan.sharding == "fsdp" and plan.quantization == "none":
        # without these every rank reads the whole model into RAM before it is sharded
        variables |= {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_CPU_RAM_EFFICIENT_LOADING": "true"}
    chosen = {name: value for name, value in variables.items() if name not in caller}
    if plan.accelerator == "cpu":
        chosen["CUDA_VISIBLE_DEVICES"] = ""
    elif plan.device_uuids:
        chosen["CUDA_VISIBLE_DEVICES"] = ",".join(plan.device_uuids)
    return chosen | network_environment(plan, caller) | child_settings(caller)


def _torchrun(plan: TrainingPlan, per_node: int, run_dir: Path, rendezvous: str | None) -> list[str]:
    if plan.num_gpus == 1:
        return []
    # port 0: a free one is chosen, so that two runs on one machine do not meet
    endpoint = rendezvous or "127.0.0.1:0"
    return [
        "trainers.training.torchrun",
        f"--nnodes={plan.num_nodes}",
        f"--nproc-per-node={per_node}",
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint={endpoint}",
        f"--rdzv-id={run_dir.name}",
        "-m",
    ]


def _usable_cores() -> int:
    """Cores that this process may run on, and that its container's quota pays for."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:
        allowed = os.cpu_count() or 1
    return min(allowed, cpu_quota(Path("/")) or allowed)
