"""What a job asks of a cluster for the machine that the plan was made for: card, time, memory, image."""

from __future__ import annotations

import math
from importlib import metadata

from trainers.accelerators import ACCELERATORS, Accelerator
from trainers.export.cluster import per_node
from trainers.export.wheel import CONSTRAINTS, PACKAGES
from trainers.plan import TrainingPlan

GIB = 1024**3
PYPI = "https://pypi.org/simple"
TORCH_INDEX = "https://download.pytorch.org/whl/"
TIME_MARGIN = 1.2
"""Over the upper end of the predicted hours: loading, evaluations and saves are not in it."""
DEFAULT_HOURS = 24
MEMORY_MARGIN = 1.2
"""Over the predicted host memory: page cache counts in a job's limit."""
LEAST_GIB_PER_PROCESS = 8
"""A job that is killed for a gigabyte costs more than one that asks for what a node has anyway."""
SKYPILOT_NAMES = {
    "Tesla T4": "T4",
    "Tesla P100-PCIE-16GB": "P100",
    "Tesla V100-SXM2-16GB": "V100",
    "Tesla V100-SXM2-32GB": "V100-32GB",
    "NVIDIA L4": "L4",
    "NVIDIA L40": "L40",
    "NVIDIA L40S": "L40S",
    "NVIDIA A10": "A10",
    "NVIDIA A10G": "A10G",
    "NVIDIA A40": "A40",
    "NVIDIA A100-SXM4-40GB": "A100",
    "NVIDIA A100-PCIE-40GB": "A100",
    "NVIDIA A100-SXM4-80GB": "A100-80GB",
    "NVIDIA A100 80GB PCIe": "A100-80GB",
    "NVIDIA H100 80GB HBM3": "H100",
    "NVIDIA H100 PCIe": "H100",
    "NVIDIA H100 NVL": "H100-NVL",
    "NVIDIA H200": "H200",
    "NVIDIA GH200 480GB": "GH200",
    "NVIDIA B200": "B200",
    "NVIDIA GeForce RTX 3090": "RTX3090",
    "NVIDIA GeForce RTX 4090": "RTX4090",
    "NVIDIA GeForce RTX 5090": "RTX5090",
    "NVIDIA RTX A5000": "RTXA5000",
    "NVIDIA RTX A6000": "RTXA6000",
    "NVIDIA RTX 6000 Ada Generation": "RTX6000-Ada",
    "AMD Instinct MI300X": "MI300X",
}
"""Driver name -> SkyPilot's name, as `sky show-gpus -a` lists them."""
COMMON_GIB = {
    "T4": 15,
    "V100": 16,
    "L4": 22,
    "A10G": 22,
    "A10": 22,
    "V100-32GB": 32,
    "A100": 40,
    "L40S": 45,
    "H100": 79,
    "A100-80GB": 80,
    "H200": 140,
}
"""The cards that SkyPilot finds on several clouds -> GiB that the driver shows."""
MODAL_NAMES = {
    "Tesla T4": "T4",
    "NVIDIA L4": "L4",
    "NVIDIA A10": "A10",
    "NVIDIA A10G": "A10",
    "NVIDIA A100-SXM4-40GB": "A100-40GB",
    "NVIDIA A100-PCIE-40GB": "A100-40GB",
    "NVIDIA A100-SXM4-80GB": "A100-80GB",
    "NVIDIA A100 80GB PCIe": "A100-80GB",
    "NVIDIA L40S": "L40S",
    "NVIDIA H100 80GB HBM3": "H100",
    "NVIDIA H200": "H200",
    "NVIDIA B200": "B200",
}
"""Driver name -> Modal's name, as its guide to GPUs lists them."""
MODAL_GIB = {"T4": 15, "L4": 22, "A10": 22, "A100-40GB": 40, "L40S": 45, "A100-80GB": 80, "H200": 140, "B200": 179}
"""Modal's cards, the cheapest first -> GiB that the driver shows."""
SHM_GIB_PER_PROCESS = 2
"""NCCL and the workers that read batches meet in /dev/shm; a container has 64 MiB of it where nobody asks."""
DOCKERFILE, DOCKERIGNORE = "Dockerfile", ".dockerignore"
WITHOUT_BF16 = ("T4", "V100", "V100-32GB")


