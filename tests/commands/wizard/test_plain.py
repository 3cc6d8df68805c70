"""The prompts line by line: numbers, names, signals and pastes, and nothing that is drawn over."""

from __future__ import annotations

import io
import re

import pytest

from advisor.ask.question import PAGES
from advisor.commands.output import console
from advisor.commands.wizard.form import Next, Wizard
from advisor.commands.wizard.keys import Signal
from advisor.commands.wizard.plain import PLAIN, ask_choice, ask_text, is_asked_for
from advisor.report.summary import summary
from tests.commands.wizard.driving import Bench, wizard
from tests.report import made_by_hand as made

CHOICES = {"full": "every weight", "lora": "an adapter", "qlora": "an adapter over 4 bits"}


@pytest.fixture
def typing(monkeypatch: pytest.MonkeyPatch):
    def type_lines(*lines: str) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))

    return type_lines


@pytest.mark.parametrize(
    ("lines", "chosen"),
    [
        (["2"], "lora"),
        (["qlora"], "qlora"),
        ([""], "full"),
        (["9", "qlroa", "3"], "qlora"),
        (["?"], Signal.HELP),
        (["<"], Signal.BACK),
    ],
)
def test_a_choice_is_answered_by_number_or_name(typing, capsys, lines: list[str], chosen: object) -> None:
    typing(*lines)
    assert ask_choice("Which method?", CHOICES, None) == chosen
    said = capsys.readouterr().out
    assert "2. lora: an adapter" in said
    assert ("did you mean qlora?" in said) is ("qlroa" in lines)
    assert ("a number from 1 to 3" in said) is ("9" in lines)


def test_a_text_that_cannot_be_used_is_asked_again(typing, capsys) -> None:
    typing("none", " 5 ")
    assert ask_text("How many?", "[1]", lambda text: text.strip() == "5" or "a number") == "5"
    assert "a number" in capsys.readouterr().out


def test_the_end_of_the_input_is_ctrl_c(typing) -> None:
    typing()
    with pytest.raises(KeyboardInterrupt):
        ask_text("How many?", "", lambda text: True)


def test_a_whole_conversation_line_by_line_gives_the_same_answers(typing, capsys) -> None:
    subject = Wizard(wizard().given, Bench(), console(plain=True), PLAIN)
    typing("Qwen3-8B", *[">"] * len(PAGES))
    assert subject.ask().get("model") == "Qwen3-8B"
    typing("1")
    assert subject.choose_next(has_plan=True) is Next.SAVE_PLAN
    assert "\x1b" not in capsys.readouterr().out


def test_nothing_is_drawn_for_who_hears_what_is_said(capsys) -> None:
    console(plain=True).print(summary(made.recommendation()))
    plain = capsys.readouterr().out
    console().print(summary(made.recommendation()))
    drawn = capsys.readouterr().out
    lines = re.compile("[─-▟·]{2}")
    assert lines.search(drawn)
    assert not lines.search(plain)
    assert made.recommendation().headline in plain


@pytest.mark.parametrize(
    ("environment", "is_plain"),
    [({"TERM": "dumb"}, True), ({"ACCESSIBLE": "1"}, True), ({"TERM": "xterm"}, False), ({"ACCESSIBLE": ""}, False)],
)
def test_the_surroundings_can_ask_for_it(environment: dict[str, str], is_plain: bool) -> None:
    assert is_asked_for(environment) is is_plain
