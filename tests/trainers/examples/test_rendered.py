"""Rendered chats are told from other text, and give their messages back."""

from __future__ import annotations

import pytest

from tests.trainers.examples import templates
from tests.trainers.examples.templates import PLAIN, marker_of
from trainers.examples.rendered import dialect_of, messages_of, start_token

ALL = [*templates.base_templates(), *templates.family_templates()]


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_a_chat_that_any_template_renders_gives_its_turns_back(path: templates.Path) -> None:
    marker = marker_of(path)
    turns = PLAIN["two turns"]
    found = messages_of(marker.template.render(marker._ready(turns)).text)
    assert [message for message in found if message["role"] != "system"] == turns


def test_a_system_message_in_the_first_question_of_llama_2_is_its_own() -> None:
    text = "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nWhy? [/INST] So. </s>"
    assert [message["content"] for message in messages_of(text)] == ["Be brief.", "Why?", "So."]
    assert start_token(text) == "<s>"


@pytest.mark.parametrize(
    "text",
    [
        "A document that shows how Llama 2 is spoken to: <s>[INST] hi [/INST] hello</s>",
        "def render():\n    return '<|im_start|>user\\nhi'\n\n# <|im_start|>user\n# <|im_start|>assistant\n",
        "A page about tags. " * 80 + "USER: hi ASSISTANT: hello",
        "",
        "A story.",
        "<|im_start|> opens a turn.",
        "User: hi",
        "[INST] alone",
        "<|user|> and nobody answers",
    ],
)
def test_other_text_is_no_chat(text: str) -> None:
    assert dialect_of(text) is None
    assert messages_of(text) == []
    assert start_token(text) == ""


def test_a_chat_of_baize_ends_with_its_last_answer() -> None:
    text = "The conversation between human and AI assistant.\n[|Human|] q\n[|AI|] a\n[|Human|] "
    assert [(turn["role"], turn["content"]) for turn in messages_of(text)][1:] == [
        ("user", "q"),
        ("assistant", "a"),
    ]
