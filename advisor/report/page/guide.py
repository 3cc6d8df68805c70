"""The decision guide as a flow: its three questions and its verdict, with the path that this answer took.

Rules say in `evidence` which rows of the guide they carry, so that each station names its rules and those that spoke.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from advisor.base.language import later, tr
from advisor.decide.recommendation import Recommendation
from rules.engine import RuleBook
from trainers.method import METHODS

Facts = Mapping[str, Any]


class Station(NamedTuple):
    """One branch of one question of the guide."""

    title: str
    advice: str
    """What the guide says there."""
    rows: tuple[str, ...]
    """Rows of the guide, as rules name them in `evidence`."""
    taken: Callable[[Facts], bool]


class Question(NamedTuple):
    """One question of the guide, in the order in which it asks."""

    title: str
    term: str
    """As the guide calls it."""
    otherwise: str
    """Where no station holds."""
    stations: tuple[Station, ...]


class Stop(NamedTuple):
    """A station with what this answer makes of it."""

    title: str
    advice: str
    taken: bool
    spoke: tuple[str, ...]
    """Rules of the station that fired, on any plan."""
    silent: tuple[str, ...]
    """Its other rules."""


class Step(NamedTuple):
    """A question with its stations."""

    title: str
    term: str
    stops: tuple[Stop, ...]


def _is(path: str, *values: Any) -> Callable[[Facts], bool]:
    return lambda facts: facts.get(path) in values


def _several(facts: Facts) -> bool:
    return (facts.get("task.count") or 1) > 1


def _one_task_for_quality(facts: Facts) -> bool:
    return not _several(facts) and facts.get("task.priority") == "quality"


def _storage_is_limited(facts: Facts) -> bool:
    return facts.get("storage.budget_bytes") is not None


GUIDE = (
    Question(
        later("What hardware is there?"),
        "评估硬件资源",
        later("Not known"),
        (
            Station(
                later("One card below 48 GB"), later("QLoRA first"), ("SD-HW1",), _is("machine.class", "limited")
            ),
            Station(
                later("Several fast cards"),
                later("LoRA or adapters; full for a small model"),
                ("SD-HW2a", "SD-HW2b"),
                _is("machine.class", "medium"),
            ),
            Station(later("A cluster"), later("Full for core tasks"), ("SD-HW3",), _is("machine.class", "ample")),
        ),
    ),
    Question(
        later("What does the task need?"),
        "明确任务需求",
        later("Something else comes first"),
        (
            Station(
                later("One task, quality first"),
                later("Full, if it can be afforded"),
                ("SD-TN1",),
                _one_task_for_quality,
            ),
            Station(later("Several tasks, switched fast"), later("LoRA or adapters"), ("SD-TN2",), _several),
            Station(
                later("Many quick trials"), later("LoRA or QLoRA"), ("SD-TN3",), _is("task.priority", "iteration")
            ),
        ),
    ),
    Question(
        later("How will it be deployed?"),
        "考虑部署环境",
        later("Neither was said to matter"),
        (
            Station(
                later("Latency and throughput"),
                later("LoRA, merged into the base"),
                ("SD-DP1",),
                _is("deploy.latency_critical", True),
            ),
            Station(later("Little storage"), later("Adapters of a few MB"), ("SD-ST1",), _storage_is_limited),
        ),
    ),
)
VERDICTS = {
    "qlora": (later("破局者: what tight hardware leaves open"), "SD-SUM1"),
    "lora": (later("万金油: cost, quality and deployment in balance"), "SD-SUM2"),
    "full": (later("终极方案: ample means, the utmost quality"), "SD-SUM3"),
}
"""Method -> the guide's word for it, and the row of its summary."""


def path(result: Recommendation, book: RuleBook, spoke: Collection[str]) -> list[Step]:
    """The guide with the stations that this answer passed; `spoke` are the ids of the rules that fired."""
    steps = [Step(tr(asked.title), asked.term, _stops(asked, result.facts, book, spoke)) for asked in GUIDE]
    return [*steps, _verdict(result, book, spoke)]


def _stops(asked: Question, facts: Facts, book: RuleBook, spoke: Collection[str]) -> tuple[Stop, ...]:
    stops = tuple(
        Stop(tr(station.title), tr(station.advice), station.taken(facts), *_rules(station.rows, book, spoke))
        for station in asked.stations
    )
    return stops if any(stop.taken for stop in stops) else (*stops, Stop(tr(asked.otherwise), "", True, (), ()))


def _verdict(result: Recommendation, book: RuleBook, spoke: Collection[str]) -> Step:
    chosen = result.best.method if result.best and not result.gates else None
    stops = [
        Stop(tr(METHODS[method].title), tr(word), method == chosen, *_rules((row,), book, spoke))  # type: ignore[index]
        for method, (word, row) in VERDICTS.items()
    ]
    if chosen not in VERDICTS:
        stops.append(Stop(_other_end(result), "", True, tuple(gate.rule_id for gate in result.gates), ()))
    return Step(tr("The answer"), "总结", tuple(stops))


