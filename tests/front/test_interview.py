"""The wizard from start to end: questions, the recommendation, and what can be done with it."""

from __future__ import annotations

import argparse
import json
import tomllib
from pathlib import Path

import msgspec
import pytest

from advisor.answers import Layer, resolve
from advisor.cli import main
from advisor.commands.interview import interview
from advisor.commands.last import recall
from advisor.question import Context
from advisor.recommendation import Recommendation
from tests.front.driving import CTRL_C, DOWN, ENTER, Bench, typed
from tests.front.test_wizard import EVERYTHING, keys_for
from trainers.plan import load_plan

OPTIONS = {"rules": None, "answers": None, "save_answers": None, "save_plan": None, "html": None}
SAVE_PLAN, SAVE_REPORT, REASONS, CHANGE, QUIT = (DOWN * place + ENTER for place in (1, 2, 3, 4, 5))


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def held(keys: str, flags: dict[str, str] | None = None, **options: object) -> int:
    with typed(keys):
        return interview([Layer("flag", flags or {})], argparse.Namespace(**OPTIONS | options))


def without_origins(result: Recommendation) -> dict[str, object]:
    document = json.loads(msgspec.json.encode(result))
    return document | {"answers": {key: view["value"] for key, view in document["answers"].items()}}


def test_wizard_and_flags_give_the_same_recommendation(capsys):
    assert held(keys_for(EVERYTHING) + QUIT) == 0
    by_wizard = recall()
    capsys.readouterr()
    flags = [
        part for key, value in EVERYTHING.items() for part in ("--" + key.replace(".", "-").replace("_", "-"), value)
    ]
    assert main(["--non-interactive", *flags]) == 0
    by_flags = recall()
    assert without_origins(by_wizard) == without_origins(by_flags)
    assert json.loads(capsys.readouterr().out)["headline"] == by_wizard.headline


def test_the_recommendation_is_shown_and_can_be_saved(capsys):
    most = {key: value for key, value in EVERYTHING.items() if key != "task.shift"}
    assert held(ENTER + ENTER + SAVE_PLAN + SAVE_REPORT + REASONS + SAVE_PLAN + QUIT, most) == 0
    shown = capsys.readouterr().out
    assert "Memory of one GPU" in shown
    assert "sft-advisor launch plan.toml" in shown
    assert "Why these settings" in shown[shown.index("launch plan.toml") :]
    assert load_plan(Path("plan.toml")) == load_plan(Path("plan-2.toml"))
    assert "<!doctype html>" in Path("report.html").read_text()


def test_an_answer_can_be_changed_and_the_advice_follows(capsys):
    most = {key: value for key, value in EVERYTHING.items() if key not in ("wish.method", "task.shift")}
    answers = resolve(Layer("flag", most), context=Context(hardware=Bench().hardware({})))
    place = list(_shown(answers.values)).index("wish.method")
    to_full = ENTER  # the first choice of the list is full fine-tuning, and "not known" is offered last
    keys = ENTER * 3 + CHANGE + DOWN * place + ENTER + DOWN + to_full + QUIT
    held(keys, most)
    assert recall().answers["wish.method"].value == "full"
    assert recall().answers["wish.method"].origin == "prompt"


def _shown(values: dict[str, object]) -> list[str]:
    from advisor.questions import QUESTIONS

    return [question.key for question in QUESTIONS if question.applies(values)]


def test_ctrl_c_keeps_the_answers_and_says_how_to_go_on(capsys):
    assert held("Qwen3-8B" + ENTER + ENTER + "RTX 4090" + ENTER + CTRL_C) == 130
    assert "sft-advisor --answers sft-advisor-answers.toml" in capsys.readouterr().out
    kept = tomllib.loads(Path("sft-advisor-answers.toml").read_text())
    assert (kept["model"], kept["hardware"]) == ("Qwen3-8B", "RTX 4090")


def test_going_on_asks_only_what_is_left(capsys):
    held("Qwen3-8B" + ENTER + ENTER + "RTX 4090" + ENTER + CTRL_C)
    capsys.readouterr()
    from advisor.answers import read_file

    with typed(ENTER + ">" * 6 + QUIT):
        layers = [Layer("flag", {}), read_file(Path("sft-advisor-answers.toml"))]
        assert interview(layers, argparse.Namespace(**OPTIONS)) == 0
    shown = capsys.readouterr().out
    assert "Fine-tune Qwen3-8B" in shown
    assert recall().answers["hardware"].origin == "file"


def test_a_failure_does_not_lose_the_answers(capsys, monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("advisor.commands.interview.recommend", broken)
    with pytest.raises(RuntimeError):
        held(keys_for(EVERYTHING))
    assert tomllib.loads(Path("sft-advisor-answers.toml").read_text())["task"]["count"] == 4


def test_nothing_fits_offers_no_launch(capsys):
    flags = EVERYTHING | {"model": "Llama-3.1-70B", "hardware": "1x 8GiB"}
    quit_of_three = DOWN * 2 + ENTER
    assert held(ENTER + quit_of_three, flags) == 3
    assert "No method fits" in capsys.readouterr().out
