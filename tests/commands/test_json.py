"""`--json` of the commands that have it beside a screen: one document, as `rules schema` describes it."""

from __future__ import annotations

import json

import jsonschema
import pytest

from advisor.commands import COMMANDS, UNDER
from advisor.report.schema import json_schema
from tests.commands.calling import ASK
from tests.commands.test_sentences import own_flags

ANSWERS_NOTHING = {"mcp", "ui", "try", "rules schema"}
"""Commands that serve, show, or write a schema."""


def test_every_command_that_answers_something_does_so_in_json() -> None:
    assert {name for name in ("advise", *COMMANDS, *UNDER) if "--json" not in own_flags()[name]} <= ANSWERS_NOTHING


def printed(run, name: str, *arguments: str, codes: tuple[int, ...] = (0,)):
    code, out, _ = run(*arguments, "--json")
    assert code in codes
    document = json.loads(out)
    jsonschema.Draft202012Validator(json_schema(name)).validate(document)
    return document


@pytest.mark.parametrize("topic", ["lora", "learning rate", "HYP-01", "flow"])
def test_a_page(run, topic: str) -> None:
    assert printed(run, "explanation", "explain", *topic.split())["text"].strip()


def test_the_last_answer_a_translation_and_what_would_run(run, tmp_path) -> None:
    found = printed(
        run, "recommendation", *(word for word in ASK if word != "--non-interactive"), "--save-plan", "p.toml"
    )
    assert printed(run, "recommendation", "explain", "last")["headline"] == found["headline"]
    made = printed(run, "export", "export", "p.toml", "--to", "axolotl", "--output", "there")
    assert made["target"] == "axolotl"
    assert [
        name for name in made["files"] if (tmp_path / name).read_text(encoding="utf-8") != made["files"][name]
    ] == []


def test_a_stranger_and_no_runs(run, tmp_path) -> None:
    (tmp_path / "one.txt").write_text("text", encoding="utf-8")
    assert printed(run, "vet", "doctor", "vet", str(tmp_path), codes=(0, 2))["name"] == str(tmp_path)
    assert printed(run, "runs", "runs", "list", str(tmp_path)) == []
