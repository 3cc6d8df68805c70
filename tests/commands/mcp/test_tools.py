"""What an agent can ask: every tool and argument described, read-only unless asked, answers those of the API."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.ask.questions import QUESTIONS
from advisor.base.errors import InputError
from advisor.commands.api import advise
from advisor.commands.mcp.tools import tools
from trainers.plan import load_plan

ASKED = {"model": "Qwen3-8B", "hardware": "RTX 4090", "data_examples": 5000}


@pytest.mark.parametrize("tool", tools(writing=True).values(), ids=lambda tool: tool.name)
def test_every_tool_and_every_argument_is_described(tool) -> None:
    schema = tool.schema()
    assert len(tool.about) > 60
    assert schema["type"] == "object" and schema["additionalProperties"] is False
    assert [name for name, each in schema["properties"].items() if not each.get("description")] == []


def test_only_saving_a_plan_writes_and_it_is_offered_when_asked_for() -> None:
    assert [tool.name for tool in tools(writing=True).values() if tool.writes] == ["save_plan"]
    assert set(tools(writing=True)) - set(tools(writing=False)) == {"save_plan"}


def test_every_question_can_be_answered_and_the_model_alone_has_to_be() -> None:
    schema = tools(writing=False)["recommend"].schema()
    assert set(schema["properties"]) == {question.key.replace(".", "_") for question in QUESTIONS}
    assert schema["required"] == ["model"]


def test_a_recommendation_is_that_of_the_api() -> None:
    assert tools(writing=False)["recommend"].ask(ASKED) == advise(**ASKED).summary


def test_an_estimate_is_of_the_method_that_was_asked_for() -> None:
    found = tools(writing=False)["estimate"].ask({"model": "Qwen3-8B", "hardware": "8GB", "method": "full"})
    assert [(each.plan.method, each.fits) for each in found["estimates"]] == [("full", False)]


def test_pages_models_strangers_and_runs(tmp_path: Path) -> None:
    offered = tools(writing=False)
    assert offered["explain"].ask({"topic": "learning rate"}).startswith("# ")
    listed = offered["list_models"].ask({"family": "Qwen3", "fits": "RTX 4090"})["models"]
    assert any("qlora" in model.fits for model in listed)
    (tmp_path / "run.py").write_text("import os\n", encoding="utf-8")
    assert offered["vet"].ask({"path": str(tmp_path)}).name == str(tmp_path)
    assert offered["list_runs"].ask({"folder": str(tmp_path)}) == {"runs": []}
    assert offered["probe_machine"].ask({"hardware": "RTX 4090"})["gpus"][0]["name"] == "NVIDIA GeForce RTX 4090"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [({"modle": "x"}, "modle"), ({}, "model"), ({"model": "x", "task_count": "many"}, "task_count")],
)
def test_a_wrong_call_names_the_argument(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(InputError) as refused:
        tools(writing=False)["recommend"].ask(arguments)
    assert said in refused.value.problems[0].why


def test_a_saved_plan_is_the_recommended_one_and_nothing_is_written_over(tmp_path: Path) -> None:
    saved = tmp_path / "plan.toml"
    answer = tools(writing=True)["save_plan"].ask({**ASKED, "path": str(saved)})
    assert load_plan(saved) == advise(**ASKED).plan
    assert answer["start"] == f"sft-advisor launch {saved}"
    with pytest.raises(InputError, match="already there"):
        tools(writing=True)["save_plan"].ask({**ASKED, "path": str(saved)})
