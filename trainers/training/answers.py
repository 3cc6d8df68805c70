"""Greedy answers of a model to the questions of kept-back conversations, with the pictures that they ask about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from trainers.examples.example import Example
from trainers.examples.slots import SLOT
from trainers.training.rendering import Renderer


class Question(NamedTuple):
    """A conversation up to its last answer, and that answer."""

    messages: list[dict[str, Any]]
    tools: Any
    reference: str
    pictures: tuple[str, ...] = ()
    """What its slots stand for, in order."""


def questions_of(examples: Iterable[Example]) -> list[Question]:
    """The questions of those conversations whose last answer says something."""
    questions = []
    for example in examples:
        messages = list(example.messages)
        last = max((i for i, message in enumerate(messages) if message["role"] == "assistant"), default=0)
        if last and messages[last]["content"]:
            slots = sum(message["content"].count(SLOT) for message in messages[:last])
            pictures = example.images[:slots]
            questions.append(Question(messages[:last], example.tools, messages[last]["content"], pictures))
    return questions


def answers_to(
    questions: Sequence[Question], model: Any, renderer: Renderer, new_tokens: int, seconds: float
) -> list[str]:
    """Greedy answers of at most `new_tokens`, without special tokens: all at once within `seconds`, or, to questions
    about pictures, one by one with as long for each as its share."""
    if not questions:
        return []
    asked = [renderer.opening(question.messages, question.tools) for question in questions]
    sight = renderer.sight
    if sight is None or not any(question.pictures for question in questions):
        return _made(model, renderer, asked, {}, new_tokens, seconds)
    answers = []
    for question, text in zip(questions, asked, strict=True):
        whole = sight.asked(text, question.pictures)
        ids = renderer.tokenizer(whole, add_special_tokens=False)["input_ids"]
        beside = sight.beside(ids, question.pictures, next(model.parameters()).device)
        answers += _made(model, renderer, [whole], beside, new_tokens, seconds / len(questions))
    return answers


def _made(
    model: Any, renderer: Renderer, asked: list[str], beside: dict[str, Any], new_tokens: int, seconds: float
) -> list[str]:
    tokenizer = renderer.tokenizer
    side, tokenizer.padding_side = tokenizer.padding_side, "left"
    try:
        batch = tokenizer(asked, add_special_tokens=False, padding=True, return_tensors="pt")
    finally:
        tokenizer.padding_side = side
    batch = batch.to(next(model.parameters()).device)
    made = model.generate(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        **beside,
        max_new_tokens=new_tokens,
        max_time=seconds,
        do_sample=False,
        use_cache=True,
        temperature=None,
        top_p=None,
        top_k=None,
        pad_token_id=tokenizer.pad_token_id,
    )
    said: list[str] = tokenizer.batch_decode(made[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    return said
