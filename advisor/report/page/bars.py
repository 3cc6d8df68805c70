"""Memory as bars for inline SVG: methods side by side on one scale, unlike cards of one plan, the phases of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from advisor.base.language import tr
from advisor.decide.recommendation import Candidate, Recommendation
from advisor.estimate.result import COMPONENTS, MemoryEstimate
from advisor.report import words
from trainers import amounts
from trainers.method import METHODS

WIDTH = 1000.0
"""Of every bar, in the units of its viewBox."""

Tone = Literal["good", "bad", "caution", ""]


class Part(NamedTuple):
    """One component of a bar: place and width in the viewBox, and what a pointer shows."""

    name: str
    x: float
    width: float
    title: str


class Bar(NamedTuple):
    """Components from the left, the rest of the range up to its upper end, and a mark at the free memory."""

    label: str
    parts: tuple[Part, ...]
    band: tuple[float, float] | None = None
    mark: float | None = None
    limit_bytes: int | None = None


class MethodRow(NamedTuple):
    """One method beside the others."""

    title: str
    bar: Bar
    need: str
    fits: bool
    duration: str
    standing: str
    tone: Tone
    why_not: tuple[str, ...]


def shown_parts(parts: Mapping[str, int]) -> dict[str, int]:
    """The parts that are there, in the order in which they are stacked."""
    return {name: parts[name] for name in (*COMPONENTS, *parts) if parts.get(name)}


def compared(result: Recommendation) -> tuple[Candidate, ...]:
    """Every method that was judged, the advised one first."""
    return (*([result.best] if result.best else []), *result.alternatives, *result.rejected)


def method_rows(result: Recommendation) -> list[MethodRow]:
    """Every method against the free memory of the card, all on one scale."""
    shown = compared(result)
    scale = max([each.memory.device.high for each in shown] + [each.available_bytes or 0 for each in shown])
    rows = []
    for candidate in shown:
        seconds = candidate.time.total_seconds if candidate.time else None
        standing, tone = _standing(candidate, result)
        rows.append(
            MethodRow(
                title=tr(METHODS[candidate.method].title),
                bar=_bar(tr(METHODS[candidate.method].title), candidate.memory, candidate.available_bytes, scale),
                need=amounts.size(candidate.memory.device.high),
                fits=candidate.fits,
                duration=(amounts.duration(seconds) if seconds is not None else tr("time not known")),
                standing=standing,
                tone=tone,
                why_not=candidate.why_not,
            )
        )
    return rows


def _standing(candidate: Candidate, result: Recommendation) -> tuple[str, Tone]:
    if candidate is result.best:
        return (tr("if at all"), "caution") if result.gates else (tr("advised"), "good")
    if candidate in result.alternatives:
        return tr("possible"), ""
    return (tr("ruled out") if candidate.fits else tr("does not fit")), "bad"


def card_bars(result: Recommendation, candidate: Candidate) -> list[Bar]:
    """One bar for each group of equal GPUs that the plan uses, where they are not all alike; else none."""
    gpus = [gpu for gpu in result.hardware.usable_gpus if gpu.uuid in candidate.plan.device_uuids]
    groups = words.alike(gpus or result.hardware.usable_gpus)
    if candidate.plan.accelerator == "cpu" or len(groups) <= 1:
        return []
    scale = max([candidate.memory.device.high, *(gpu.free_bytes or 0 for gpu, _ in groups)])
    return [
        _bar(
            f"GPU {words.index_range(indices)} {words.short_name(gpu.name)}",
            candidate.memory,
            gpu.free_bytes,
            scale,
        )
        for gpu, indices in groups
    ]


def phase_bars(candidate: Candidate) -> list[tuple[str, Bar, str]]:
    """Name, bar and size of each phase, on the scale of the free memory where that is known."""
    phases = [phase for phase in candidate.memory.phases if phase.total_bytes]
    scale = max([phase.total_bytes for phase in phases] + [candidate.available_bytes or 0])
    return [
        (
            name := tr(phase.phase.replace("_", " ")),
            Bar(name, _parts(phase.parts, scale), mark=_mark(candidate.available_bytes, scale)),
            amounts.size(phase.total_bytes),
        )
        for phase in phases
    ]


def _bar(label: str, memory: MemoryEstimate, limit_bytes: int | None, scale: int) -> Bar:
    start = sum(memory.peak_parts.values()) / scale * WIDTH
    end = memory.device.high / scale * WIDTH
    band = (round(start, 1), round(max(0.0, end - start), 1))
    return Bar(label, _parts(memory.peak_parts, scale), band, _mark(limit_bytes, scale), limit_bytes)


def _mark(limit_bytes: int | None, scale: int) -> float | None:
    return None if limit_bytes is None else round(min(limit_bytes / scale * WIDTH, WIDTH) - 4, 1)


def _parts(parts: Mapping[str, int], scale: int) -> tuple[Part, ...]:
    placed, left = [], 0.0
    for name, num_bytes in shown_parts(parts).items():
        width = num_bytes / scale * WIDTH
        title = f"{tr(words.COMPONENT_NAMES.get(name, name))} {amounts.size(num_bytes)}"
        placed.append(Part(name, round(left, 1), round(width, 1), title))
        left += width
    return tuple(placed)