def skypilot_cards(plan: TrainingPlan, count: int) -> dict[str, int]:
    """SkyPilot's names -> cards a node: the card planned on, else every common one with room."""
    planned = plan.made_for.gpu if plan.made_for else None
    if planned in SKYPILOT_NAMES:
        return {SKYPILOT_NAMES[planned]: count}
    if plan.accelerator == "rocm":
        return {"MI300X": count}
    need_bytes = plan.predicted_peak_bytes or (plan.made_for.gpu_bytes if plan.made_for else None) or 0
    able = {name: gib for name, gib in COMMON_GIB.items() if _computes(plan, name)}
    roomy = {name: count for name, gib in able.items() if gib * GIB >= need_bytes}
    return roomy or {max(able, key=lambda name: able[name]): count}


def hours(plan: TrainingPlan) -> int:
    """Whole hours to ask for: the upper end of the prediction and a margin, at least one; 24 without a prediction."""
    predicted = plan.made_for.high_hours if plan.made_for else None
    return DEFAULT_HOURS if predicted is None else max(1, math.ceil(predicted * TIME_MARGIN))


def host_gib(plan: TrainingPlan) -> int | None:
    """Host memory of one node to ask for, whole GiB; None without a prediction."""
    predicted = plan.made_for.host_bytes if plan.made_for else None
    if not predicted:
        return None
    return max(math.ceil(predicted * MEMORY_MARGIN / GIB), LEAST_GIB_PER_PROCESS * per_node(plan))


def shm_gib(plan: TrainingPlan) -> int:
    """Shared memory of one node to ask for, whole GiB."""
    return SHM_GIB_PER_PROCESS * per_node(plan)


def modal_card(plan: TrainingPlan) -> str:
    """Modal's name of the card planned on, else of the cheapest with room that computes as planned."""
    planned = plan.made_for.gpu if plan.made_for else None
    if planned in MODAL_NAMES:
        return MODAL_NAMES[planned]
    need_bytes = plan.predicted_peak_bytes or 0
    able = {name: gib for name, gib in MODAL_GIB.items() if _computes(plan, name)}
    return next((name for name, gib in able.items() if gib * GIB >= need_bytes), "B200")


def image(plan: TrainingPlan) -> str:
    """The name of the image that the exported Dockerfile is built as."""
    return f"sft-advisor:{metadata.version('sft-advisor')}{'' if _has_cuda(plan) else f'-{plan.accelerator}'}"


def build_command(plan: TrainingPlan, folder: str) -> tuple[str, ...]:
    """Builds `image(plan)` from the Dockerfile in `folder`."""
    index = () if _has_cuda(plan) else ("--build-arg", f"TORCH_INDEX={torch_index(plan.accelerator)}")
    return ("docker", "build", *index, "--tag", image(plan), folder)


def dockerfile(*, from_source: bool = False, extras: str = "[train]") -> str:
    """An image with all that training needs: from the wheel that lies beside it, or from a checkout."""
    copied, what = (
        ("pyproject.toml README.md LICENSE NOTICE", ".") if from_source else ("sft_advisor-*.whl", "$(echo *.whl)")
    )
    folders = "".join(f"COPY {name} ./{name}\n" for name in PACKAGES) if from_source else ""
    return f"""# docker build -t sft-advisor .
# docker build -t sft-advisor:cpu --build-arg TORCH_INDEX={TORCH_INDEX}cpu .
FROM python:3.12-slim
ARG TORCH_INDEX={PYPI}
# triton compiles its launchers when they are first used
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY {CONSTRAINTS.name} {copied} ./
{folders}RUN pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" -c {CONSTRAINTS.name} "{what}{extras}"
# any user may write the hub's cache, and has a name and a home
RUN mkdir -m 777 /cache
ENV PYTHON=python HF_HOME=/cache HOME=/tmp USER=trainer
WORKDIR /job
"""


def dockerignore() -> str:
    """Nothing of a job but what its image is made of: data and models are mounted, never built in."""
    return f"*\n!sft_advisor-*.whl\n!{CONSTRAINTS.name}\n"


def torch_index(accelerator: Accelerator) -> str:
    """Where pip finds torch for this kind of device, beside PyPI, whose build is the one for CUDA."""
    traits = ACCELERATORS[accelerator]
    return f"{TORCH_INDEX}{traits.build}" if traits.build and traits.build_begins else PYPI


def _has_cuda(plan: TrainingPlan) -> bool:
    return plan.accelerator == "cuda"


def _computes(plan: TrainingPlan, name: str) -> bool:
    return plan.compute_dtype != "bf16" or name not in WITHOUT_BF16
