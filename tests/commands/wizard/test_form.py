"""The wizard through a pipe: the same answers as flags give, help, back, keep, Ctrl-C."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from advisor.ask.answers import Layer, resolve
from advisor.ask.question import PAGES, Measured
from advisor.ask.questions import QUESTIONS
from advisor.commands.wizard.form import Next
from tests.commands.wizard.driving import CTRL_C, DOWN, ENTER, Bench, pick, typed, wizard

EVERYTHING = {
    "model": "Qwen3-8B",
    "hardware": "2x RTX 3090",
    "output": "out",
    "data.kind": "chat",
    "data.examples": "5000",
    "data.completion_tokens": "2M",
    "data.total_tokens": "5M",
    "data.len_p95": "1500",
    "data.new_tokens": "3",
    "data.new_language": "no",
    "data.has_facts_that_change": "no",
    "data.has_eval": "yes",
    "task.count": "4",
    "task.switch_per_request": "yes",
    "task.priority": "iteration",
    "task.shift": "medium",
    "task.retention_critical": "yes",
    "task.retention_failed": "no",
    "task.prompting_tried": "yes",
    "task.feedback": "checker",
    "deploy.engine": "vllm",
    "deploy.latency_critical": "no",
    "deploy.artifact": "adapters",
    "deploy.weights": "fp8",
    "storage.budget_bytes": "500GiB",
    "storage.variants": "8",
    "wish.method": "lora",
    "wish.max_seq_len": "2048",
    "wish.variant": "rslora",
    "wish.neftune": "no",
}


NOT_ASKED = ("map", "eval_dataset", "deploy.commercial")
"""Not asked without a dataset, or without a licence that keeps some use back."""


def keys_for(answers: dict[str, str]) -> str:
    """What a person types to give each of these answers, in the order of the table; Enter where none is given."""
    keys = ""
    for question in QUESTIONS:
        if question.key in NOT_ASKED:
            continue
        if question.key not in answers:
            keys += ENTER
        elif question.kind in ("choice", "bool"):
            known = resolve(Layer("flag", {k: v for k, v in answers.items() if k != question.key}))
            keys += pick(question.key, answers[question.key], known)
        else:
            keys += answers[question.key] + ENTER
    return keys


def test_every_question_by_pipe_and_by_flag_gives_equal_answers():
    flags = resolve(
        Layer("flag", EVERYTHING), measured=Measured(hardware=Bench().hardware({"hardware": "2x RTX 3090"}))
    )
    with typed(keys_for(EVERYTHING)):
        prompted = wizard().ask()
    assert prompted.values == flags.values
    assert {prompted.origins[key] for key in EVERYTHING} == {"prompt"}
    unanswered = {question.key for question in QUESTIONS} - set(EVERYTHING) - {"dataset", *NOT_ASKED}
    assert not unanswered, f"EVERYTHING, at the top of this file, has no answer for {unanswered}"


def test_enter_everywhere_gives_the_defaults_of_the_flags():
    with typed("Qwen3-8B" + ENTER * len(QUESTIONS)):
        prompted = wizard().ask()
    assert prompted.values == resolve(Layer("flag", {"model": "Qwen3-8B"})).values


def test_keep_takes_the_rest_of_each_page():
    with typed("Qwen3-8B" + ENTER + ">" * len(PAGES)):
        prompted = wizard().ask()
    assert prompted.values == resolve(Layer("flag", {"model": "Qwen3-8B"})).values


def test_keep_does_not_skip_a_required_answer():
    screen = Console(file=io.StringIO(), width=80)
    with typed(">" + "Qwen3-8B" + ENTER + ">" * len(PAGES)):
        assert wizard(screen=screen).ask().get("model") == "Qwen3-8B"
    assert "has to be answered" in screen.file.getvalue()


def test_help_is_shown_on_every_question():
    screen = Console(file=io.StringIO(), width=200)
    keys = ""
    asked = [q for q in QUESTIONS if q.key not in ("task.switch_per_request", "task.retention_failed", *NOT_ASKED)]
    for question in asked:
        keys += "?" + ("Qwen3-8B" if question.key == "model" else "") + ENTER
    with typed(keys):
        wizard(screen=screen).ask()
    shown = screen.file.getvalue()
    for question in asked:
        assert question.help in shown
        assert question.why in shown


def test_back_asks_again_and_offers_what_was_answered():
    keys = "Qwen3-8B" + ENTER + ENTER + ENTER + ENTER + ">"  # the task page comes next
    with typed(keys + "3" + ENTER + "<" + ENTER + ">" * 4):
        assert wizard().ask().get("task.count") == 3
    with typed(keys + "3" + ENTER + "<" + "5" + ENTER + ">" * 4):
        assert wizard().ask().get("task.count") == 5


def test_back_on_the_first_question_stays_there():
    with typed("<" + "Qwen3-8B" + ENTER + ">" * len(PAGES)):
        assert wizard().ask().get("model") == "Qwen3-8B"


def test_a_model_that_does_not_exist_is_asked_again():
    screen = Console(file=io.StringIO(), width=200)
    with typed("Qwen9-8X" + ENTER + "Qwen3-8B" + ENTER + ">" * len(PAGES)):
        answers = wizard(screen=screen).ask()
    assert answers.get("model") == "Qwen3-8B"
    assert "no model is called 'Qwen9-8X'" in screen.file.getvalue()


def test_nonsense_is_refused_in_place():
    at_task_count = "Qwen3-8B" + ENTER + ">" + ">"
    with typed(at_task_count + "0" + ENTER + "\x7f" + "many" + ENTER + "\x7f" * 4 + "2" + ENTER + ">" * 4):
        assert wizard().ask().get("task.count") == 2


def test_ctrl_c_keeps_what_was_said():
    subject = wizard()
    with typed("Qwen3-8B" + ENTER + ENTER + CTRL_C), pytest.raises(KeyboardInterrupt):
        subject.ask()
    assert subject.given.explicit == {"model": "Qwen3-8B"}


def test_answers_of_a_file_are_not_asked_again():
    layer = Layer("file", {key: value for key, value in EVERYTHING.items() if key != "task.shift"})
    with typed(ENTER + pick("task.shift", "large")):  # only the dataset and the shift are left
        assert wizard(layer).ask().get("task.shift") == "large"


def test_changing_an_answer_asks_what_becomes_necessary():
    subject = wizard(Layer("flag", {"model": "Qwen3-8B"}))
    with typed(">" * len(PAGES)):
        before = subject.ask()
    shown = [question.key for question in QUESTIONS if question.applies(before.values)]
    to_count = DOWN * shown.index("task.count") + ENTER
    with typed(to_count + "3" + ENTER + pick("task.switch_per_request", "yes", before)):
        after = subject.change()
    assert after.get("task.count") == 3
    assert after.get("task.switch_per_request") is True
    with typed(to_count + "1" + ENTER):
        assert subject.change().get("task.switch_per_request") is False


def test_the_last_menu():
    with typed(ENTER):
        assert wizard().choose_next(has_plan=True) is Next.SAVE_PLAN
    with typed(ENTER):
        assert wizard().choose_next(has_plan=False) is Next.CHANGE
    with typed(DOWN * 5 + ENTER):
        assert wizard().choose_next(has_plan=True) is Next.LAUNCH
    with typed(DOWN * 6 + ENTER):
        assert wizard().choose_next(has_plan=True) is Next.QUIT


def test_a_launch_that_cannot_work_is_not_offered_and_the_reason_is_said():
    screen = Console(file=io.StringIO(), width=80)
    with typed(DOWN * 5 + ENTER):
        assert wizard(screen=screen).choose_next(has_plan=True, obstacle="no dataset was named") is Next.QUIT
    assert "It cannot be launched here: no dataset was named" in screen.file.getvalue()


def test_a_start_is_confirmed_and_enter_means_no():
    with typed(ENTER):
        assert not wizard().confirm_launch("6 h, 2 GiB")
    with typed(DOWN + ENTER):
        assert wizard().confirm_launch("6 h, 2 GiB")


def test_a_paste_that_ends_with_a_newline_is_one_line():
    with typed("\x1b[200~Qwen3-8B\r\nsomething else\n\x1b[201~" + ENTER + ">" * len(PAGES)):
        assert wizard().ask().get("model") == "Qwen3-8B"


def test_three_questions_come_first():
    with typed("Qwen3-8B" + ENTER + ENTER + "2x RTX 3090" + ENTER):
        answers = wizard().ask_first()
    assert answers.explicit == {"model": "Qwen3-8B", "hardware": "2x RTX 3090"}
    assert answers.values == resolve(Layer("flag", answers.explicit), measured=_of("2x RTX 3090")).values


def test_who_has_no_model_chooses_when_the_machine_is_known():
    with typed("none" + ENTER + ENTER + "RTX 4090" + ENTER * 4):
        answers = wizard().ask_first()
    assert str(answers.get("model")).startswith("Qwen/Qwen3") and answers.get("hardware") == "RTX 4090"


def test_an_open_question_is_answered_with_what_each_answer_would_do():
    subject = wizard(Layer("flag", {"model": "Qwen3-8B", "hardware": "RTX 4090"}))
    effects = {"task.shift": {"large": "lora_rank 16 → 128"}, "data.new_language": {"yes": "QLoRA"}}
    with typed(ENTER + ENTER):
        assert subject.ask_first().get("task.shift") is None
    with typed(ENTER + pick("task.shift", "large")):
        assert subject.sharpen(effects).get("task.shift") == "large"
    with typed(DOWN * 2 + ENTER + ">" * len(PAGES)):
        assert subject.sharpen(effects).get("task.shift") == "large"


def _of(hardware: str) -> Measured:
    return Measured(hardware=Bench().hardware({"hardware": hardware}))


def test_no_model_yet_leads_to_a_short_list_and_keeps_the_kind_of_data() -> None:
    with typed("none" + ENTER + ENTER + ENTER + ENTER + CTRL_C):
        asked = wizard()
        with pytest.raises(KeyboardInterrupt):
            asked.ask()
    chosen = asked.given
    assert str(chosen.values["model"]).startswith("Qwen/Qwen3")
    assert chosen.values["data.kind"] == "chat" and chosen.origins["model"] == "prompt"
