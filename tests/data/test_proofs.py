"""What the proof of the labels says to a person, and that what it asks for helps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from advisor.data.check import check_dataset
from advisor.data.verdict import DataVerdict, Finding
from advisor.model import resolve_model
from tests.data.conftest import save_model
from tests.trainers.examples.templates import SHIPPED, TOOLS, answer, calls, result, user

Write = Callable[..., str]


def model_of(folder: Path, template: str) -> Any:
    return resolve_model(str(save_model(folder / template, (SHIPPED / f"{template}.jinja").read_text("utf-8"))))


def finding(verdict: DataVerdict, code: str) -> Finding | None:
    return next((one for one in verdict.findings if one.code == code), None)


def calling(city: str) -> dict[str, Any]:
    messages = [user(f"Weather in {city}?"), answer("", tool_calls=calls(city)), result("9C"), answer("It is 9C.")]
    return {"messages": messages, "tools": TOOLS}


CALLING = [calling(f"Town{place}") for place in range(60)]


def thinking(number: int) -> dict[str, Any]:
    first = answer(f"{number}", reasoning_content=f"half of {2 * number}")
    second = answer(f"{number + 1}", reasoning_content=f"one more than {number}")
    return {"messages": [user(f"Half of {2 * number}?"), first, user("Plus one?"), second]}


def test_the_proof_is_told_with_the_parser_that_finds_the_calls(write: Write, tmp_path: Path) -> None:
    verdict = check_dataset(
        write([calling(f"Town{place}") for place in range(60)]), model_of(tmp_path, "qwen3"), 4096
    )
    assert verdict.proof is not None
    assert verdict.proof.line == "60 of 60 rows: all 120 answers learnt, nothing else"
    assert verdict.proof.parsers == {"hermes": 60}
    assert [row.kind for row in verdict.shown_rows] == ["with a call", "several turns"]
    learnt = "".join(piece.text for piece in verdict.shown_rows[0].pieces if piece.trained)
    assert '"name": "get_weather"' in learnt
    assert "Weather in" not in learnt


def test_a_template_without_calls_blocks_and_names_a_way_out(write: Write, tmp_path: Path) -> None:
    verdict = check_dataset(
        write([calling(f"Town{place}") for place in range(60)]), model_of(tmp_path, "llama3"), 4096
    )
    found = finding(verdict, "no-calls")
    assert found in verdict.blocking
    assert found is not None
    assert "60 of 60 rows" in found.what
    assert "template shows tool calls" in found.fix


def test_reasoning_that_a_template_drops_blocks_until_it_is_left_out(write: Write, tmp_path: Path) -> None:
    path = write([thinking(number) for number in range(60)])
    model = model_of(tmp_path, "deepseek_r1_distill")
    found = finding(check_dataset(path, model, 4096), "no-reasoning")
    assert found is not None
    assert "--leave-out reasoning" in found.fix
    verdict = check_dataset(path, model, 4096, leave_out=["reasoning"])
    assert finding(verdict, "no-reasoning") is None
    assert verdict.proof is not None
    assert verdict.proof.line == "60 of 60 rows: all 120 answers learnt, nothing else"


def test_answers_whose_reasoning_is_dropped_are_not_counted_as_learnt(write: Write, tmp_path: Path) -> None:
    verdict = check_dataset(write([thinking(number) for number in range(60)]), model_of(tmp_path, "qwen3"), 4096)
    assert verdict.proof is not None
    assert (verdict.proof.learnt, verdict.proof.without_reasoning, verdict.proof.reasoning) == (60, 60, 60)
    assert finding(verdict, "dropped-reasoning") is not None


@pytest.mark.parametrize("template", ["qwen3", "qwen3_5_think", "glm4moe"])
def test_no_learnt_text_opens_with_an_empty_block_of_reasoning(write: Write, tmp_path: Path, template: str) -> None:
    rows = [{"messages": [user(f"Half of {number}?"), answer("It is less.")]} for number in range(60)]
    verdict = check_dataset(write(rows), model_of(tmp_path, template), 4096)
    (row,) = verdict.shown_rows
    assert not any("<think>" in piece.text for piece in row.pieces if piece.trained)
