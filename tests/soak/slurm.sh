#!/bin/bash
# A real SLURM on this machine: `launch --on slurm` submits, the job is stopped by SIGTERM, requeues, goes on and finishes.
#
#   apt-get install --no-install-recommends slurmctld slurmd slurm-client munge
#   tests/soak/slurm.sh [PYTHON]        as root, 4 to 6 minutes, two of them SLURM's own delay before a requeued job
#
# Starts munged, slurmctld and slurmd with everything in one temporary folder, and ends them by their process ids.
# Where one of them is not installed, or this is not root, it says so and ends with 0.
set -euo pipefail

skip() {
  echo "skipped: $1; apt-get install --no-install-recommends slurmctld slurmd slurm-client munge, and run it as root"
  exit 0
}
for program in /usr/sbin/munged /usr/sbin/slurmctld /usr/sbin/slurmd sbatch; do
  command -v "$program" > /dev/null || skip "$program is not installed"
done
[ "$(id -u)" = 0 ] || skip "SLURM's daemons need root"

PYTHON=$(command -v "${1:-python}")
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
WORK=$(mktemp -d)
HOST=$(hostname -s)
export SLURM_CONF=$WORK/slurm.conf PYTHONPATH=$ROOT PYTHON HF_HUB_OFFLINE=1
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; sleep 1; rm -rf "$WORK"' EXIT

mkdir -p "$WORK"/{state,spool,munge}
chmod 755 "$WORK"
chown munge: "$WORK/munge"
head -c 128 /dev/urandom > "$WORK/munge/key"
chown munge: "$WORK/munge/key"
chmod 400 "$WORK/munge/key"
SOCKET=$WORK/munge/socket
runuser -u munge -- /usr/sbin/munged --foreground --force --key-file="$WORK/munge/key" --socket="$SOCKET" \
  --pid-file="$WORK/munge/pid" --log-file="$WORK/munge/log" --seed-file="$WORK/munge/seed" &
pids+=($!)

cat > "$SLURM_CONF" <<CONF
ClusterName=soak
SlurmctldHost=$HOST
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$SOCKET
SlurmctldPort=16817
SlurmdPort=16818
StateSaveLocation=$WORK/state
SlurmdSpoolDir=$WORK/spool
SlurmctldPidFile=$WORK/slurmctld.pid
SlurmdPidFile=$WORK/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
JobRequeue=1
MpiDefault=none
NodeName=$HOST CPUs=$(nproc) State=UNKNOWN
PartitionName=all Nodes=$HOST Default=YES MaxTime=INFINITE State=UP
CONF
sleep 1
/usr/sbin/slurmctld -D -f "$SLURM_CONF" > "$WORK/slurmctld.log" 2>&1 &
pids+=($!)
/usr/sbin/slurmd -D -f "$SLURM_CONF" > "$WORK/slurmd.log" 2>&1 &
pids+=($!)

wait_for() {  # SECONDS WHAT COMMAND...: until COMMAND succeeds
  local seconds=$1 what=$2
  shift 2
  for ((second = 0; second < seconds; second++)); do
    "$@" > /dev/null 2>&1 && return 0
    sleep 1
  done
  echo "gave up waiting for $what" >&2
  tail -n 20 "$WORK"/*.log "$WORK"/run/job/slurm-*.log >&2 || true
  exit 1
}
node_is_idle() { sinfo --noheader --format=%t | grep -qx idle; }
wait_for 60 "the node" node_is_idle

mkdir "$WORK/case"
"$PYTHON" -c 'import sys; from pathlib import Path; from tests.soak.places import write_case; write_case(Path(sys.argv[1]))' \
  "$WORK/case"
"$PYTHON" -m advisor launch "$WORK/case/plan.toml" --on slurm --run-dir "$WORK/run" --allow truncation &
launch=$!
is_submitted() { [ -e "$WORK/run/submitted.json" ]; }
wait_for 120 "the submission" is_submitted
cd "$WORK/run/job"
job=$("$PYTHON" -c 'import json; print(json.load(open("../submitted.json"))["id"])')
sbatch --test-only job.sh

has_checkpoint() { compgen -G "../checkpoints/checkpoint-*/COMPLETE.json"; }
is_pending_again() { scontrol show job "$job" | grep -q "Restarts=1"; }
is_over() { scontrol show job "$job" | grep -qE "JobState=(COMPLETED|FAILED|CANCELLED)"; }
wait_for 400 "a checkpoint" has_checkpoint
scancel --signal=TERM "$job"
wait_for 120 "the requeue" is_pending_again
echo "stopped, with $(ls -d ../checkpoints/checkpoint-* | tail -n 1), and requeued"
wait_for 420 "the end" is_over
scontrol show job "$job" | grep -oE "JobState=\w+|Restarts=[0-9]+|ExitCode=[0-9:]+"
wait "$launch"
grep -h "going on from step" slurm-*.log
"$PYTHON" - <<'CHECK'
import json
record = json.load(open("../run.json"))
steps = [json.loads(line)["step"] for line in open("../metrics.jsonl") if '"loss"' in line]
assert record["exit_state"] == "done", record["exit_state"]
assert steps == list(range(1, record["total_steps"] + 1)), steps
print(f"finished: {record['total_steps']} steps, none missing, none twice")
CHECK
