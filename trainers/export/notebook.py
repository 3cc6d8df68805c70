"""The plan as a notebook for Colab, Kaggle or any Jupyter: run top to bottom, and again after a session has ended.

What it trains on travels inside it while that is small, and as job.tar.gz beside it when it is not.
"""

from __future__ import annotations

import base64
import io
import tarfile
from pathlib import Path
from typing import Any, get_args

from trainers.export.cluster import uses_gpus
from trainers.export.job import START, extras, texts
from trainers.export.ssh import require_one_node
from trainers.export.table import Export, Target, as_json
from trainers.export.wheel import CONSTRAINTS, PROJECT, wheel_name
from trainers.method import Method
from trainers.plan import TrainingPlan
from trainers.run_folder import layout

NOTEBOOK, ARCHIVE = "sft.ipynb", "job.tar.gz"
EMBEDDED_BYTES = 8 * 1024**2
"""Of the packed job: notebooks of some ten megabytes are slow to open, and refused above twenty."""
COLAB_CARDS = {"Tesla T4": "T4", "NVIDIA L4": "L4", "NVIDIA A100-SXM4-40GB": "A100"}
"""Driver name -> what Colab calls the runtime."""
KEPT_FROM_HOST = ("torch==", "triton==", "nvidia", "numpy==")
"""Versions that the host decides: its torch is built for its driver, and takes minutes to replace."""


def export(plan: TrainingPlan) -> Export:
    """The notebook, without the job: `write` packs that. Raises PlanRefused for a plan over several nodes."""
    require_one_node(plan, TARGET.title)
    return Export(
        files={NOTEBOOK: as_json(_document(plan, "")), **texts(plan)},
        command=f"jupyter nbconvert --to notebook --execute --inplace {NOTEBOOK}",
        notes=(
            "Colab: upload the notebook, choose the GPU, run all; the run is kept on your Drive, so that a second "
            "session goes on where the first ended",
            "Kaggle: upload the notebook, choose the accelerator and Save & Run All; the result is the output",
            f"{ARCHIVE} has to be uploaded too when the notebook says that it does not hold it",
        ),
    )


def _finish(plan: TrainingPlan, folder: Path) -> None:
    """Pack the job that lies in `folder`, and put it into the notebook while it is small."""
    packed = io.BytesIO()
    names = sorted(file.name for file in folder.iterdir() if file.name not in (NOTEBOOK, ARCHIVE))
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name in names:
            archive.add(folder / name, name)
    (folder / ARCHIVE).write_bytes(packed.getvalue())
    if packed.tell() <= EMBEDDED_BYTES:
        held = base64.b64encode(packed.getvalue()).decode()
        (folder / NOTEBOOK).write_text(as_json(_document(plan, held)), encoding="utf-8")


TARGET = Target(title="notebook", trains_by_itself=False, methods=get_args(Method), finish=_finish)


def _document(plan: TrainingPlan, held: str) -> dict[str, Any]:
    cells = [
        _text(_introduction(plan)),
        _code(_UNPACK.replace("HELD", repr(held)).replace("ARCHIVE", repr(ARCHIVE))),
        _code(_KEEP),
        _code(_install(plan)),
        _code(_TRAIN.replace("START", repr(START))),
        _code(_LOOK.replace("SAMPLES", repr(layout.SAMPLES)).replace("RESULT", repr(layout.RESULT))),
    ]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    return {"cells": cells, "metadata": _metadata(plan), "nbformat": 4, "nbformat_minor": 5}


def _metadata(plan: TrainingPlan) -> dict[str, Any]:
    """Which runtime to open it in, for those who read it."""
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    if not uses_gpus(plan):
        return kernel
    card = COLAB_CARDS.get(plan.made_for.gpu or "") if plan.made_for else None
    return {**kernel, "accelerator": "GPU", **({"colab": {"gpuType": card}} if card else {})}


