"""The guess of what examples are."""

from __future__ import annotations

import pytest

from advisor.data.kind import guess_kind
from trainers.examples.example import Example


def pair(question: str, answer: str, *more: str) -> Example:
    roles = ("user", "assistant")
    turns = (question, answer, *more)
    return Example(tuple({"role": roles[i % 2], "content": text} for i, text in enumerate(turns)))


@pytest.mark.parametrize(
    ("examples", "kind"),
    [
        ([Example(text="a long passage")] * 30, "raw_text"),
        ([pair(f"q{i}", f"a free answer of some words, number {i}") for i in range(30)], "instruct"),
        ([pair("q", "first answer here it is", "more", f"second answer {i} it is") for i in range(30)], "chat"),
        ([pair(f"text {i}", ("positive", "negative")[i % 2]) for i in range(40)], "classification"),
        ([pair(f"q{i}", f"```python\ndef f{i}():\n    return {i}\n```") for i in range(30)], "code"),
        ([pair(f"q{i}", f"So the result is \\boxed{{{i}}} as we saw.") for i in range(30)], "math"),
        ([pair(f"q{i}", f"<think>step {i}</think> The final answer is {i}.") for i in range(30)], "long_cot"),
    ],
)
def test_kinds(examples: list[Example], kind: str) -> None:
    guess = guess_kind(examples)
    assert guess.kind == kind
    assert guess.reason


def test_few_short_answers_are_no_labels() -> None:
    assert guess_kind([pair("q", "yes"), pair("p", "no")]).kind == "instruct"
