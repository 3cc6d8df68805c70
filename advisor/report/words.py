"""Figures in words: the only place where bytes become GiB and seconds become hours."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from advisor.data.profile import DatasetProfile
from advisor.estimate.result import Band, StorageEstimate, TimeEstimate
from advisor.probe.hardware import Gpu
from advisor.recommendation import Change, Recommendation
from rules.messages import format_value
from trainers.plan import TrainingPlan


class Timed(Protocol):
    """A candidate or an estimate."""

    @property
    def plan(self) -> TrainingPlan:
        """The plan."""

    @property
    def time(self) -> TimeEstimate | None:
        """Its duration."""

    @property
    def storage(self) -> StorageEstimate:
        """Its files."""


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
    "runtime": "runtime",
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
    return f"about {first}" if first == last else f"{first} and {last}"


def count(number: float | None) -> str:
    """ "5,000", "8.19B" from a million on, or "unknown"."""
    return format_value(number, "short" if number is not None and abs(number) >= 1e6 else "count")


def plain(value: Any) -> str:
    """Any value of a plan or an answer as a person writes it."""
    if isinstance(value, float):
        if 0 < abs(value) < 0.001:
            mantissa, _, exponent = f"{value:.3e}".partition("e")
            return f"{float(mantissa):g}e{int(exponent)}"
        return f"{value:.4g}"
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
    groups: dict[tuple[str, float | None], tuple[Gpu, list[int]]] = {}
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


def gpu_names(gpus: Iterable[Gpu]) -> str:
    """ "RTX 4090", "2x RTX 4090", "1x RTX 3090 + 1x RTX 5090"."""
    numbers: dict[str, int] = {}
    for gpu in gpus:
        name = short_name(gpu.name)
        numbers[name] = numbers.get(name, 0) + 1
    if len(numbers) == 1 and 1 in numbers.values():
        return next(iter(numbers))
    return " + ".join(f"{number}x {name}" for name, number in numbers.items())


def situation(result: Recommendation) -> str:
    """ "8.19B parameters · 2x RTX 4090 · 5,000 examples"."""
    hardware = result.hardware
    machine = gpu_names(hardware.usable_gpus) if hardware.usable_gpus else "no usable GPU"
    if hardware.num_nodes > 1:
        machine = f"{hardware.num_nodes} nodes of {machine}"
    parts = [f"{count(result.model.num_params)} parameters", machine]
    if result.facts.get("data.examples") is not None:
        parts.append(f"{count(result.facts['data.examples'])} examples")
    if result.facts.get("task.count", 1) > 1:
        parts.append(f"{count(result.facts['task.count'])} tasks")
    return " · ".join(parts)


def time_lines(candidate: Timed) -> list[str]:
    """How long it takes: the likely duration with its range, then speed and what the figure rests on."""
    time = candidate.time
    if time is None:
        return ["not known: the speed of this device is not known"]
    speed = f"{count(time.tokens_per_second)} tokens/s"
    if time.total_seconds is None:
        return [f"not known: the amount of data is not known; {speed}"]
    lines = [f"{duration(time.total_seconds)}, between {duration_range(time.low_seconds, time.high_seconds)}"]
    details = [speed, f"{count(time.num_steps)} steps"]
    if time.gpu_hours is not None and candidate.plan.num_gpus > 1:
        details.append(f"{time.gpu_hours:,.1f} GPU-hours")
    return [*lines, ", ".join(details)]


def disk_lines(candidate: Timed) -> list[str]:
    """How much is written, and where."""
    storage = candidate.storage
    lines = [f"{size(storage.peak_output_bytes)} at most in {candidate.plan.output_dir}"]
    lines.append(f"result {size(storage.artifact_bytes)}, one checkpoint {size(storage.checkpoint_bytes)}")
    if storage.cache_bytes:
        lines.append(f"base weights {size(storage.cache_bytes)} in the cache")
    return lines


def outcome(change: Change) -> str:
    """What a change leads to."""
    return METHOD_NAMES[change.method] if change.method else change.verdict.replace("_", " ")


def dataset_line(data: DatasetProfile) -> str:
    """ "5,000 examples as messages, 4M tokens, 95 % shorter than 1,500"."""
    exact = "" if data.lengths.exact_tokens else " (estimated)"
    return (
        f"{count(data.num_examples)} examples as {data.format.replace('_', '/')}, "
        f"{count(data.total_tokens)} tokens{exact}, 95 % shorter than {count(data.lengths.p95)}"
    )
