"""Curves as an SVG drawing with honest axes: round ticks with the digits they need, no zoom into noise. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from trainers.foreign.text import html

Points = list[tuple[float, float]]
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 480, 240, 56, 10, 12, 26
SMALLEST_SPAN_SHARE = 0.05
"""The axis spans at least this share of the values: a smaller change is drawn small."""
TICKS = 5


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """One curve: its colour is `.c1`, `.c2` ... in the order of the series; few points are marked."""

    name: str
    points: Points
    marked: bool = False


def ticks(low: float, high: float, whole: bool = False) -> list[float]:
    """About five round numbers (1, 2, 5 times a power of ten) that enclose low to high; whole ones where asked."""
    span = high - low or abs(high) or 1.0
    raw = span / (TICKS - 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
    step = max(1.0, float(math.ceil(step))) if whole else step
    first = math.floor(low / step + 1e-9)
    last = max(first + 1, math.ceil(high / step - 1e-9))
    return [place * step for place in range(first, last + 1)]


def tick_text(value: float, step: float) -> str:
    """A tick with as many digits as tell it from its neighbours."""
    if step < 1e-4:
        digits = max(0, math.ceil(math.log10(max(abs(value), step) / step)))
        return f"{value:.{digits}e}"
    return f"{value:,.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"


def value_ticks(curves: Sequence[Points]) -> list[float]:
    """Ticks of the value axis for all curves together."""
    values = [value for curve in curves for _, value in curve]
    low, high = min(values), max(values)
    least = SMALLEST_SPAN_SHARE * max(abs(low), abs(high)) or 1e-12
    if high - low < least:
        middle = (low + high) / 2
        low, high = middle - least / 2, middle + least / 2
    return ticks(low, high)


class Frame(msgspec.Struct, frozen=True):
    """What a drawing of several curves shows."""

    drawn: list[Series]
    """Those that have points."""
    ups: list[float]
    """Ticks of the value axis, from below."""
    overs: list[float]
    """Ticks of the step axis, from the left."""


def frame(series: Sequence[Series]) -> Frame | None:
    """The axes that hold all curves; None without points."""
    drawn = [one for one in series if one.points]
    if not drawn:
        return None
    steps = [step for one in drawn for step, _ in one.points]
    return Frame(drawn, value_ticks([one.points for one in drawn]), ticks(min(steps), max(steps), whole=True))


def svg(series: Sequence[Series], label: str) -> str:
    """All curves in one drawing over steps, with a legend where there are several; nothing without points."""
    shown = frame(series)
    if shown is None:
        return ""
    drawn, ups, overs = shown.drawn, shown.ups, shown.overs

    def x(step: float) -> float:
        return LEFT + (step - overs[0]) / (overs[-1] - overs[0]) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return TOP + (ups[-1] - value) / (ups[-1] - ups[0]) * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
        f'<text x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick_text(tick, ups[1] - ups[0])}</text>'
        for tick in ups
    ]
    parts += [
        f'<text x="{x(tick):.1f}" y="{HEIGHT - 8}" text-anchor="{_anchor(place, len(overs))}">{tick:,.0f}</text>'
        for place, tick in enumerate(overs)
    ]
    for place, one in enumerate(drawn, 1):
        line = " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in one.points)
        parts.append(f'<polyline class="c{place}" points="{line}"/>')
        if one.marked or len(one.points) == 1:
            parts += [f'<circle class="c{place}" cx="{x(a):.1f}" cy="{y(b):.1f}" r="3"/>' for a, b in one.points]
    legend = "".join(f'<span class="c{place}">{html(one.name)}</span>' for place, one in enumerate(drawn, 1))
    drawing = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html(label)}">{"".join(parts)}</svg>'
    return drawing + (f'<p class="legend">{legend}</p>' if len(drawn) > 1 else "")


def _anchor(place: int, of: int) -> str:
    return "start" if place == 0 else "end" if place == of - 1 else "middle"