def _other_end(result: Recommendation) -> str:
    if result.gates:
        return tr("Do not fine-tune yet")
    return tr(METHODS[result.best.method].title) if result.best else tr("Nothing fits")


def _rules(rows: Collection[str], book: RuleBook, spoke: Collection[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    of_station = [rule.id for rule in book.rules if set(rule.evidence) & set(rows)]
    return (
        tuple(rule_id for rule_id in of_station if rule_id in spoke),
        tuple(rule_id for rule_id in of_station if rule_id not in spoke),
    )


# --- the picture --------------------------------------------------------------------------------------------------

MARGIN, GAP, LINE = 12.0, 14.0, 17.0
WIDTHS = {1: 340.0, 4: 940.0}
"""Of the picture, by the most stations that stand side by side."""
CHARACTER = 7.2
"""Mean width of one at the size of the text; Chinese signs take two."""


class Box(NamedTuple):
    """One station on the picture; `lines` are (text, class, rule id to link to or "")."""

    x: float
    y: float
    width: float
    height: float
    taken: bool
    lines: tuple[tuple[str, str, str], ...]


class Heading(NamedTuple):
    """The line above the stations of a question."""

    y: float
    text: str
    term: str


class Flow(NamedTuple):
    """The picture in the units of its viewBox: boxes, headings, and the lines from taken station to taken station."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    headings: tuple[Heading, ...]
    routes: tuple[str, ...]
    said: str
    """The path in words."""


def flow(steps: Sequence[Step], *, columns: int) -> Flow:
    """The guide drawn with up to `columns` stations side by side: 4 for a screen, 1 for a phone."""
    rows: list[tuple[Box, ...]] = []
    headings: list[Heading] = []
    y = MARGIN
    for number, step in enumerate(steps, start=1):
        headings.append(Heading(y + 14, f"{number}  {step.title}", step.term))
        row = _row(step, y + 26, columns)
        rows.append(row)
        y = max(box.y + box.height for box in row) + 2 * GAP
    boxes = tuple(box for row in rows for box in row)
    routes = _side(boxes) if columns == 1 else _routes(rows)
    return Flow(WIDTHS[columns], y - GAP, boxes, tuple(headings), routes, _in_words(steps))


def _row(step: Step, y: float, columns: int) -> tuple[Box, ...]:
    """The stations of one question, in lines of `columns`."""
    side_by_side = min(columns, len(step.stops))
    width = round((WIDTHS[columns] - 2 * MARGIN - (side_by_side - 1) * GAP) / side_by_side, 1)
    texts = [_lines(stop, width) for stop in step.stops]
    boxes: list[Box] = []
    for start in range(0, len(texts), side_by_side):
        line = range(start, min(start + side_by_side, len(texts)))
        height = max(len(texts[place]) for place in line) * LINE + GAP
        boxes += [
            Box(
                round(MARGIN + (place - start) * (width + GAP), 1),
                y,
                width,
                height,
                step.stops[place].taken,
                texts[place],
            )
            for place in line
        ]
        y += height + GAP / 2
    return tuple(boxes)


def _lines(stop: Stop, width: float) -> tuple[tuple[str, str, str], ...]:
    fit = int((width - 20) / CHARACTER)
    lines = [(text, "station", "") for text in _wrapped(stop.title, fit)]
    lines += [(text, "advice", "") for text in _wrapped(stop.advice, fit)]
    lines += [(rule_id, "spoke", rule_id) for rule_id in stop.spoke]
    lines += [(text, "silent", "") for text in textwrap.wrap(", ".join(stop.silent), fit)]
    return tuple(lines)


def _wrapped(text: str, fit: int) -> list[str]:
    """Lines of `fit` characters; Chinese has no blanks to break at, and its signs are twice as wide."""
    wide = sum(ord(sign) > 0x2E80 for sign in text)
    return textwrap.wrap(text, fit - wide) if wide < len(text) / 2 else textwrap.wrap(text, fit // 2)


def _routes(rows: Sequence[Sequence[Box]]) -> tuple[str, ...]:
    """From each taken station to each taken one of the next question: down, across below the row, down."""
    lines = []
    for row, following in pairwise(rows):
        below = max(box.y + box.height for box in row) + GAP / 2
        for box in row:
            for other in following:
                if box.taken and other.taken:
                    x, then = box.x + box.width / 2, other.x + other.width / 2
                    lines.append(f"M{x:.1f} {box.y + box.height:.1f}V{below:.1f}H{then:.1f}V{other.y:.1f}")
    return tuple(lines)


def _side(boxes: Sequence[Box]) -> tuple[str, ...]:
    """One line down the left side, with a stub to each taken station."""
    middles = [box.y + box.height / 2 for box in boxes if box.taken]
    stubs = [f"M{MARGIN / 2:.1f} {y:.1f}H{MARGIN:.1f}" for y in middles]
    return (f"M{MARGIN / 2:.1f} {middles[0]:.1f}V{middles[-1]:.1f}", *stubs)


def _in_words(steps: Sequence[Step]) -> str:
    return " ".join(f"{step.title} {tr(' and ').join(s.title for s in step.stops if s.taken)}." for step in steps)
