"""A Recommendation as one HTML file: no script, no network, opens from disk, prints well; bars are inline SVG."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from advisor.estimate.result import COMPONENTS
from advisor.recommendation import Candidate, Recommendation
from advisor.report import words
from advisor.report.plan import plan_groups

if TYPE_CHECKING:
    from collections.abc import Mapping

TEMPLATE = Path(__file__).with_name("report.html")
BAR_WIDTH, BAR_HEIGHT = 1000, 34
COLOURS = {
    "weights": "#3b6fb6",
    "adapters": "#2a9d8f",
    "gradients": "#8e5ea2",
    "optimizer_states": "#e0a030",
    "activations": "#5a9a4a",
    "logits": "#c8553d",
    "buffers": "#b86fa8",
    "runtime": "#8a8f98",
}


def render(result: Recommendation) -> str:
    """The whole page."""
    from jinja2 import Environment, StrictUndefined

    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page.filters |= {
        "size": words.size,
        "count": words.count,
        "plain": words.plain,
        "method": lambda method: words.METHOD_NAMES[method],
        "origin": lambda origin: words.ORIGIN_NAMES.get(origin, origin),
    }
    page.globals |= {
        "answer": words.answer,
        "bars": lambda candidate: bars(result, candidate),
        "colours": COLOURS,
        "components": words.COMPONENT_NAMES,
        "disk_lines": words.disk_lines,
        "outcome": words.outcome,
        "plan_groups": plan_groups,
        "phase_bars": phase_bars,
        "shown_parts": shown_parts,
        "sizes": words.sizes,
        "time_lines": words.time_lines,
    }
    return page.from_string(TEMPLATE.read_text(encoding="utf-8")).render(r=result, situation=words.situation(result))


def shown_parts(parts: Mapping[str, int]) -> dict[str, int]:
    """The parts that are there, in the order in which they are stacked."""
    return {name: parts[name] for name in (*COMPONENTS, *parts) if parts.get(name)}


def bars(result: Recommendation, candidate: Candidate) -> list[dict[str, Any]]:
    """One bar for each group of equal GPUs that the plan uses: `label` and `svg` shapes."""
    memory = candidate.memory
    gpus = [gpu for gpu in result.hardware.usable_gpus if gpu.uuid in candidate.plan.device_uuids]
    groups = words.alike(gpus or result.hardware.usable_gpus)
    if candidate.plan.accelerator == "cpu" or len(groups) <= 1:
        limits = [("", candidate.available_bytes)]
    else:
        names = [f"GPU {words.index_range(indices)}  {words.short_name(gpu.name)}" for gpu, indices in groups]
        limits = list(zip(names, [gpu.free_bytes for gpu, _ in groups], strict=True))
    scale = max([memory.device.high, *(limit or 0 for _, limit in limits)])
    return [
        {"label": label, "limit": limit, "shapes": _shapes(memory.peak_parts, scale), **_marks(memory, limit, scale)}
        for label, limit in limits
    ]


def phase_bars(candidate: Candidate) -> list[dict[str, Any]]:
    """One bar for each phase, on one scale."""
    phases = candidate.memory.phases
    scale = max(phase.total_bytes for phase in phases)
    return [
        {
            "label": phase.phase.replace("_", " "),
            "total": phase.total_bytes,
            "shapes": _shapes(phase.parts, scale),
            "band": None,
            "mark": None,
        }
        for phase in phases
        if phase.total_bytes
    ]


def _shapes(parts: Mapping[str, int], scale: int) -> list[dict[str, Any]]:
    shapes, left = [], 0.0
    for name, num_bytes in shown_parts(parts).items():
        width = num_bytes / scale * BAR_WIDTH
        title = f"{words.COMPONENT_NAMES.get(name, name)} {words.size(num_bytes)}"
        shapes.append({"x": round(left, 1), "width": round(width, 1), "colour": COLOURS.get(name), "title": title})
        left += width
    return shapes


def _marks(memory: Any, limit: int | None, scale: int) -> dict[str, Any]:
    start = sum(memory.peak_parts.values()) / scale * BAR_WIDTH
    end = memory.device.high / scale * BAR_WIDTH
    return {
        "band": (round(start, 1), round(max(0.0, end - start), 1)),
        "mark": None if limit is None else round(limit / scale * BAR_WIDTH, 1),
    }
