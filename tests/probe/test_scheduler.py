"""Jobs of SLURM, torchrun, MPI and Kubernetes, and variables that mislead."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.probe.scheduler import TRAPS, job_findings, read_job


def test_slurm() -> None:
    job = read_job(
        {
            "SLURM_JOB_ID": "7",
            "SLURM_JOB_NUM_NODES": "4",
            "SLURM_GPUS_ON_NODE": "8",
            "SLURM_PROCID": "3",
            "SLURM_LOCALID": "1",
            "SLURM_CPUS_ON_NODE": "64(x4)",
            "SLURM_MEM_PER_NODE": "65536",
            "RANK": "9",
        }
    )
    assert (job.scheduler, job.num_nodes, job.gpus_per_node, job.rank, job.local_rank) == ("slurm", 4, 8, 3, 1)
    assert (job.cpus, job.memory_bytes) == (64, 64 * 1024**3)


def test_slurm_lists_its_gpus() -> None:
    assert read_job({"SLURM_JOB_ID": "7", "SLURM_JOB_GPUS": "0,3,5"}).gpus_per_node == 3


def test_torchrun() -> None:
    job = read_job({"RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "16", "LOCAL_WORLD_SIZE": "8"})
    assert (job.scheduler, job.num_nodes, job.gpus_per_node, job.rank) == ("torchrun", 2, 8, 5)
    assert read_job({"TORCHELASTIC_RUN_ID": "x", "GROUP_WORLD_SIZE": "3"}).num_nodes == 3


def test_mpi() -> None:
    job = read_job({"OMPI_COMM_WORLD_SIZE": "8", "OMPI_COMM_WORLD_LOCAL_SIZE": "4", "OMPI_COMM_WORLD_RANK": "2"})
    assert (job.scheduler, job.num_nodes, job.rank) == ("mpi", 2, 2)


def test_kubernetes() -> None:
    job = read_job({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "PET_NNODES": "2", "PET_NPROC_PER_NODE": "8"})
    assert (job.scheduler, job.num_nodes, job.gpus_per_node) == ("kubernetes", 2, 8)


def test_world_size_alone_is_not_a_job_but_a_trap() -> None:
    env = {"WORLD_SIZE": "4"}
    assert read_job(env).scheduler is None
    assert [f.code for f in job_findings(read_job(env), env, Path("/nowhere"))] == ["trap-variable"]


@pytest.mark.parametrize("name", [name for name in TRAPS if name != "WORLD_SIZE"])
def test_each_trap_is_told_without_its_value(name: str) -> None:
    env = {name: "/home/secret/1"}
    found = job_findings(read_job(env), env, Path("/nowhere"))
    assert len(found) == 1 and name in found[0].what and found[0].fix
    assert "secret" not in str(found)
    assert job_findings(read_job({}), {name: "0"}, Path("/nowhere")) == []


def test_a_login_node(root: Path) -> None:
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/sbatch").touch()
    assert [f.code for f in job_findings(read_job({}), {}, root)] == ["login-node"]
    in_job = {"SLURM_JOB_ID": "1", "SLURM_NNODES": "2"}
    assert [f.code for f in job_findings(read_job(in_job), in_job, root)] == ["job-several-nodes"]


@given(
    st.dictionaries(st.sampled_from(["SLURM_JOB_ID", "RANK", "LOCAL_RANK", "WORLD_SIZE", "SLURM_NNODES"]), st.text())
)
def test_any_environment_is_read(env: dict[str, str]) -> None:
    job = read_job(env)
    assert job.num_nodes is None or job.num_nodes >= 0
