"""Words that a reader loses are found by looking for them, whatever its layout says became of the column."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from advisor.data.check import check_dataset
from advisor.data.unseen import PLACES_KEPT, Unseen
from advisor.data.verdict import Finding
from advisor.model.spec import ModelSpec
from trainers.examples.example import Example
from trainers.examples.rows import Row

KEEPER = "You are the keeper of the lighthouse, and speak of nothing else."


def found_in(path: str, model: ModelSpec, **options: Any) -> dict[str, Finding]:
    verdict = check_dataset(path, model, look_for_leaks=False, **options)
    return {finding.code: finding for finding in verdict.findings}


def logged(number: int, **beside: Any) -> dict[str, Any]:
    asked = {"messages": [{"role": "user", "content": f"Which boat is the number {number} of the fleet?"}], **beside}
    return {"request": asked, "response": {"role": "assistant", "content": f"It is the boat with {number} sails."}}


def test_words_in_a_column_that_is_read_and_that_reach_no_turn_are_told(
    write: Callable[..., str], model: ModelSpec
) -> None:
    lost = found_in(write([logged(number, persona=[{"words": KEEPER}]) for number in range(9)]), model)[
        "unseen-words"
    ]
    assert lost.level == "warn"
    assert "'request.persona[].words'" in lost.what
    assert "You are the keeper of the lighthouse, and speak" in lost.what
    assert lost.lines == (1, 2, 3, 4, 5)
    assert lost.fix.splitlines()[-1].startswith("sft-advisor data convert ")


@pytest.mark.parametrize(
    "beside", [{"system": KEEPER}, {"system": [{"type": "text", "text": KEEPER}]}, {"model": "a model", "n": 1}, {}]
)
def test_words_that_are_read_are_not_told(
    write: Callable[..., str], model: ModelSpec, beside: dict[str, Any]
) -> None:
    assert "unseen-words" not in found_in(write([logged(number, **beside) for number in range(9)]), model)


def test_a_column_about_the_row_that_holds_whole_sentences_is_told(
    write: Callable[..., str], model: ModelSpec
) -> None:
    pair = {"prompt": "Who keeps the light?", "completion": "The keeper does."}
    long = "Answer as somebody who has lived by the sea for all of a long life, and likes it there."
    assert "'meta.task'" in found_in(write([{**pair, "meta": {"task": long}}] * 3), model)["unseen-words"].what
    assert "unseen-words" not in found_in(write([{**pair, "meta": {"task": "Life by the sea"}}] * 3), model)
    other = found_in(write([{**pair, "meta": {"task": long}}] * 3), model, columns={name: name for name in pair})
    assert "unseen-words" not in other


def test_what_has_a_finding_of_its_own_or_is_left_out_on_purpose_is_not_told_again(
    write: Callable[..., str], model: ModelSpec
) -> None:
    pair = {"prompt": "Who keeps the light?", "chosen": "The keeper does.", "rejected": "No one that I know of does."}
    assert "unseen-words" not in found_in(write([pair] * 3), model)
    context = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]}
    found = found_in(write([{**context, "context": KEEPER}] * 3), model)
    assert "unused-content" in found
    assert "unseen-words" not in found


def test_a_column_of_one_value_and_one_that_the_answer_states_lose_nothing(
    write: Callable[..., str], model: ModelSpec
) -> None:
    rows = [
        {
            "problem": f"{n} + 1?",
            "solution": f"So it is {n + 1}.",
            "final_value": n + 1,
            "kind_of": "sum",
            "ok_": True,
        }
        for n in range(30)
    ]
    assert "unused-columns" not in found_in(write(rows), model)
    for n, row in enumerate(rows):
        row["kind_of"] = f"sum {n % 2}"
    assert "'kind_of'" in found_in(write(rows), model)["unused-columns"].what


def test_many_rows_and_many_places_are_looked_at_within_bounds() -> None:
    unseen = Unseen()
    example = Example(text="nothing")
    for number in range(3000):
        unseen.add(Row(number + 1, {f"c{number}": "a few words that nobody reads here"}), example)
    assert 256 < unseen.looked_at < 1000
    assert len(unseen.places) == PLACES_KEPT
