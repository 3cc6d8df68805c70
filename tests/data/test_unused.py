"""What stands in the rows and would not train is a finding with its usual meaning and a way out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from advisor.data.check import check_dataset
from advisor.data.unused import judge_unused
from advisor.data.verdict import Finding
from advisor.model.catalog import from_catalog
from advisor.model.spec import ModelSpec
from trainers.examples.ledger import Entry


def findings(path: str, **options: Any) -> dict[str, Finding]:
    verdict = check_dataset(path, look_for_leaks=False, **options)
    return {finding.code: finding for finding in verdict.findings if finding.code.startswith("unused")}


def chat(number: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"q{number}"}, {"role": "assistant", "content": f"a{number}"}]


@pytest.mark.parametrize(
    ("beside", "told"),
    [
        ({"videos": ["a.mp4"]}, "films"),
        ({"context": "the passage"}, "passage"),
        ({"history": [["a", "b"]]}, "earlier turns"),
        ({"truncated_cells": ["messages"]}, "viewer has cut"),
    ],
)
def test_columns_that_carry_the_task_block(write: Callable[..., str], beside: dict[str, Any], told: str) -> None:
    path = write([{"messages": chat(number), **beside} for number in range(4)])
    found = findings(path)["unused-content"]
    assert found.level == "block"
    assert told in found.why
    assert found.lines == (1, 2, 3, 4)
    assert not any(one.level == "block" for one in findings(path, allow=["unused-content"]).values())


def test_a_class_beside_a_text_blocks_with_the_mapping_to_paste(write: Callable[..., str]) -> None:
    path = write([{"text": f"t{number}", "label": "good"} for number in range(4)])
    found = findings(path)["unused-content"]
    assert found.fix == "--map prompt=text,completion=label"
    assert "unused-content" not in findings(path, columns={"prompt": "text", "completion": "label"})


def test_unknown_columns_warn_and_those_about_the_row_are_a_note(write: Callable[..., str]) -> None:
    found = findings(
        write([{"messages": chat(n), "moral": "be kind", "id": n + 1, "source": "web"} for n in range(4)])
    )
    assert found["unused-columns"].level == "warn"
    assert "'moral'" in found["unused-columns"].what
    assert found["unused-notes"].what == "not used: id, source"


def test_pictures_are_cautioned_about_without_a_model_and_block_for_one_that_sees_none(
    write: Callable[..., str], model: ModelSpec
) -> None:
    seen = {"role": "user", "content": [{"type": "image", "image": "a.png"}, {"type": "text", "text": "what is it?"}]}
    path = write([{"messages": [seen, {"role": "assistant", "content": f"a{number}"}]} for number in range(4)])
    assert {one.code: one.level for one in check_dataset(path).findings}["pictures-unseen"] == "warn"
    blocked = {one.code: one for one in check_dataset(path, model).blocking}
    assert "would see none of them" in blocked["pictures-unseen"].what
    with_eyes = from_catalog("Llama-4-Scout-17B-16E-Instruct")
    has_eyes = check_dataset(path, with_eyes).findings
    assert "llama4" in next(one.why for one in has_eyes if one.code == "pictures-unseen")
    assert "a.png" in blocked["pictures-broken"].what


def test_a_map_that_leaves_the_task_out_warns_and_one_that_leaves_out_other_columns_notes() -> None:
    entries = [
        Entry(what="column", name="problem", shown=60),
        Entry(what="column", name="answer", learnt=60),
        Entry(what="column", name="generations", unused=60),
        Entry(what="column", name="shelf_mark", unused=60),
    ]
    found = {finding.code: finding for finding in judge_unused(entries, mapped=True)}
    assert {code: finding.level for code, finding in found.items()} == {
        "unused-content": "warn",
        "unused-notes": "note",
    }
    assert "generations" in found["unused-content"].what
    assert "shelf_mark" in found["unused-notes"].what


@pytest.mark.parametrize(
    "name", ["docs", "instructions", "sample_weight", "solution", "deleted", "is_trainable", "weight"]
)
def test_a_column_that_says_what_is_learnt_or_answers_blocks(name: str) -> None:
    entries = [Entry(what="column", name="text", learnt=9), Entry(what="column", name=name, unused=9)]
    (finding,) = judge_unused(entries)
    assert (finding.code, finding.level) == ("unused-content", "block")


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("reasoning_trace", "block"),
        ("is_reasoning_complete", "warn"),
        ("reasoning_language", "warn"),
        ("thinking_budget", "warn"),
    ],
)
def test_what_a_column_says_about_reasoning_is_not_taken_for_the_reasoning(
    write: Callable[..., str], name: str, level: str
) -> None:
    rows = [{"prompt": f"q{number}", "completion": f"a{number}", name: "x y"} for number in range(4)]
    (found,) = (one for one in findings(write(rows)).values() if one.level != "note")
    assert found.level == level
    assert ("reasoning_content=" in found.fix) == (level == "block")


def test_a_column_of_reasoning_that_the_messages_hold_is_shown(write: Callable[..., str]) -> None:
    rows = [
        {"messages": [chat(number)[0], {**chat(number)[1], "thinking": f"hm {number}"}], "analysis": f"hm {number}"}
        for number in range(4)
    ]
    assert not findings(write(rows))


@pytest.mark.parametrize(("same", "codes"), [(True, set()), (False, {"unused-content"})])
def test_messages_beside_chosen_answers_are_used_only_where_they_say_the_same(
    write: Callable[..., str], same: bool, codes: set[str]
) -> None:
    rows = [
        {"chosen": chat(number), "rejected": chat(-number - 1), "messages": chat(number if same else number + 50)}
        for number in range(4)
    ]
    assert set(findings(write(rows))) == codes
