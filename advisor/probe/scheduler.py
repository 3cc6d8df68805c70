"""Who started this process (SLURM, torchrun, MPI, Kubernetes), on how many nodes; variables that mislead."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from advisor.base.language import later, tr
from advisor.probe.hardware import Finding
from trainers.foreign.text import whole_number

_IMPLAUSIBLE = 10**9
SchedulerName = Literal["slurm", "torchrun", "mpi", "kubernetes"]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """The job that this process belongs to; None where the environment does not say."""

    scheduler: SchedulerName | None = None
    num_nodes: int | None = None
    gpus_per_node: int | None = None
    rank: int | None = None
    local_rank: int | None = None
    memory_bytes: int | None = None
    """What SLURM grants on this node."""
    cpus: int | None = None


def read_job(env: Mapping[str, str]) -> Job:
    """The job as the environment describes it. SLURM first: torchrun and MPI run inside it."""
    if "SLURM_JOB_ID" in env:
        return _slurm(env)
    if "TORCHELASTIC_RUN_ID" in env or {"RANK", "LOCAL_RANK", "WORLD_SIZE"} <= env.keys():
        return _torchrun(env)
    if "OMPI_COMM_WORLD_SIZE" in env or "PMI_SIZE" in env or "MV2_COMM_WORLD_SIZE" in env:
        return _mpi(env)
    if "KUBERNETES_SERVICE_HOST" in env:
        return Job(
            scheduler="kubernetes",
            num_nodes=_first(env, "PET_NNODES"),
            gpus_per_node=_first(env, "PET_NPROC_PER_NODE"),
            rank=_first(env, "RANK", "PET_NODE_RANK"),
        )
    return Job()


def job_findings(job: Job, env: Mapping[str, str], root: Path) -> list[Finding]:
    """What a person should know about the job and about variables that change a run behind its back."""
    findings = []
    if job.num_nodes and job.num_nodes > 1:
        findings.append(
            Finding(
                code="job-several-nodes",
                severity="note",
                what=tr("The job has {num_nodes} nodes; only this one was measured.", num_nodes=job.num_nodes),
                why=tr("The plan takes the others to be like it."),
                fix=tr("Gather one profile per node: srun sft-advisor probe --json > node-$SLURM_NODEID.json")
                if job.scheduler == "slurm"
                else tr("Run `sft-advisor probe --json` on each node and give the folder of profiles to --hardware."),
            )
        )
    if job.scheduler is None and any((root / folder / "sbatch").exists() for folder in ("usr/bin", "usr/local/bin")):
        findings.append(
            Finding(
                code="login-node",
                severity="note",
                what=tr("SLURM is installed here, but this is not a job."),
                why=tr("If this is a login node, the GPUs of a compute node are the ones that count."),
                fix=tr("srun --gpus=1 sft-advisor probe --json > machine.json, then --hardware machine.json"),
            )
        )
    return findings + [_trap(name, *TRAPS[name]) for name in TRAPS if _springs(name, env)]


TRAPS: dict[str, tuple[str, str]] = {
    "TRANSFORMERS_CACHE": (
        later("transformers 5 no longer reads it: models go to the default cache, perhaps on a full disk."),
        later("Set HF_HOME or HF_HUB_CACHE instead."),
    ),
    "CUDA_LAUNCH_BLOCKING": (
        later("Every kernel waits for the one before it: training is several times slower."),
        "unset CUDA_LAUNCH_BLOCKING",
    ),
    "HSA_OVERRIDE_GFX_VERSION": (
        later("ROCm takes the card for another one; libraries built for the real one may fail."),
        later("Unset it where your card is supported by the installed ROCm."),
    ),
    "NCCL_P2P_DISABLE": (
        later("Transfers between GPUs go through host memory, which is several times slower."),
        later("Unset it unless NCCL hangs without it."),
    ),
    "PYTORCH_NO_CUDA_MEMORY_CACHING": (
        later("torch asks the driver for every tensor: training is many times slower."),
        "unset PYTORCH_NO_CUDA_MEMORY_CACHING",
    ),
    "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT": (
        later("The MPS server lets this process have only a part of the GPU's memory."),
        later("Plan on that part, or unset it."),
    ),
    "LD_PRELOAD": (
        later("A preloaded library can replace the driver's answers."),
        later("Unset it if figures look wrong."),
    ),
    "WORLD_SIZE": (
        later(
            "It is set without RANK and LOCAL_RANK: transformers would wait for processes that "
            "never come (on Alibaba DLC it counts nodes, not processes)."
        ),
        later("unset WORLD_SIZE, or start through torchrun."),
    ),
}
"""Variable -> what it does to a run, what to do. Their values are never shown: they may hold paths."""

_HARMLESS = ("", "0", "false", "off")


def _springs(name: str, env: Mapping[str, str]) -> bool:
    if env.get(name, "").lower() in _HARMLESS:
        return False
    if name == "WORLD_SIZE":
        return not {"RANK", "LOCAL_RANK"} & env.keys() and env[name] != "1"
    return True


def _trap(name: str, why: str, fix: str) -> Finding:
    return Finding(
        code="trap-variable", severity="warning", what=tr("{name} is set.", name=name), why=tr(why), fix=tr(fix)
    )


def _slurm(env: Mapping[str, str]) -> Job:
    cpus = _first(env, "SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE")
    per_node, per_cpu = _first(env, "SLURM_MEM_PER_NODE"), _first(env, "SLURM_MEM_PER_CPU")
    megabytes = per_node or (per_cpu * cpus if per_cpu and cpus else None)
    listed = env.get("SLURM_JOB_GPUS") or env.get("SLURM_STEP_GPUS")
    gpus = _first(env, "SLURM_GPUS_ON_NODE")
    return Job(
        scheduler="slurm",
        num_nodes=_first(env, "SLURM_JOB_NUM_NODES", "SLURM_NNODES"),
        gpus_per_node=gpus if gpus is not None else (len(listed.split(",")) if listed else None),
        rank=_first(env, "SLURM_PROCID"),
        local_rank=_first(env, "SLURM_LOCALID"),
        memory_bytes=megabytes * 1024**2 if megabytes else None,
        cpus=cpus,
    )


def _torchrun(env: Mapping[str, str]) -> Job:
    world, local = _first(env, "WORLD_SIZE"), _first(env, "LOCAL_WORLD_SIZE")
    nodes = _first(env, "GROUP_WORLD_SIZE") or (max(1, world // local) if world and local else None)
    return Job(
        scheduler="torchrun",
        num_nodes=nodes,
        gpus_per_node=local,
        rank=_first(env, "RANK"),
        local_rank=_first(env, "LOCAL_RANK"),
    )


def _mpi(env: Mapping[str, str]) -> Job:
    world = _first(env, "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", "PMI_SIZE")
    local = _first(env, "OMPI_COMM_WORLD_LOCAL_SIZE", "MV2_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS")
    return Job(
        scheduler="mpi",
        num_nodes=max(1, world // local) if world and local else None,
        gpus_per_node=local,
        rank=_first(env, "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK", "PMI_RANK"),
        local_rank=_first(env, "OMPI_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_RANK"),
    )


def _first(env: Mapping[str, str], *names: str) -> int | None:
    """The first of the variables that holds a plausible number; SLURM writes "4(x2)" for some."""
    for name in names:
        number = whole_number(env.get(name, "").strip().partition("(")[0])
        if number is not None and number < _IMPLAUSIBLE:
            return number
    return None
