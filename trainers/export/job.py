"""A job as a folder that holds all it needs: `bash start.sh` in it trains, on any machine.

plan.toml         what is trained; its paths hold inside the folder
trial.toml        the same for two steps, which are tried first
data/  model/     what the plan named on this disk (a hub id is fetched where the job runs)
*.whl             this version, and constraints.txt the versions that it was tested with
run.sh            one plan on one node: makes the environment where PYTHON names none, and becomes the training
start.sh          the trial, then the plan, on one node; a second start goes on where the first was stopped
run/              what the run leaves, unless RUN_DIR says elsewhere

Each place to run adds how it is told of the folder (slurm.py, kubernetes.py, ...), and changes nothing in it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from trainers import exit_codes
from trainers.export import carried
from trainers.export.cluster import per_node, plan_file, toml_of, variables
from trainers.export.machines import PYPI, torch_index
from trainers.export.wheel import CONSTRAINTS, wheel_name, write_wheel
from trainers.foreign.text import shell
from trainers.plan import Delivery, TrainingPlan
from trainers.python import SAFE_PATH
from trainers.run_folder import layout

RUN, START, TRIAL = "run.sh", "start.sh", "trial.toml"
TRIAL_STEPS = 2
TRIAL_DIR = "trial"
"""In the run folder: the run of the trial."""
RUN_DIR = "run"


def pack(plan: TrainingPlan, folder: Path) -> TrainingPlan:
    """Put what the plan needs into `folder`: data, model, wheel, versions. Return the plan as it reads in there.

    Raises ExamplesError when the dataset is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    moved = carried.bring(plan, folder)
    write_wheel(folder)
    shutil.copyfile(CONSTRAINTS, folder / CONSTRAINTS.name)
    return moved


def texts(plan: TrainingPlan) -> dict[str, str]:
    """The files of every job: the plan, its trial, and the two scripts."""
    return {**plan_file(plan), TRIAL: toml_of(trial_of(plan)), RUN: run_script(plan), START: start_script()}


def trial_of(plan: TrainingPlan) -> TrainingPlan:
    """The plan for two steps with a checkpoint after each, without evaluation and without a merge."""
    dataset = plan.dataset
    if dataset is not None:
        dataset = msgspec.structs.replace(dataset, eval_source=None, eval_files=(), eval_fraction=0.0)
    return msgspec.structs.replace(
        plan,
        dataset=dataset,
        max_steps=TRIAL_STEPS,
        save_steps=1,
        load_best_model_at_end=False,
        early_stopping_patience=None,
        report_to=(),
        delivery=Delivery() if plan.trains_adapter else plan.delivery,
    )


def run_script(plan: TrainingPlan) -> str:
    """`run.sh PLAN RUN_DIR [FLAGS of torchrun]`. It becomes the training process, so that signals reach it once."""
    exports = "\n".join(f"export {name}={shell(value)}" for name, value in variables(plan).items())
    processes = per_node(plan)
    flags = f' --nproc-per-node={processes} "$@" -m' if plan.num_gpus > 1 else ""
    start = f"-m trainers.training.torchrun{flags} trainers.training.run" if flags else "-m trainers.training.run"
    return f"""#!/bin/bash
# {RUN} PLAN RUN_DIR [FLAGS of torchrun]: one plan on this node. PYTHON names a Python that has what it needs;
# without it one is made in a virtual environment, once for all jobs of this version.
set -eu
cd "$(dirname "$0")"
plan=$1 run=$2
shift 2
{exports}
if [ -z "${{PYTHON:-}}" ]; then
  home="${{SFT_ADVISOR_ENVIRONMENT:-${{XDG_CACHE_HOME:-$HOME/.cache}}/sft-advisor}}"
  made="$home/$(cat {CONSTRAINTS.name} ./*.whl | cksum | cut -d ' ' -f 1)"
  mkdir -p "$home"
  exec 9> "$made.lock"
  ! command -v flock > /dev/null || flock 9
  if [ ! -e "$made/ready" ]; then
    echo "installing what the job needs into $made"
    if ! python3 -m venv "$made" || ! "$made/bin/python" -m pip install --quiet --disable-pip-version-check \\
      {pip_arguments(plan)}; then
      echo "the environment could not be made; PYTHON=/path/to/python takes one that is there" >&2
      exit {exit_codes.ENVIRONMENT}
    fi
    touch "$made/ready"
  fi
  exec 9>&-
  PYTHON="$made/bin/python"
fi
cores=$(($(nproc 2> /dev/null || echo 1) / {processes}))
export OMP_NUM_THREADS="${{OMP_NUM_THREADS:-$((cores > 0 ? cores : 1))}}"
exec "$PYTHON" {SAFE_PATH} {start} "$plan" --run-dir "$run" --resume auto
"""


def extras(plan: TrainingPlan) -> str:
    """What the wheel is installed with, as pip writes it: what training needs, and what opens pictures."""
    return "[train,vision]" if plan.reads_images else "[train]"


def pip_arguments(plan: TrainingPlan) -> str:
    """What pip installs from inside the folder: the wheel with what training needs, at the tested versions."""
    index = torch_index(plan.accelerator)
    beside = f"--extra-index-url {index} " if index != PYPI else ""
    return f"{beside}-c {CONSTRAINTS.name} './{wheel_name()}{extras(plan)}'"


def start_script() -> str:
    """The trial, then the plan, as children that get the signals; how it ended stands in RUN_DIR."""
    return f"""#!/bin/bash
# {START} [FLAGS of torchrun]: {TRIAL_STEPS} steps as a trial, then the plan, on this node.
# A second start goes on where the first was stopped.
cd "$(dirname "$0")" || exit {exit_codes.ENVIRONMENT}
export RUN_DIR="${{RUN_DIR:-$PWD/{RUN_DIR}}}"
mkdir -p "$RUN_DIR"
rm -f "$RUN_DIR/{layout.EXIT_CODE}"
flags=("$@")
child="" asked=""
trap 'asked=yes; [ -z "$child" ] || kill -TERM "$child"' TERM INT HUP
trap 'echo $? > "$RUN_DIR/{layout.EXIT_CODE}"' EXIT

part() {{  # PLAN RUN_DIR: until it has ended, however often a signal wakes this shell
  [ -z "$asked" ] || return {exit_codes.STOPPED}
  bash {RUN} "$@" "${{flags[@]}}" &
  child=$!
  wait "$child"
  code=$?
  while kill -0 "$child" 2> /dev/null; do
    wait "$child"
    code=$?
  done
  child=""
  return "$code"
}}

if [ ! -d "$RUN_DIR/{TRIAL_DIR}/{layout.RESULT}" ]; then
  echo "trial: {TRIAL_STEPS} steps"
  part {TRIAL} "$RUN_DIR/{TRIAL_DIR}" || {{
    code=$?
    echo "the trial ended with $code: nothing else was started" >&2
    exit "$code"
  }}
  echo "the trial went well"
fi
part {layout.PLAN} "$RUN_DIR"
exit $?
"""
