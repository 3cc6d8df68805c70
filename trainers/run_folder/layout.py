"""What a run folder holds, name by name. Everything that writes or reads there takes the name from here.

RUN/plan.toml            what is trained, and how
RUN/run.json             how far it got, how it ended
RUN/checkpoints/         what a resume starts from
RUN/result/              the weights or the adapter that the run leaves
RUN/merged/              the same as one whole model, once it was merged
RUN/tasks/NAME/          a run folder for each task, where a run has several
"""

from __future__ import annotations

PLAN = "plan.toml"
FIRST_PLAN = "plan.first.toml"
"""The plan as it was handed over, kept once the supervisor had to change it."""
RECOMMENDATION = "recommendation.json"
"""The advice that the plan came from, with its other candidates."""
FINGERPRINT = "fingerprint.json"
"""What a resume may not change."""
REQUIREMENTS = "requirements.txt"
"""Every installed package with its version, at the start."""
LOCK = ".lock"
"""Held by the one process that trains here; in a data folder by the one that prepares it."""

DATA = "data"
"""Folder of the prepared examples."""
BASE_EVALUATION = "base_evaluation.json"
"""In `DATA`: how the untrained model did."""

RUN = "run.json"
JOB, SUBMITTED = "job", "submitted.json"
"""Of a run elsewhere: what was sent there, and what the place calls it."""
EXIT_CODE = "exit_code"
"""How a job of another machine ended, written last; not there while it runs, and after it was killed."""
METRICS = "metrics.jsonl"
EVENTS = "events.jsonl"
TRAIN_LOG = "train.log"
PREFLIGHT = "preflight.json"
PREFLIGHT_LOG = "preflight.log"
CRASH = "crash.txt"

CHECKPOINTS = "checkpoints"
RESULT = "result"
MERGED = "merged"
SAMPLES = "samples.json"
LOSS_CURVES = "loss.png"
REPORT = "report.html"
TASKS = "tasks"
ADAPTERS = "adapters.json"
"""Where the adapters of a run of several tasks are, and how they compare."""

MODEL_CARD = "README.md"
SERVE = "serve.json"
"""The command that serves the result, for each engine."""
MODELFILE = "Modelfile"
