"""Dialogues that are written out with names give their turns back, and other text is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainers.examples.rendered import messages_of
from trainers.examples.speakers import turns_spoken, turns_within

SIDES = [
    ("Human", "Assistant"),
    ("User", "Bot"),
    ("User", "Assistant"),
    ("Human", "AI"),
    ("Question", "Answer"),
    ("Q", "A"),
    ("Instruction", "Output"),
    ("Instruction", "Response"),
    ("Prompt", "Completion"),
    ("Input", "Output"),
    ("Customer", "Agent"),
    ("问", "答"),
    ("用户", "助手"),
    ("Frage", "Antwort"),
    ("Pregunta", "Respuesta"),
]
STYLES = ["{}: {}\n", "### {}: {}\n", "### {}:\n{}\n\n", "### {}\n{}\n", "**{}:** {}\n\n", "[{}]: {}\n", "\n\n{}: {}"]
WORDS = st.lists(st.sampled_from(["blue", "sky", "why", "so", "grass", "7", "(x)"]), min_size=1, max_size=6)
SENTENCE = WORDS.map(lambda words: f"{' '.join(words)}.")


@given(
    sides=st.sampled_from(SIDES),
    style=st.sampled_from(STYLES),
    said=st.lists(st.tuples(SENTENCE, SENTENCE), min_size=1, max_size=3),
)
def test_turns_come_back_from_every_way_of_writing_them_out(
    sides: tuple[str, str], style: str, said: list[tuple[str, str]]
) -> None:
    asker, answerer = sides
    text = "".join(style.format(asker, question) + style.format(answerer, reply) for question, reply in said)
    meant = [turn for question, reply in said for turn in (("user", question), ("assistant", reply))]
    assert turns_spoken(text) == meant


@pytest.mark.parametrize(
    ("text", "turns"),
    [
        ("User: Why? Bot: So.", [("user", "Why?"), ("assistant", "So.")]),
        ("### Human: Why?### Assistant: So.", [("user", "Why?"), ("assistant", "So.")]),
        ("Context: A fox.\nQuestion: Who?\nAnswer: It.", [("user", "A fox.\n\nWho?"), ("assistant", "It.")]),
        ("Instruction: Add.\nInput: 1, 2\nOutput: 3", [("user", "Add.\n\n1, 2"), ("assistant", "3")]),
        ("System: Be brief.\nUser: Why?\nAI: So.", [("system", "Be brief."), ("user", "Why?"), ("assistant", "So.")]),
        (
            "Below is a task.\n\n### Question:\nWhy?\n\n### Answer:\nSo.",
            [("system", "Below is a task."), ("user", "Why?"), ("assistant", "So.")],
        ),
        ("Instruct: 2+2?\nOutput: 4", [("user", "2+2?"), ("assistant", "4")]),
        ("Question: 2+2?\nAnswer: It prints\nOutput: 4", [("user", "2+2?"), ("assistant", "It prints\nOutput: 4")]),
    ],
)
def test_what_stands_beside_a_question_stays_with_it(text: str, turns: list[tuple[str, str]]) -> None:
    assert turns_spoken(text) == turns
    assert [(message["role"], message["content"]) for message in messages_of(text)] == turns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The answer is near. Question: who was it? Nobody gave an answer: they slept.",
        "HAMLET: Words, words.\nPOLONIUS: What is the matter?",
        "From: Ann\nTo: Bo\nSubject: the question\n\nAnswer me soon.",
        "Question: why is it so?\nIt went on for hours.",
        "input: 3\nmodel: gpt2\n",
        "He said so. User: hi there. Bot: hello.",
        "# Contents\n\n## Input\n\nRead a file.\n\n## Errors\n\nNone.",
        "Answer: 4\nQuestion: what is 2+2?",
        "Problem: it leaks.\n\nProblem: it rusts.\n\nSolution: paint.",
    ],
)
def test_other_text_is_no_dialogue(text: str) -> None:
    assert turns_spoken(text) == []


def test_examples_in_a_prompt_are_no_dialogue_inside_a_turn() -> None:
    assert turns_within("Q: 1+1? A: 2 Q: 2+2? A:") == []
    assert turns_within("User: hi. Bot: hello.") == [("user", "hi."), ("assistant", "hello.")]


@given(st.text(st.sampled_from("QA:#*\n .UserBot问答"), max_size=80))
def test_no_text_makes_it_fail(text: str) -> None:
    turns = turns_spoken(text)
    assert not turns or {"user", "assistant"} <= {role for role, _ in turns}
