"""What a job asks of a cluster for the machine that the plan was made for: card, time, memory, image."""

from __future__ import annotations

import math
from importlib import metadata

from trainers.export.cluster import per_node
from trainers.plan import TrainingPlan

GIB = 1024**3
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
WHEEL_WITH_EXTRA = '"$(echo sft_advisor-*.whl)[train]"'
"""For pip: the wheel that lies beside, with what training needs."""
WHEEL_NOTE = "put the wheel of this version beside the files: `pip wheel --no-deps .` in its source tree"
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


def image() -> str:
    """The name of the image that the exported Dockerfile is built as."""
    return f"sft-advisor:{metadata.version('sft-advisor')}"


def dockerfile() -> str:
    """Builds `image()` from the wheel that lies beside it; the torch of its package index carries CUDA."""
    return f"""FROM python:3.12-slim
# triton compiles its launchers when they are first used
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY sft_advisor-*.whl ./
RUN pip install --no-cache-dir {WHEEL_WITH_EXTRA}
WORKDIR /
"""


def _computes(plan: TrainingPlan, name: str) -> bool:
    return plan.compute_dtype != "bf16" or name not in WITHOUT_BF16
