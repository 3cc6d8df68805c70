"""Curves in a terminal: one frame of characters, the same ticks as the report, a mark for each series."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.base.language import tr
from trainers.handover.charts import Series, frame, tick_text

MARKS = "*o+x"


def text_chart(series: Sequence[Series], width: int, height: int = 12) -> str:
    """All curves over steps in `height` lines of at most `width` characters, and a legend; "" without points."""
    shown = frame(series)
    if shown is None:
        return ""
    drawn, ups, overs = shown.drawn, shown.ups, shown.overs
    texts = [tick_text(tick, ups[1] - ups[0]) for tick in ups]
    left = max(map(len, texts))
    across = max(10, width - left - 3)
    grid = [[" "] * across for _ in range(height)]
    for mark, one in zip(MARKS, drawn, strict=False):
        for step, value in one.points:
            column = round((step - overs[0]) / (overs[-1] - overs[0]) * (across - 1))
            grid[_line(value, ups, height)][column] = mark
    labels = {_line(tick, ups, height): text for tick, text in zip(ups, texts, strict=True)}
    lines = [f"{labels.get(row, ''):>{left}} | {''.join(marks).rstrip()}".rstrip() for row, marks in enumerate(grid)]
    first, last = tr("step {overs:,.0f}", overs=overs[0]), f"{overs[-1]:,.0f}"
    lines.append(" " * (left + 3) + first + last.rjust(across - len(first)))
    legend = "   ".join(f"{mark} {one.name}" for mark, one in zip(MARKS, drawn, strict=False))
    return "\n".join([*lines, " " * (left + 3) + legend])


def _line(value: float, ups: Sequence[float], height: int) -> int:
    return round((ups[-1] - value) / (ups[-1] - ups[0]) * (height - 1))
