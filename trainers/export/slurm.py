"""The plan as a SLURM job: `sbatch job.sh`. Stopped by its time limit or by preemption, it requeues and goes on."""

from __future__ import annotations

from typing import get_args

from trainers.export.cluster import (
    CORES_PER_GPU,
    FINAL_CODES,
    GRACE_SECONDS,
    SHUTDOWN_SECONDS,
    per_node,
    uses_gpus,
)
from trainers.export.job import RUN, RUN_DIR, TRIAL, TRIAL_DIR, texts
from trainers.export.machines import host_gib, hours
from trainers.export.table import Export, Target
from trainers.foreign.text import shell
from trainers.method import Method
from trainers.plan import TrainingPlan
from trainers.run_folder import layout

TARGET = Target(
    title="SLURM",
    trains_by_itself=False,
    methods=get_args(Method),
)
SCRIPT = "job.sh"
MOST_RESTARTS = 20


def export(plan: TrainingPlan) -> Export:
    """`job.sh` and the job. One task a node; each starts its processes by torchrun, which needs no node number."""
    return Export(
        files={SCRIPT: script(plan), **texts(plan)},
        command=f"sbatch {SCRIPT}",
        notes=(
            "the folder has to be on storage that all nodes share; RUN_DIR is where the run is kept",
            _time_note(plan),
            "SBATCH_PARTITION and SBATCH_ACCOUNT say where and for whom, where your cluster asks for them",
        ),
    )


def _time_note(plan: TrainingPlan) -> str:
    """Where the time asked for comes from."""
    if plan.made_for is None or plan.made_for.high_hours is None:
        return (
            f"--time is {hours(plan)} h, for the plan predicts none; a job that is stopped by it requeues and goes on"
        )
    return f"--time is {hours(plan)} h: the predicted {plan.made_for.high_hours:g} h at most, and a fifth"


def script(plan: TrainingPlan) -> str:
    """The batch script. Quotes around srun's command are single: each node expands the variables for itself."""
    gpus = f"#SBATCH --gpus-per-node={per_node(plan)}\n" if uses_gpus(plan) else ""
    gib = host_gib(plan)
    memory = f"#SBATCH --mem={gib}G\n" if gib else ""
    cores = per_node(plan) * (CORES_PER_GPU if uses_gpus(plan) else 1)
    final = "|".join(map(str, FINAL_CODES))
    return f"""#!/bin/bash
#SBATCH --job-name=sft
#SBATCH --nodes={plan.num_nodes}
#SBATCH --ntasks-per-node=1
{gpus}#SBATCH --cpus-per-task={cores}
#SBATCH --time={hours(plan)}:00:00
{memory}#SBATCH --signal=TERM@{GRACE_SECONDS}
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=slurm-%j.log

export RUN_DIR="${{RUN_DIR:-$SLURM_SUBMIT_DIR/{RUN_DIR}}}"
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT={SHUTDOWN_SECONDS}
export OMP_NUM_THREADS=$((${{SLURM_CPUS_PER_TASK:-1}} / {per_node(plan)}))
MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n1)
export MASTER_ADDR
export MASTER_PORT=$((20000 + SLURM_JOB_ID % 10000))
mkdir -p "$RUN_DIR"
rm -f "$RUN_DIR/{layout.EXIT_CODE}"

part() {{  # PLAN RUN_DIR: on every node
  PART=$1 PART_DIR=$2 srun bash -c 'exec bash {RUN} "$PART" "$PART_DIR" {_meeting(plan)}'
}}

code=0
if [ ! -d "$RUN_DIR/{TRIAL_DIR}/{layout.RESULT}" ]; then
  part {shell(TRIAL)} "$RUN_DIR/{TRIAL_DIR}"
  code=$?
fi
if [ $code = 0 ]; then
  part {shell(layout.PLAN)} "$RUN_DIR"
  code=$?
fi

case $code in
  {final}) ;;  # finished, or trying again would change nothing: run.json in $RUN_DIR says why
  *) [ "${{SLURM_RESTART_COUNT:-0}}" -lt {MOST_RESTARTS} ] && scontrol requeue "$SLURM_JOB_ID" ;;
esac
echo $code > "$RUN_DIR/{layout.EXIT_CODE}"
exit $code
"""


def _meeting(plan: TrainingPlan) -> str:
    """Flags of torchrun: where the nodes meet. One process alone meets nobody."""
    if plan.num_gpus == 1:
        return ""
    return (
        "\\\n    --nnodes=$SLURM_NNODES "
        "--rdzv-backend=c10d --rdzv-id=$SLURM_JOB_ID --rdzv-endpoint=$MASTER_ADDR:$MASTER_PORT"
    )
