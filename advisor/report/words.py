"""Figures in words: the only place where bytes become GiB and seconds become hours."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from advisor.estimate.result import Band
from advisor.probe.hardware import Gpu
from rules.messages import format_value

METHOD_NAMES = {
    "full": "full fine-tuning",
    "lora": "LoRA",
    "qlora": "QLoRA",
    "prefix": "prefix tuning",
    "adapter": "bottleneck adapters",
}
COMPONENT_NAMES = {
    "weights": "weights",
    "adapters": "adapters",
    "gradients": "gradients",
    "optimizer_states": "optimizer states",
    "activations": "activations",
    "logits": "logits",
    "buffers": "buffers",
    "runtime": "CUDA runtime",
}
ORIGIN_NAMES = {
    "flag": "flag",
    "file": "answers file",
    "prompt": "you",
    "probe": "probed",
    "dataset": "dataset",
    "model": "model",
    "default": "default",
}


def size(num_bytes: float | None) -> str:
    """ "15.3 GiB", "84 MiB", or "unknown"."""
    return format_value(num_bytes, "bytes")


def sizes(band: Band) -> str:
    """ "17.9 GiB likely, up to 20.4 GiB"."""
    return f"{size(band.likely)} likely, up to {size(band.high)}"


def duration(seconds: float | None) -> str:
    """ "2 h 36 min", "40 s", "3.2 days", or "unknown"."""
    if seconds is not None and seconds >= 3 * 86400:
        return f"{seconds / 86400:,.1f} days"
    return format_value(seconds, "seconds")


def duration_range(low: float | None, high: float | None) -> str:
    """ "2 h 10 min to 3 h 5 min", or "unknown"."""
    if low is None or high is None:
        return "unknown"
    first, last = duration(low), duration(high)
    return first if first == last else f"{first} to {last}"


def count(number: float | None) -> str:
    """ "5,000", "8.19B" from a million on, or "unknown"."""
    return format_value(number, "short" if number is not None and abs(number) >= 1e6 else "count")


def plain(value: Any) -> str:
    """Any value of a plan or an answer as a person writes it."""
    if isinstance(value, float):
        return f"{value:.4g}".replace("e-0", "e-").replace("e+0", "e")
    if isinstance(value, bool) or value is None or isinstance(value, (list, tuple)):
        return format_value(value)
    return str(value)


def answer(key: str, value: Any) -> str:
    """An answer for a person: sizes in GiB, yes and no, thousands separated."""
    if key.endswith("_bytes"):
        return size(value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else plain(value)


def short_name(gpu_name: str) -> str:
    """ "NVIDIA GeForce RTX 4090" -> "RTX 4090"."""
    return gpu_name.removeprefix("NVIDIA ").removeprefix("GeForce ")


def alike(gpus: Iterable[Gpu]) -> list[tuple[Gpu, list[int]]]:
    """GPUs grouped by name and free memory (to 0.1 GiB), in order, with the indices of each group."""
    groups: dict[tuple[str, int | None], tuple[Gpu, list[int]]] = {}
    for gpu in gpus:
        free = None if gpu.free_bytes is None else round(gpu.free_bytes / (1 << 30), 1)
        _, indices = groups.setdefault((gpu.name, free), (gpu, []))
        indices.append(gpu.index)
    return list(groups.values())


def index_range(indices: list[int]) -> str:
    """[0, 1, 2, 3] -> "0-3"; [0, 2] -> "0, 2"."""
    if len(indices) > 2 and indices == list(range(indices[0], indices[-1] + 1)):
        return f"{indices[0]}-{indices[-1]}"
    return ", ".join(map(str, indices))
