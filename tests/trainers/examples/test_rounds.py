"""A conversation cut by its rounds teaches each answer once, with its reasoning."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainers.examples import templates
from tests.trainers.examples.templates import CONVERSATIONS, TOOLS, answer, marker_of, user
from trainers.examples.example import Example
from trainers.examples.rounds import by_round

DROPPING = ["qwen3", "qwen3_6", "glm4moe", "nemotron_3_nano", "gptoss"]


def learnt_places(rows: list[Example]) -> list[int]:
    """Places of the answers that the rows leave to be learnt, of all rows together."""
    return [
        place
        for row in rows
        for place, message in enumerate(row.messages)
        if message["role"] == "assistant" and place not in row.unlearnt
    ]


@pytest.mark.parametrize("template", DROPPING)
def test_each_answer_is_learnt_with_its_reasoning(template: str) -> None:
    marker = marker_of(templates.SHIPPED / f"{template}.jinja")
    example = Example(tuple(CONVERSATIONS["reasoning in the answer"]))
    assert marker.mark(example).without_reasoning
    marked = [marker.mark(row) for row in by_round(example)]
    assert [one.without_reasoning for one in marked] == [(), ()]
    assert ["add" in rendered.words(rendered.answers[0]) for rendered in marked] == [True, True]


def test_the_calls_of_a_round_stay_together() -> None:
    messages = [*CONVERSATIONS["call with reasoning"], user("Thanks"), answer("Welcome.", reasoning_content="bye")]
    rows = by_round(Example(tuple(messages), tools=TOOLS))
    assert [len(row.messages) for row in rows] == [4, 6]
    marker = marker_of(templates.SHIPPED / "qwen3.jinja")
    assert [len(marker.mark(row).answers) for row in rows] == [2, 1]


TURN: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [user("q"), answer("a"), answer("a", reasoning_content="r"), answer("<think>r</think>a"), templates.result("9C")]
)


@given(st.lists(TURN, min_size=1, max_size=8), st.sets(st.integers(0, 7)))
def test_every_answer_is_learnt_once_and_no_excluded_one_is(turns: list[dict[str, Any]], excluded: set[int]) -> None:
    answers = {place for place, turn in enumerate(turns) if turn["role"] == "assistant"}
    example = Example((user("first"), *turns), unlearnt=frozenset(place + 1 for place in excluded & answers))
    rows = by_round(example)
    wanted = sorted(place + 1 for place in answers - excluded)
    assert sorted(learnt_places(rows)) == wanted
    assert all(row.messages == example.messages[: len(row.messages)] for row in rows)
