"""The chart of one step: areas stack to what is held, and the line of the allocator lies above them."""

from __future__ import annotations

import msgspec

from advisor.report.page.chart import HEIGHT, WIDTH, step_chart
from tests.report import made_by_hand as made


def points(text: str) -> list[tuple[float, float]]:
    pairs = (pair.split(",") for pair in text.split())
    return [(float(x), float(y)) for x, y in pairs]


def test_the_areas_stack_without_gaps_and_end_at_what_is_allocated():
    memory = made.memory(4.0, 6.0)
    chart = step_chart(memory)
    assert chart is not None
    count = len(memory.timeline)
    scale = max(instant.reserved_bytes for instant in memory.timeline)
    below = [(x, HEIGHT) for x, _ in points(chart["areas"][0]["points"])[:count]]
    for area in chart["areas"]:
        corners = points(area["points"])
        assert list(reversed(corners[count:])) == below
        below = corners[:count]
    for (x, y), instant in zip(below, memory.timeline, strict=True):
        assert 0 <= x <= WIDTH
        assert abs(y - HEIGHT * (1 - instant.allocated_bytes / scale)) < 0.1
    assert all(line <= top + 0.1 for (_, line), (_, top) in zip(points(chart["reserved"]), below, strict=True))


def test_the_fullest_instant_is_marked_with_its_parts():
    chart = step_chart(made.memory(4.0, 6.0))
    assert chart is not None
    assert chart["peak"]["title"].startswith("backward, block 1 of 1: ")
    assert "optimizer states 4.0 GiB" in chart["peak"]["title"]
    assert [phase["label"] for phase in chart["phases"]] == ["forward", "backward"]


def test_an_estimate_without_a_timeline_has_no_chart():
    assert step_chart(msgspec.structs.replace(made.memory(4.0, 6.0), timeline=())) is None
