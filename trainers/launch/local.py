"""Start a plan on this machine: one python process, or torchrun when the plan asks for more.

    prepare(plan, run_dir)      what would run: command, environment, files
    start(plan, run_dir)        run it under the supervisor, to the end

torchrun rather than `accelerate launch`: it forwards SIGTERM to its workers and needs no rank per node.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

import trainers
from trainers.errors import PlanRefused
from trainers.plan import TrainingPlan, plan_to_dict

SHUTDOWN_SECONDS = 240
"""How long torchrun waits after SIGTERM for the workers' checkpoint; its own default of 30 s kills large saves."""
PLAN_FILE = "plan.toml"


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """Exactly what a start would do, as data."""

    command: tuple[str, ...]
    environment: dict[str, str]
    """What is set on top of the caller's environment."""
    files: dict[str, str]
    """Path -> content of what is written before the command runs."""

    def as_shell(self) -> str:
        """The command with its environment, to paste into a shell."""
        import shlex

        settings = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        return " ".join([*settings, *map(shlex.quote, self.command)])


def prepare(
    plan: TrainingPlan,
    run_dir: Path,
    *,
    resume: str = "auto",
    module: str = "trainers.run",
    extra: tuple[str, ...] = (),
    rendezvous: str | None = None,
    caller: Mapping[str, str] | None = None,
) -> Launch:
    """What starting this plan here would run. `rendezvous` (HOST:PORT) joins this node to a run over several.

    `caller` is the environment to add to (None: this process's). Raises PlanRefused for a plan over several nodes
    without a rendezvous.
    """
    import tomli_w

    caller = os.environ if caller is None else caller
    per_node = plan.num_gpus // plan.num_nodes
    if plan.num_nodes > 1 and rendezvous is None:
        raise PlanRefused(
            f"the plan spans {plan.num_nodes} nodes and this starts only one",
            why="each node has to be started with the address at which they meet",
            fix="give --rendezvous HOST:PORT on every node, or use the slurm, skypilot or kubernetes export",
        )
    child = [module, str(run_dir / PLAN_FILE), "--run-dir", str(run_dir), "--resume", resume, *extra]
    return Launch(
        command=(sys.executable, "-m", *_torchrun(plan, per_node, run_dir, rendezvous), *child),
        environment=environment(plan, per_node, caller),
        files={str(run_dir / PLAN_FILE): tomli_w.dumps(plan_to_dict(plan))},
    )


def start(
    plan: TrainingPlan,
    run_dir: Path,
    *,
    resume: str = "auto",
    preflight: bool = False,
    dry_run: bool = False,
    rendezvous: str | None = None,
    echo: Callable[[bytes], object] | None = None,
    on_event: Callable[[dict[str, object]], object] | None = None,
) -> Launch | int:
    """Carry the plan out and give the exit code (trainers.exit_codes); with `dry_run` only say what would run.

    With `preflight` a fresh run tries its longest batch first.

    `echo` gets what the training process prints as it comes; `on_event` each decision of the supervisor. Both are
    optional: train.log and events.jsonl in `run_dir` keep everything. Raises PlanRefused before anything starts.
    """
    if dry_run:
        return prepare(plan, run_dir, resume=resume, rendezvous=rendezvous)
    from trainers.supervise import Supervisor

    return Supervisor(run_dir, rendezvous=rendezvous, echo=echo, on_event=on_event).carry_out(
        plan, resume=resume, preflight=preflight
    )


def environment(plan: TrainingPlan, processes_here: int, caller: Mapping[str, str]) -> dict[str, str]:
    """Variables that the training processes get. What the caller has set stays, except the choice of devices."""
    wanted = {
        "OMP_NUM_THREADS": str(max(1, _usable_cores() // processes_here)),
        "TOKENIZERS_PARALLELISM": "false",
        "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(SHUTDOWN_SECONDS),
        "PYTHONUNBUFFERED": "1",
    }
    if plan.accelerator in ("cuda", "rocm"):
        # fewer failures from fragmentation when the length of batches varies
        wanted["PYTORCH_ALLOC_CONF"] = "expandable_segments:True"
    if plan.sharding == "fsdp" and plan.quantization == "none":
        # without these every rank reads the whole model into RAM before it is sharded
        wanted |= {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_CPU_RAM_EFFICIENT_LOADING": "true"}
    chosen = {name: value for name, value in wanted.items() if name not in caller}
    if plan.accelerator == "cpu":
        chosen["CUDA_VISIBLE_DEVICES"] = ""
    elif plan.device_uuids:
        chosen["CUDA_VISIBLE_DEVICES"] = ",".join(plan.device_uuids)
    return chosen | {"PYTHONPATH": _python_path(caller)}


def _torchrun(plan: TrainingPlan, per_node: int, run_dir: Path, rendezvous: str | None) -> list[str]:
    if plan.num_gpus == 1:
        return []
    # port 0: a free one is chosen, so that two runs on one machine do not meet
    endpoint = rendezvous or "127.0.0.1:0"
    return [
        "trainers.launch.torchrun",
        f"--nnodes={plan.num_nodes}",
        f"--nproc-per-node={per_node}",
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint={endpoint}",
        f"--rdzv-id={run_dir.name}",
        "-m",
    ]


def _python_path(caller: Mapping[str, str]) -> str:
    """The caller's PYTHONPATH with the folder of this package in front: the child may start anywhere."""
    here = str(Path(trainers.__file__).resolve().parent.parent)
    rest = [part for part in caller.get("PYTHONPATH", "").split(os.pathsep) if part and part != here]
    return os.pathsep.join([here, *rest])


def _usable_cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1
