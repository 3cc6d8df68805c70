"""Talking to a run: base beside tuned, streamed, each with its own conversation; on a run of the tiny model."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.documents import validated
from trainers.plan import plan_from_dict, save_plan
from trainers.training import chat


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, chats: Path) -> Path:
    """A run folder with an adapter that says something else than the base."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("run")
    plan = {
        "model": {"name": str(tiny_model)},
        "dataset": {"source": str(chats)},
        "method": "lora",
        "lora_rank": 4,
        "lora_alpha": 64,
        "lora_targets": ["all-linear"],
        "accelerator": "cpu",
        "compute_dtype": "fp32",
        "weights_dtype": "fp32",
    }
    save_plan(plan_from_dict(plan), folder / "plan.toml")
    torch.manual_seed(1)
    config = LoraConfig(r=4, lora_alpha=64, target_modules="all-linear", init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(str(tiny_model)), config).save_pretrained(
        str(folder / "result")
    )
    return folder


@pytest.fixture
def talked(adapted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable]:
    def talk(*words: str, typed: str = "") -> tuple[int, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        code = chat.main([str(adapted), "--new-tokens", "6", *words])
        return code, capsys.readouterr().out

    yield talk


def test_a_program_reads_each_piece_as_it_is_written(talked: Callable[..., Any]) -> None:
    code, out = talked("--ask", "Hello", "--pieces")
    pieces = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert len(pieces) > 2 and list(dict.fromkeys(each["who"] for each in pieces)) == ["base", "tuned"]
    _, whole = talked("--ask", "Hello", "--json")
    answers = json.loads(whole.strip().splitlines()[-1])
    for who in ("base", "tuned"):
        assert "".join(each["piece"] for each in pieces if each["who"] == who) == answers[who]


def test_one_question_is_answered_by_both_and_the_two_differ(talked: Callable[..., Any]) -> None:
    code, out = talked("--ask", "Hello", "--json")
    assert code == 0
    found = validated("chat", json.loads(out.strip().splitlines()[-1]))
    assert found["prompt"] == "Hello"
    assert found["base"] and found["tuned"]
    assert found["base"] != found["tuned"]
    assert talked("--ask", "Hello", "--json")[1].strip().splitlines()[-1] == out.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("pieces", "shown"),
    [
        (["\n", "\n \n", "\n"], "(an empty answer)"),
        (
            ["\n\n", "def f():", "\n", "    ", "return 1\n", "\n\n", " \n", "f()", "\n"],
            "def f():\n    return 1\n\nf()",
        ),
    ],
)
def test_blank_lines_fill_no_screen(
    talked: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, pieces: list[str], shown: str
) -> None:
    monkeypatch.setattr(chat.Chat, "_generate", lambda *given: str(list(map(given[-1], pieces))))
    assert talked("--ask", "Hello")[1] == f"base> {shown}\ntuned> {shown}\n"


def test_a_conversation_goes_on_until_it_is_ended_and_can_begin_anew(talked: Callable[..., Any]) -> None:
    code, out = talked(typed="Hello\nAnd you?\n/new\nHello\n/quit\nnot read\n")
    assert code == 0
    asked = out.split("you> ")[1:]
    assert len(asked) == 5, "three questions, /new and the end"
    first, second, again = (one for one in asked if "base> " in one)
    assert all(one.index("base> ") < one.index("tuned> ") for one in (first, second, again))
    assert again == first, "after /new nothing is left of what was said"
    assert second != first
    assert talked(typed="")[0] == 0, "the end of the input ends it"


def test_a_conversation_begins_with_the_system_turn_that_all_examples_share(tmp_path: Path) -> None:
    def asked(*openings: dict[str, str] | None) -> str:
        samples = [{"messages": [*([one] if one else []), {"role": "user", "content": "Hi"}]} for one in openings]
        (tmp_path / "samples.json").write_text(json.dumps({"samples": samples}))
        return chat.shared_system_turn(tmp_path)

    assert chat.shared_system_turn(tmp_path) == ""
    form, other = ({"role": "system", "content": content} for content in ("Fill in the form.", "Be brief."))
    assert asked(form, form) == "Fill in the form."
    assert asked(form, other) == asked(form, None) == asked(None) == ""
    (tmp_path / "samples.json").write_text('{"samples": [7, {"messages": [7]}]}')
    assert chat.shared_system_turn(tmp_path) == ""


def test_an_answer_comes_piece_by_piece_and_harmless(adapted: Path) -> None:
    pieces: list[str] = []
    talker = chat.Chat(adapted, 6)
    answer = talker.ask("Hello", "tuned", pieces.append)
    assert "".join(pieces) == answer
    assert len(pieces) > 1
    assert [turn["role"] for turn in talker.turns["tuned"]] == ["user", "assistant"]
    assert talker.turns["base"] == []
