"""Habits that an answer teaches: refusing, repeating the question, and the leftovers of where it was copied from."""

from __future__ import annotations

import html
import re

from advisor.base.language import later
from advisor.data.content.examiner import Examiner, answers, excerpt, rewritten, said
from advisor.data.content.order import begins_as_asked
from advisor.data.marked import ANSWER, MORE, TURN
from trainers.examples.example import Example

_REFUSAL = (
    r"(?:(?:i['’]?m|i am|we['’]re|my apologies|apologies|sorry)\b[^.!\n]{0,40}\b)?"
    r"i(?:['’]m| am)? (?:can(?:not|['’]?t| not)|won['’]?t|unable to|not able to|not allowed to)"
    r" (?:\w+ )?(?:help|assist|provide|fulfil+|comply|answer|discuss|create|generate|do that|support|engage|write)"
    r"|as an ai\b[^.!?\n]{0,60}\bi"
    r"(?: do not| don['’]t| can(?:not|['’]t| not)| am not|['’]m not| am unable| lack| have no)"
    r"|(?:很?抱歉|对不起)[，,]?我?(?:无法|不能)|作为(?:一个|一名)?(?:ai|人工智能)[^。！？\n]{0,30}(?:无法|不能|没有)"
    r"|je suis désolée?,? mais je ne (?:peux|suis)|lo siento,? pero no puedo|es tut mir leid,? (?:aber )?ich kann"
    r"|desculpe,? mas não posso"
)
_REFUSES = re.compile(rf"^\W*(?:{_REFUSAL})", re.IGNORECASE)
_HEAD_CHARACTERS = 300
_GREETING_CHARACTERS = 10
"""What is shorter may be a greeting, which is returned."""
_ENTITY = re.compile(r"&(?:amp|lt|gt|quot|nbsp|#0?39|apos|#x27);")
_MARKUP = re.compile(r"html|xml|entit|escape|encode|```|<\w+[ >/]", re.IGNORECASE)
_COPIED = re.compile(r"\[oaicite:|:contentReference\[|【\d+†|(?:^|\n)Copy code\n|(?:^|\n)Regenerate response\s*$")
_CALCULATOR = re.compile(r"<<[-+*/().0-9% $,]+=[-0-9.,$%]+>>")
# Ends of prompts and answers that the completion models of 2021 to 2023 asked for.
_SEPARATED = re.compile(r"(?:\n\n###\n*|\n\s?->|\s->)\s*$")
_STOPPED = re.compile(r"(?:\n?\s*(?:###|\bEND|\bSTOP)|\n\n###)\s*$")


def _refuses(example: Example) -> str:
    for text in answers(example):
        if found := _REFUSES.search(text[:_HEAD_CHARACTERS]):
            return excerpt(text, *found.span())
    return ""


def _echoes(example: Example) -> str:
    before = ""
    for message in example.messages:
        text = message["content"].strip()
        is_answer = message["role"] == "assistant" and not message.get("tool_calls")
        if is_answer and text == before and len(text) > _GREETING_CHARACTERS:
            return excerpt(text)
        before = text if message["role"] == "user" else ""
    return ""


def _entities(example: Example) -> str:
    for text in answers(example):
        if (found := _ENTITY.search(text)) and not any(_MARKUP.search(one) for one in said(example)):
            return excerpt(text, *found.span())
    return ""


def _copied(example: Example) -> str:
    for text in answers(example):
        if found := _COPIED.search(text):
            return excerpt(text, *found.span())
    return ""


def _calculator(example: Example) -> str:
    for text in answers(example):
        if found := _CALCULATOR.search(text):
            return excerpt(text, *found.span())
    return ""


def _separators(example: Example) -> str:
    for message in example.messages:
        pattern = {"user": _SEPARATED, "assistant": _STOPPED}.get(message["role"])
        if pattern and (found := pattern.search(message["content"])):
            return excerpt(message["content"], *found.span())
    return ""


def _without_separators(example: Example) -> Example:
    asked = rewritten(example, lambda text: _SEPARATED.sub("", text), role="user")
    return rewritten(asked, lambda text: _STOPPED.sub("", text).lstrip(" "), role="assistant")


_END = f"[{TURN}{MORE}]|$"

EXAMINERS = (
    Examiner(
        code="refusals",
        hint=rf"(?i){ANSWER}\W{{0,10}}(?:{_REFUSAL})",
        look=_refuses,
        what=later("refuse to answer"),
        why=later("The model learns to refuse, more often than these rows do."),
        fix=later("Leave them out unless refusing is what is to be learnt."),
        mend=lambda example: None if _refuses(example) else example,
        warns_above=0.05,
    ),
    Examiner(
        code="echoes",
        hint=begins_as_asked,
        look=_echoes,
        what=later("answer with the question itself"),
        why=later("The model learns to repeat what it is asked."),
        fix=later("Look whether a column was taken twice; else leave the rows out."),
        mend=lambda example: None if _echoes(example) else example,
        warns_above=0.005,
        blocks_above=0.20,
    ),
    Examiner(
        code="html-entities",
        hint=r"&(?:amp|lt|gt|quot|nbsp|#0?39|apos|#x27);",
        look=_entities,
        what=later("answer with characters written as HTML does"),
        why=later("The model learns to write &quot; where a quotation mark is meant."),
        fix=later("Turn them into the characters."),
        mend=lambda example: rewritten(example, html.unescape, role="assistant"),
        warns_above=0.01,
    ),
    Examiner(
        code="copied-leftovers",
        hint=r"\[oaicite:|:contentReference\[|【[0-9]+†|Copy code\n|Regenerate response",
        look=_copied,
        what=later("hold leftovers of the page that they were copied from"),
        why=later("The model learns to write them."),
        fix=later("Remove them."),
        mend=lambda example: rewritten(example, lambda text: _COPIED.sub("", text), role="assistant"),
    ),
    Examiner(
        code="calculator-marks",
        hint=r"<<[-+*/().0-9% $,]+=[-0-9.,$%]+>>",
        look=_calculator,
        what=later("hold the marks of a calculator that GSM8K's answers were written for (<<2*3=6>>)"),
        why=later("The model learns to write them, and no program answers to them."),
        fix=later("Remove them."),
        mend=lambda example: rewritten(example, lambda text: _CALCULATOR.sub("", text), role="assistant"),
    ),
    Examiner(
        code="old-separators",
        hint=rf"(?:###|->|END|STOP)\s*(?:{_END})",
        look=_separators,
        what=later("end with the separators that completion models needed"),
        why=later("The chat template separates question and answer; the model learns to write the stop mark."),
        fix=later("Remove them."),
        mend=_without_separators,
        warns_above=0.05,
    ),
)
