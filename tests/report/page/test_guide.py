"""The decision guide as a picture: the path follows the facts, and each station names its rules."""

from __future__ import annotations

from typing import Any

import pytest

from advisor.decide.recommendation import Recommendation
from advisor.report.page import guide
from advisor.report.page.spoken import spoken
from rules.engine import RuleBook, load_rule_book
from tests.report import made_by_hand as made


@pytest.fixture(scope="module")
def book() -> RuleBook:
    return load_rule_book()


def passed(facts: dict[str, Any], book: RuleBook, result: Recommendation | None = None) -> list[list[str]]:
    result = result or made.recommendation(facts=facts)
    return [[stop.title for stop in step.stops if stop.taken] for step in guide.path(result, book, spoken(result))]


@pytest.mark.parametrize(
    ("facts", "path"),
    [
        (
            {"machine.class": "limited", "task.priority": "quality", "task.count": 1},
            ["One card below 48 GB", "One task, quality first", "Neither was said to matter", "LoRA"],
        ),
        (
            {"machine.class": "medium", "task.priority": "quality", "task.count": 3, "storage.budget_bytes": 1 << 30},
            ["Several fast cards", "Several tasks, switched fast", "Little storage", "LoRA"],
        ),
        (
            {"machine.class": "ample", "task.priority": "iteration", "deploy.latency_critical": True},
            ["A cluster", "Many quick trials", "Latency and throughput", "LoRA"],
        ),
        (
            {"machine.class": "ample", "task.priority": "cost", "deploy.latency_critical": False},
            ["A cluster", "Something else comes first", "Neither was said to matter", "LoRA"],
        ),
    ],
)
def test_the_path_follows_the_answers(facts, path, book):
    assert passed(facts, book) == [[station] for station in path]


def test_an_answer_without_a_method_ends_elsewhere(book):
    assert passed({}, book, made.nothing_fits())[-1] == ["Nothing fits"]
    assert passed({}, book, made.gated())[-1] == ["Do not fine-tune yet"]


def test_every_station_of_the_guide_has_a_rule_and_tells_the_ones_that_spoke(book, real_recommendation):
    said = spoken(real_recommendation)
    for step in guide.path(real_recommendation, book, said):
        for stop in step.stops:
            assert stop.spoke or stop.silent or stop.title in {asked.otherwise for asked in guide.GUIDE}
            assert set(stop.spoke) <= set(said)
            assert not set(stop.silent) & set(said)


@pytest.mark.parametrize("columns", [1, 4])
def test_the_picture_keeps_its_stations_apart_and_inside(columns, book, real_recommendation):
    drawn = guide.flow(guide.path(real_recommendation, book, spoken(real_recommendation)), columns=columns)
    for box in drawn.boxes:
        assert box.x >= 0 and box.x + box.width <= drawn.width
        assert box.y >= 0 and box.y + box.height <= drawn.height
        assert len(box.lines) * guide.LINE <= box.height
        for other in drawn.boxes:
            apart = (
                other is box
                or other.x >= box.x + box.width
                or box.x >= other.x + other.width
                or other.y >= box.y + box.height
                or box.y >= other.y + other.height
            )
            assert apart
    assert drawn.routes
