"""The live sheet: every change is judged again, what it changed is marked, and what was said is never lost."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st
from prompt_toolkit.formatted_text import to_formatted_text
from prompt_toolkit.formatted_text.utils import fragment_list_to_text
from rich.console import Console

from advisor.ask.answers import Answers, Layer, parse
from advisor.ask.question import FIRST
from advisor.commands.interview import live_judgement
from advisor.commands.wizard.live import DETAIL_ROWS, _keys, _Screen
from advisor.commands.wizard.sheet import Effects, Judge, Sheet, shown_first
from advisor.report.live import live, values
from rules.engine import load_rule_book
from tests.commands.wizard.driving import CTRL_C, Bench, typed, wizard

RIGHT, LEFT, DOWN, TAB, DELETE = "\x1b[C", "\x1b[D", "\x1b[B", "\t", "\x1b[3~"
SAID = {"model": "Qwen3-8B", "hardware": "RTX 4090", "data.examples": "5000", "data.kind": "chat"}


@pytest.fixture(scope="module")
def desk() -> tuple[Judge, Effects]:
    return live_judgement(Bench(), load_rule_book())


@pytest.fixture
def sheet(desk: tuple[Judge, Effects]) -> Sheet:
    given, problems = parse(Layer("flag", SAID))
    assert not problems
    return Sheet(desk[0](given))


@pytest.fixture
def screen(sheet: Sheet, desk: tuple[Judge, Effects]) -> _Screen:
    """The screen with judgements made at once, where the real one makes them in a thread."""
    return _Screen(sheet, *desk)


def point_at(sheet: Sheet, key: str) -> None:
    sheet.move([question.key for question in sheet.questions].index(key) - sheet.at)


def words_of(drawn: object) -> str:
    return fragment_list_to_text(to_formatted_text(drawn))  # type: ignore[arg-type]


def test_a_change_is_judged_and_what_it_changed_is_marked_and_said(screen: _Screen) -> None:
    sheet = screen.sheet
    point_at(sheet, "task.shift")
    screen.try_answers()
    assert "large" in sheet.effects["task.shift"]
    assert "lora_rank 16 → 128" in words_of(screen.draw_question(80, DETAIL_ROWS))
    screen.judge(sheet.turn(-1))
    assert sheet.given.values["task.shift"] == "large"
    assert (sheet.before and sheet.before.best and sheet.before.best.plan.lora_rank) == 16
    assert sheet.judged.result.best is not None and sheet.judged.result.best.plan.lora_rank == 128
    shown = words_of(screen.draw_answer(60, 40))
    assert "LoRA of rank 128" in shown
    assert "* lora_rank" in shown and "16 → 128" in shown
    assert "  packing" in shown


def test_what_changes_nothing_is_said_to_change_nothing(screen: _Screen) -> None:
    point_at(screen.sheet, "task.feedback")
    screen.judge(screen.sheet.turn(+1))
    shown = words_of(screen.draw_answer(60, 40))
    assert "The last answer changes nothing." in shown
    assert "* " not in shown


def test_answers_turn_through_open_and_all_choices_and_back(screen: _Screen) -> None:
    point_at(screen.sheet, "task.priority")
    seen = []
    for _ in range(len(screen.sheet.choices(screen.sheet.question))):
        screen.judge(screen.sheet.turn(+1))
        seen.append(screen.sheet.given.values.get("task.priority"))
    assert seen[-1] is None
    assert [*filter(None, seen)] == list(screen.sheet.question.choices)


def test_what_cannot_be_used_is_said_and_the_last_answers_stand(screen: _Screen) -> None:
    sheet = screen.sheet
    point_at(sheet, "model")
    for text in ("Qwen9-8X", "\b", "\b", "\b"):
        sheet.write(text)
    assert sheet.typed == "Qwen9"
    sheet.write("-8X")
    screen.judge(sheet.enter())
    assert sheet.given.values["model"] == "Qwen3-8B"
    assert "no model is called 'Qwen9-8X'" in words_of(screen.draw_question(80, DETAIL_ROWS))
    sheet.paste("Qwen3-4B\r\nsecond line\n")
    screen.judge(sheet.enter())
    assert sheet.given.values["model"] == "Qwen3-4B"
    assert sheet.judged.result.model.name == "Qwen3-4B"


def test_an_answer_that_is_needed_cannot_be_left_open_and_others_can(screen: _Screen) -> None:
    sheet = screen.sheet
    point_at(sheet, "model")
    assert sheet.leave_open() is None
    assert "has to be answered" in words_of(screen.draw_question(80, DETAIL_ROWS))
    point_at(sheet, "data.examples")
    screen.judge(sheet.leave_open())
    assert "data.examples" not in sheet.given.values


def test_a_number_out_of_range_is_refused_in_place_and_can_be_mended(screen: _Screen) -> None:
    sheet = screen.sheet
    point_at(sheet, "data.examples")
    sheet.write("many")
    assert sheet.enter() is None
    assert sheet.problems and sheet.typed == "many"
    sheet.typed = "600"
    screen.judge(sheet.enter())
    assert sheet.given.values["data.examples"] == 600


def test_a_question_that_becomes_necessary_appears_and_the_pointer_stays(screen: _Screen) -> None:
    sheet = screen.sheet
    assert "task.switch_per_request" not in [question.key for question in sheet.questions]
    point_at(sheet, "task.count")
    sheet.write("3")
    screen.judge(sheet.enter())
    assert sheet.question.key == "task.count"
    assert "task.switch_per_request" in [question.key for question in sheet.questions]


def test_tab_goes_through_what_counts_alone(screen: _Screen) -> None:
    sheet = screen.sheet
    counting = [question.key for question in sheet.questions if sheet.would_count(question)]
    assert counting
    seen = []
    for _ in counting:
        sheet.move_to_one_that_counts()
        seen.append(sheet.question.key)
    assert seen == counting


@pytest.mark.parametrize(("columns", "rows"), [(60, 18), (80, 24), (140, 45)])
def test_every_part_keeps_to_its_place(screen: _Screen, columns: int, rows: int) -> None:
    point_at(screen.sheet, "task.shift")
    screen.judge(screen.sheet.turn(-1))
    for draw in (
        screen.draw_questions,
        screen.draw_answer,
        screen.draw_question,
        screen.draw_title,
        screen.draw_keys,
    ):
        lines = words_of(draw(columns, rows)).rstrip("\n").split("\n")
        assert len(lines) <= rows
        assert max(map(len, lines)) <= columns
    keys = words_of(screen.draw_keys(80, 1))
    assert "Esc done" in keys


def test_without_colour_everything_is_still_told_apart(screen: _Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    point_at(screen.sheet, "task.shift")
    screen.judge(screen.sheet.turn(-1))
    drawn = to_formatted_text(screen.draw_answer(60, 30))
    assert not any("ansi" in style for style, *_ in drawn)
    assert "* lora_rank" in fragment_list_to_text(drawn)
    questions = words_of(screen.draw_questions(60, 30))
    assert "> How far is the task" in questions and "(open)" in questions


def test_keys_of_a_terminal_reach_the_answers_and_ctrl_c_loses_nothing(desk: tuple[Judge, Effects]) -> None:
    given, _ = parse(Layer("flag", SAID))
    subject = wizard(Layer("flag", SAID))
    judged = desk[0](given)
    order = [question.key for question in Sheet(judged).questions]
    keys = DOWN * order.index("task.shift") + LEFT + DOWN * 99 + TAB + CTRL_C
    with typed(keys), pytest.raises(KeyboardInterrupt):
        subject.change_on_sheet(judged, *desk)
    assert subject.given.explicit == {**given.explicit, "task.shift": "large"}
    pasted = DOWN * order.index("model") + "\x1b[200~Qwen3-4B\nrm -rf\n\x1b[201~" + "\r" + CTRL_C
    with typed(pasted), pytest.raises(KeyboardInterrupt):
        subject.change_on_sheet(judged, *desk)
    assert subject.given.values["model"] == "Qwen3-4B"


def test_esc_leaves_what_is_being_written_first_and_then_the_sheet(screen: _Screen) -> None:
    class Event:
        left: bool | None = None

        @property
        def app(self) -> Event:
            return self

        def exit(self, result: bool) -> None:
            self.left = result

    press: dict[str, Callable[[Event], object]] = {
        binding.keys[0].value: binding.handler
        for binding in _keys(screen).bindings
        if hasattr(binding.keys[0], "value")
    }
    event = Event()
    point_at(screen.sheet, "model")
    screen.sheet.write("Qwen")
    press["escape"](event)
    assert (screen.sheet.typed, event.left) == (None, None)
    press["escape"](event)
    assert event.left is False


def test_the_three_first_questions_stand_at_the_top(sheet: Sheet) -> None:
    assert [question.key for question in sheet.questions[:3]] == list(FIRST)


def test_nothing_is_marked_where_there_is_no_answer_before(sheet: Sheet) -> None:
    printed = io.StringIO()
    Console(file=printed, width=60).print(live(sheet.judged.result, None))
    shown = printed.getvalue()
    assert "* " not in shown
    assert all(name in shown for name in list(values(sheet.judged.result))[:6])


@settings(max_examples=60, deadline=None)
@examples(st.integers(1, 40), st.data())
def test_the_question_that_is_pointed_at_is_always_in_the_window(num_rows: int, data: st.DataObject) -> None:
    top, height = 0, data.draw(st.integers(1, 20))
    for at in data.draw(st.lists(st.integers(0, num_rows - 1), max_size=12)):
        top = shown_first(num_rows, at, height, top)
        assert 0 <= top <= at < top + height


def test_answers_are_compared_by_what_was_said_alone(sheet: Sheet) -> None:
    point_at(sheet, "data.kind")
    assert sheet.turn(+1) != sheet.judged.given
    assert isinstance(sheet.turn(-1), Answers)
    assert sheet.given.values == sheet.judged.given.values
