"""Figures in words, for the reports: bytes as GiB, seconds as hours."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from advisor.base.language import later, tr
from advisor.data.profile import DatasetProfile
from advisor.decide.recommendation import Change, Recommendation
from advisor.estimate.result import Band, StorageEstimate, TimeEstimate
from advisor.probe.hardware import Gpu, Hardware
from rules.messages import format_value
from trainers.amounts import count, duration, size
from trainers.method import METHODS
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


COMPONENT_NAMES = {
    "weights": "weights",
    "adapters": "adapters",
    "gradients": "gradients",
    "optimizer_states": later("optimizer states"),
    "activations": "activations",
    "logits": "logits",
    "buffers": "buffers",
    "runtime": "runtime",
}
ORIGIN_NAMES = {
    "flag": "flag",
    "file": later("answers file"),
    "prompt": "you",
    "probe": "probed",
    "dataset": "dataset",
    "model": "model",
    "default": "default",
}


def sizes(band: Band) -> str:
    """ "17.9 GiB likely, up to 20.4 GiB"."""
    return tr("{likely} likely, up to {high}", likely=size(band.likely), high=size(band.high))


def duration_range(low: float | None, high: float | None) -> str:
    """ "between 2 h 10 min and 3 h 5 min", "about 1 s" where both ends are said alike, or "unknown"."""
    if low is None or high is None:
        return tr("unknown")
    first, last = duration(low), duration(high)
    return (
        tr("about {time}", time=first) if first == last else tr("between {first} and {last}", first=first, last=last)
    )


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


def setting(value: Any) -> str:
    """A field of a plan as a person writes it: one that is not set is "none", for nobody has to find it out."""
    return tr("none") if value is None else plain(value)


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
    machine = gpu_names(hardware.usable_gpus) if hardware.usable_gpus else tr("no usable GPU")
    if hardware.num_nodes > 1:
        machine = tr("{count} nodes of {machine}", count=hardware.num_nodes, machine=machine)
    parts = [tr("{count} parameters", count=count(result.model.num_params)), machine]
    if result.facts.get("data.examples") is not None:
        parts.append(tr("{count} examples", count=count(result.facts["data.examples"])))
    if result.facts.get("task.count", 1) > 1:
        parts.append(tr("{count} tasks", count=count(result.facts["task.count"])))
    return " · ".join(parts)


def cost_usd(candidate: Timed, hardware: Hardware) -> tuple[float, float] | None:
    """Ends of what the run costs at the place that was named, in US dollars; None where there is no price."""
    offer, time = hardware.offer, candidate.time
    if offer is None or offer.usd_per_hour is None or time is None:
        return None
    if time.low_seconds is None or time.high_seconds is None:
        return None
    an_hour = offer.usd_per_hour * hardware.num_nodes
    return time.low_seconds / 3600 * an_hour, time.high_seconds / 3600 * an_hour


def offer_lines(candidate: Timed, hardware: Hardware) -> list[str]:
    """What the run costs at a place that is rented, and whether a session there is long enough; [] elsewhere."""
    offer, time = hardware.offer, candidate.time
    if offer is None or time is None or time.low_seconds is None or time.high_seconds is None:
        return []
    lines = []
    if (cost := cost_usd(candidate, hardware)) is not None:
        low, high = cost
        rate = tr("{usd} an hour a machine") if hardware.num_nodes > 1 else tr("{usd} an hour")
        lines.append(
            tr(
                "{low} to {high} US dollars, at {rate} ({date})",
                low=f"{low:,.2f}",
                high=f"{high:,.2f}",
                rate=rate.format(usd=f"{offer.usd_per_hour:,.2f}"),
                date=offer.price_date,
            )
            if high
            else tr("free of charge")
        )
    if offer.session_hours is not None and time.high_seconds > offer.session_hours * 3600:
        lines.append(
            tr(
                "a session ends after {hours} h, perhaps before the run: `sft-advisor runs resume RUN_DIR` continues "
                "from the last checkpoint, on a disk that outlives it",
                hours=f"{offer.session_hours:g}",
            )
        )
    return lines


def time_lines(candidate: Timed) -> list[str]:
    """How long it takes: the likely duration with its range, then speed and what the figure rests on."""
    time = candidate.time
    if time is None or time.total_seconds is None:
        return [tr("not known: {why}", why=why_no_time(candidate))]
    speed = tr("{count} tokens/s", count=count(time.tokens_per_second))
    span = duration_range(time.low_seconds, time.high_seconds)
    lines = [tr("{time}, {range}", time=duration(time.total_seconds), range=span)]
    details = [speed, tr("{count} steps", count=count(time.num_steps))]
    if time.gpu_hours is not None and candidate.plan.num_gpus > 1:
        details.append(tr("{hours} GPU-hours", hours=f"{time.gpu_hours:,.1f}"))
    return [*lines, ", ".join(details)]


def why_no_time(candidate: Timed) -> str:
    """Why nobody can say how long it takes."""
    if candidate.time is None:
        return tr("how fast this device is; memory, method and settings do not depend on it")
    speed = tr("{count} tokens/s", count=count(candidate.time.tokens_per_second))
    return tr("the amount of data is not known; {speed}", speed=speed)


def disk_lines(candidate: Timed) -> list[str]:
    """How much is written, and where."""
    storage = candidate.storage
    peak, folder = size(storage.peak_output_bytes), candidate.plan.output_dir
    artifact, checkpoint = size(storage.artifact_bytes), size(storage.checkpoint_bytes)
    lines = [tr("{size} at most in {folder}", size=peak, folder=folder)]
    lines.append(tr("result {artifact}, one checkpoint {checkpoint}", artifact=artifact, checkpoint=checkpoint))
    if storage.cache_bytes:
        lines.append(tr("base weights {size} in the cache", size=size(storage.cache_bytes)))
    return lines


def outcome(change: Change) -> str:
    """What a change leads to."""
    if change.verdict == "repair_first" and change.method is not None:
        return tr("repair first, then {method}", method=tr(METHODS[change.method].title))
    if change.method is None or change.verdict != "recommended":
        return tr(change.verdict.replace("_", " "))
    return tr(METHODS[change.method].title)


def dataset_line(data: DatasetProfile) -> str:
    """ "5,000 examples as messages, 4M tokens, 95 % shorter than 1,500"."""
    sentence = (
        tr("{examples} examples as {layout}, {tokens} tokens, 95 % shorter than {p95}")
        if data.lengths.exact_tokens
        else tr("{examples} examples as {layout}, {tokens} tokens (estimated), 95 % shorter than {p95}")
    )
    return sentence.format(
        examples=count(data.num_examples),
        layout=data.format.replace("_", "/"),
        tokens=count(data.total_tokens),
        p95=count(data.lengths.p95),
    )
