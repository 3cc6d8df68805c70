"""The wizard from start to end: questions, the recommendation, and what can be done with it."""

from __future__ import annotations

import argparse
import io
import json
import tomllib
from pathlib import Path

import msgspec
import pytest

from advisor.ask.answers import Layer, resolve
from advisor.ask.question import Measured
from advisor.ask.questions import QUESTIONS
from advisor.commands.cli import main
from advisor.commands.interview import interview, launch_obstacle
from advisor.commands.last import recall
from advisor.decide.recommendation import Recommendation
from tests.commands.wizard.driving import CTRL_C, DOWN, ENTER, Bench, pick, typed
from tests.commands.wizard.test_form import EVERYTHING, keys_for
from trainers.plan import DatasetRef, load_plan

NONE = dict.fromkeys(("rules", "answers", "save_answers", "save_plan", "html"))
OPTIONS = {**NONE, "full": False, "plain": False}
SAVE_PLAN, SHARPEN, WHOLE, CHANGE, SAVE_REPORT, QUIT = (DOWN * place + ENTER for place in range(6))
"""Of a machine that was described: launching is not among them."""


UP, LEFT = "\x1b[A", "\x1b[D"


def rest_of(keys: str) -> str:
    """What is typed after the three questions that come first."""
    return keys.removeprefix(EVERYTHING["model"] + ENTER + ENTER + EVERYTHING["hardware"] + ENTER)


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
    every_other = UP + ENTER
    first = EVERYTHING["model"] + ENTER + ENTER + EVERYTHING["hardware"] + ENTER
    assert held(first + SHARPEN + every_other + rest_of(keys_for(EVERYTHING)) + QUIT) == 0
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
    assert held(ENTER + SAVE_PLAN + SAVE_REPORT + WHOLE + SAVE_PLAN + QUIT, most) == 0
    shown = capsys.readouterr().out
    assert "Memory of one GPU" in shown
    assert shown.index("advised") < shown.index("Memory of one GPU"), "the short answer first"
    assert "sft-advisor launch plan.toml" in shown
    assert "Why these settings" in shown[shown.index("launch plan.toml") :]
    assert load_plan(Path("plan.toml")) == load_plan(Path("plan-2.toml"))
    assert "<!doctype html>" in Path("report.html").read_text(encoding="utf-8")


def test_an_answer_can_be_changed_and_the_advice_follows(capsys):
    most = {key: value for key, value in EVERYTHING.items() if key not in ("wish.method", "task.shift")}
    answers = resolve(Layer("flag", most), measured=Measured(hardware=Bench().hardware({})))
    place = list(_shown(answers.values)).index("wish.method")
    to_full = ENTER  # the first choice of the list is full fine-tuning, and "not known" is offered last
    keys = ENTER + CHANGE + DOWN * place + ENTER + DOWN + to_full + QUIT
    held(keys, most)
    assert recall().answers["wish.method"].value == "full"
    assert recall().answers["wish.method"].origin == "prompt"


def _shown(values: dict[str, object]) -> list[str]:
    from advisor.ask.questions import QUESTIONS

    return [question.key for question in QUESTIONS if question.applies(values)]


def test_ctrl_c_keeps_the_answers_and_says_how_to_go_on(capsys):
    assert held("Qwen3-8B" + ENTER + ENTER + "RTX 4090" + ENTER + CTRL_C) == 130  # at the menu
    assert "sft-advisor --answers sft-advisor-answers.toml" in capsys.readouterr().out
    kept = tomllib.loads(Path("sft-advisor-answers.toml").read_text(encoding="utf-8"))
    assert (kept["model"], kept["hardware"]) == ("Qwen3-8B", "RTX 4090")