def _introduction(plan: TrainingPlan) -> str:
    planned = plan.made_for
    card = f", planned for {planned.gpus_per_node}x {planned.gpu}" if planned and planned.gpu else ""
    hours = f" About {planned.high_hours:g} hours at most." if planned and planned.high_hours is not None else ""
    return (
        f"# Fine-tuning by {plan.method}{card}\n\n"
        f"Run all cells, top to bottom.{hours} Two steps are tried first. A session that ends too early "
        "loses little: run all cells again, and the training goes on from its last checkpoint."
    )


def _install(plan: TrainingPlan) -> str:
    return f'''# This version and the versions that it was tested with; torch stays the one of this machine.
from importlib.metadata import PackageNotFoundError, version

pins = JOB / "pins.txt"
lines = (JOB / "{CONSTRAINTS.name}").read_text().splitlines()
pins.write_text("\\n".join(line for line in lines if not line.startswith({KEPT_FROM_HOST!r})))
try:
    there = version("{PROJECT}")
    import torch, trl  # noqa: E401
except (PackageNotFoundError, ImportError):
    there = ""
if there != "{wheel_name().split("-")[1]}":
    wheel = str(JOB / "{wheel_name()}")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "-c", str(pins), f"{{wheel}}{extras(plan)}"], check=True
    )'''


_UNPACK = """import base64, io, os, pathlib, subprocess, sys, tarfile

PACKED = HELD
JOB = pathlib.Path("sft-job").absolute()
IN_COLAB, IN_KAGGLE = pathlib.Path("/content").is_dir(), pathlib.Path("/kaggle/working").is_dir()
if not PACKED:
    places = [pathlib.Path(ARCHIVE), *pathlib.Path("/kaggle/input").rglob(ARCHIVE)]
    found = next((place for place in places if place.is_file()), None)
    if found is None and IN_COLAB:
        from google.colab import files

        files.upload()
        found = pathlib.Path(ARCHIVE)
    assert found, "upload " + ARCHIVE + " beside this notebook"
    raw = found.read_bytes()
else:
    raw = base64.b64decode(PACKED)
with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
    archive.extractall(JOB, filter="data")
print(sorted(path.name for path in JOB.iterdir()))"""
_KEEP = """# Where the run is kept, and the hub's token where this place holds one for you.
environment = dict(os.environ, PYTHON=sys.executable, PYTHONUNBUFFERED="1")
RUN = pathlib.Path("run").absolute()
try:
    if IN_COLAB:
        from google.colab import drive, userdata

        drive.mount("/content/drive")
        RUN = pathlib.Path("/content/drive/MyDrive/sft-run")
        environment["HF_TOKEN"] = userdata.get("HF_TOKEN")
    elif IN_KAGGLE:
        from kaggle_secrets import UserSecretsClient

        RUN = pathlib.Path("/kaggle/working/run")
        environment["HF_TOKEN"] = UserSecretsClient().get_secret("HF_TOKEN")
except Exception as missing:  # no secret of that name, or no access to it: models that are free need none
    print("without a token of the hub:", type(missing).__name__)
environment["RUN_DIR"] = str(RUN)
print(RUN)"""
_TRAIN = """command = ["bash", str(JOB / START)]
with subprocess.Popen(
    command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
) as training:
    for line in training.stdout:
        print(line, end="", flush=True)
assert training.returncode == 0, f"it ended with {training.returncode}; run this cell again to go on"
"""
_LOOK = """import json

samples = RUN / SAMPLES
if samples.is_file():
    print(json.dumps(json.loads(samples.read_text()), indent=2, ensure_ascii=False)[:4000])
print(sorted(path.name for path in (RUN / RESULT).iterdir()))
if IN_COLAB:
    import shutil

    shutil.make_archive("result", "zip", RUN / RESULT)
    from google.colab import files

    files.download("result.zip")"""


def _text(content: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": content}


def _code(content: str) -> dict[str, Any]:
    return {"cell_type": "code", "metadata": {}, "source": content, "execution_count": None, "outputs": []}
