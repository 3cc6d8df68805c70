"""The plan as a SLURM job: `sbatch job.sh`. Stopped by its time limit or by preemption, it requeues and goes on."""

from __future__ import annotations

from trainers.export.table import Export
from trainers.launch.cluster import (
    CORES_PER_GPU,
    FINAL_CODES,
    GRACE_SECONDS,
    SHUTDOWN_SECONDS,
    per_node,
    plan_file,
    training,
    uses_gpus,
    variables,
)
from trainers.launch.local import PLAN_FILE
from trainers.plan import TrainingPlan

SCRIPT = "job.sh"
MOST_RESTARTS = 20


def export(plan: TrainingPlan) -> Export:
    """`job.sh` and the plan. One task a node; each starts its processes by torchrun, which needs no node number."""
    return Export(
        files={SCRIPT: script(plan), **plan_file(plan)},
        command=f"sbatch {SCRIPT}",
        notes=(
            "the folder has to be on storage that all nodes share; RUN_DIR is where the run is kept",
            "set --time, and --partition and --account where your cluster asks for them",
        ),
    )


def script(plan: TrainingPlan) -> str:
    """The batch script. Quotes around srun's command are single: each node expands the variables for itself."""
    gpus = f"#SBATCH --gpus-per-node={per_node(plan)}\n" if uses_gpus(plan) else ""
    cores = per_node(plan) * (CORES_PER_GPU if uses_gpus(plan) else 1)
    final = "|".join(map(str, FINAL_CODES))
    exports = "\n".join(f"export {name}={value}" for name, value in variables(plan).items())
    return f"""#!/bin/bash
#SBATCH --job-name=sft
#SBATCH --nodes={plan.num_nodes}
#SBATCH --ntasks-per-node=1
{gpus}#SBATCH --cpus-per-task={cores}
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@{GRACE_SECONDS}
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=slurm-%j.log

export RUN_DIR="${{RUN_DIR:-$SLURM_SUBMIT_DIR/run}}"
export PYTHON="${{PYTHON:-python}}"
{exports}
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT={SHUTDOWN_SECONDS}
export OMP_NUM_THREADS=$((${{SLURM_CPUS_PER_TASK:-1}} / {per_node(plan)}))
export MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n1)
export MASTER_PORT=$((20000 + SLURM_JOB_ID % 10000))

srun bash -c 'exec $PYTHON -m trainers.launch.torchrun --nnodes=$SLURM_NNODES --nproc-per-node={per_node(plan)} \\
  --rdzv-backend=c10d --rdzv-id=$SLURM_JOB_ID --rdzv-endpoint=$MASTER_ADDR:$MASTER_PORT \\
  -m {training(PLAN_FILE, '"$RUN_DIR"')}'
code=$?

case $code in
  {final}) ;;  # finished, or trying again would change nothing: run.json in $RUN_DIR says why
  *) [ "${{SLURM_RESTART_COUNT:-0}}" -lt {MOST_RESTARTS} ] && scontrol requeue "$SLURM_JOB_ID" ;;
esac
exit $code
"""
