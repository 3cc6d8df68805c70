"""The memory of one step as an area chart: shapes for an inline SVG, no script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from advisor.base.language import tr
from advisor.estimate.result import COMPONENTS, Instant, MemoryEstimate
from advisor.report import words
from trainers import amounts

WIDTH, HEIGHT = 640.0, 210.0
GIB = 1 << 30
MOST_TICKS = 4


def step_chart(memory: MemoryEstimate) -> dict[str, Any] | None:
    """Areas by component from the bottom up, the line of reserved bytes, a scale, the phases and the fullest instant.

    None without a timeline. Sizes in the units of the SVG's viewBox.
    """
    instants = memory.timeline
    if len(instants) < 2:
        return None
    scale = max(max(each.allocated_bytes, each.reserved_bytes) for each in instants)
    across = [index * WIDTH / (len(instants) - 1) for index in range(len(instants))]
    fullest = max(range(len(instants)), key=lambda index: instants[index].allocated_bytes)
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "areas": _areas(instants, across, scale),
        "ticks": _ticks(scale),
        "reserved": _points(across, [_up(each.reserved_bytes, scale) for each in instants]),
        "phases": [
            {"x": round(across[index], 1), "label": tr(each.phase.replace("_", " "))}
            for index, each in enumerate(instants)
            if index == 0 or (each.phase != instants[index - 1].phase and index < len(instants) - 1)
        ],
        "peak": {"x": round(across[fullest], 1), "title": _named(instants[fullest])},
    }


def _areas(instants: Sequence[Instant], across: Sequence[float], scale: int) -> list[dict[str, str]]:
    areas, below = [], [0] * len(instants)
    for name in COMPONENTS:
        above = [low + each.parts.get(name, 0) for low, each in zip(below, instants, strict=True)]
        if above != below:
            edge = [_up(amount, scale) for amount in above]
            floor = [_up(amount, scale) for amount in reversed(below)]
            largest = max(each.parts.get(name, 0) for each in instants)
            areas.append(
                {
                    "name": name,
                    "points": f"{_points(across, edge)} {_points(list(reversed(across)), floor)}",
                    "title": tr(
                        "{part} up to {size}", part=tr(words.COMPONENT_NAMES[name]), size=amounts.size(largest)
                    ),
                }
            )
        below = above
    return areas


def _ticks(scale: int) -> list[dict[str, Any]]:
    """Round sizes on the scale, at most four, and none so near the top that its text would leave the picture."""
    step = next(step for power in range(-3, 6) for step in (10**power, 2 * 10**power, 5 * 10**power)
                if step * GIB * MOST_TICKS >= scale)  # fmt: skip
    amounts_gib = [number * step for number in range(1, MOST_TICKS + 1) if number * step * GIB <= 0.85 * scale]
    return [{"y": round(_up(int(gib * GIB), scale), 1), "label": f"{gib:g} GiB"} for gib in amounts_gib]


def _up(amount: int, scale: int) -> float:
    return HEIGHT * (1 - amount / scale)


def _points(across: Sequence[float], heights: Sequence[float]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, heights, strict=True))


def _named(instant: Instant) -> str:
    parts = ", ".join(
        f"{tr(words.COMPONENT_NAMES[name])} {amounts.size(num_bytes)}"
        for name, num_bytes in instant.parts.items()
        if num_bytes
    )
    return f"{instant.label}: {amounts.size(instant.allocated_bytes)} ({parts})"