def test_going_on_asks_only_what_is_left(capsys):
    held("Qwen3-8B" + ENTER + ENTER + "RTX 4090" + ENTER + CTRL_C)
    capsys.readouterr()
    from advisor.ask.answers import read_file

    with typed(ENTER + QUIT):
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
        held(ENTER, EVERYTHING)
    assert tomllib.loads(Path("sft-advisor-answers.toml").read_text(encoding="utf-8"))["task"]["count"] == 4


def test_nothing_fits_offers_no_launch(capsys):
    flags = EVERYTHING | {"model": "Llama-3.1-70B", "hardware": "1x 8GiB"}
    quit_of_three = DOWN * 2 + ENTER
    assert held(ENTER + quit_of_three, flags) == 3
    assert "No method fits" in capsys.readouterr().out


def test_a_plan_for_a_described_machine_cannot_be_launched_here(capsys):
    assert held(ENTER + QUIT, {key: value for key, value in EVERYTHING.items() if key != "task.shift"}) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "It cannot be launched here: no dataset was named" in shown
    with_data = launch_obstacle(_with_dataset(recall()))
    assert (
        with_data
        == "it was planned for another machine; save the plan and start it there: sft-advisor launch plan.toml"
    )


def _with_dataset(result: Recommendation) -> Recommendation:
    assert result.best is not None
    plan = msgspec.structs.replace(result.best.plan, dataset=DatasetRef(source="chats.jsonl"))
    return msgspec.structs.replace(result, best=msgspec.structs.replace(result.best, plan=plan))


def test_a_launch_that_fails_comes_back_to_the_menu(capsys, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    row = {
        "messages": [
            {"role": "user", "content": "What is the password?"},
            {"role": "assistant", "content": "AKIAQ3EGRNWXTKLT4VPA, and the rest is secret."},
        ]
    }
    Path("chats.jsonl").write_text((json.dumps(row) + "\n") * 200, encoding="utf-8")
    flags = {
        "model": "SmolLM2-135M-Instruct",
        "dataset": "chats.jsonl",
        "data.kind": "chat",
        "task.prompting_tried": "yes",
    }
    launch, quit_of_seven = DOWN * 5 + ENTER + DOWN + ENTER, DOWN * 6 + ENTER
    assert held(ENTER + launch + quit_of_seven, flags) == 2
    shown = capsys.readouterr()
    assert "error: " in shown.out
    assert "exit code 2: bad input" in shown.out


def test_an_open_answer_is_sharpened_and_the_difference_is_said(capsys):
    flags = {"model": "Qwen3-8B", "hardware": "RTX 4090", "data.examples": "5000", "data.kind": "chat"}
    language, to_yes = ENTER, pick("data.new_language", "yes")
    assert held(ENTER + SHARPEN + language + to_yes + QUIT, flags) in (0, 4)
    shown = " ".join(capsys.readouterr().out.split())
    assert recall().answers["data.new_language"].value is True
    assert "changed: QLoRA" in shown


def test_on_a_terminal_it_is_sharpened_beside_the_advice_and_ctrl_c_keeps_it(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    flags = {"model": "Qwen3-8B", "hardware": "RTX 4090", "data.examples": "5000", "data.kind": "chat"}
    given = resolve(Layer("flag", flags), measured=Measured(hardware=Bench().hardware(flags)))
    asked = [question.key for question in QUESTIONS if question.applies(given.values)]
    assert held(ENTER + SHARPEN + DOWN * asked.index("task.shift") + LEFT + CTRL_C, flags) == 130
    kept = tomllib.loads(Path("sft-advisor-answers.toml").read_text(encoding="utf-8"))
    assert kept["task"]["shift"] == "large"


def test_plain_asks_line_by_line(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("Qwen3-8B\n\nRTX 4090\nquit\n"))
    assert interview([Layer("flag", {})], argparse.Namespace(**OPTIONS | {"plain": True})) == 0
    shown = capsys.readouterr().out
    assert "Fine-tune Qwen3-8B with LoRA" in shown and "1. save the plan" in shown
    assert not {"\x1b", "│", "─", "█"} & set(shown)
