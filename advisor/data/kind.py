"""A cautious guess of what the examples are, offered as a default to be confirmed, never as a fact."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec

from advisor.base.language import tr
from trainers.examples.example import Example

_CODE = re.compile(r"```|^\s*(def |class |import |from \w+ import |#include|public |func |fn |SELECT )", re.MULTILINE)
_MATH = re.compile(r"\\boxed|\\frac|\\sqrt|^#### ?-?[\d$]|\$[^$\n]*[\\^_=][^$\n]*\$", re.MULTILINE)
_THOUGHT = re.compile(r"<think>|<\|begin_of_thought\|>|<reasoning>")
_LONG_ANSWER_CHARACTERS = 6000
_SHORT_LABEL_WORDS = 4


class KindGuess(msgspec.Struct, frozen=True, kw_only=True):
    """A value for `data.kind` and what speaks for it."""

    kind: str
    reason: str


def guess_kind(examples: Sequence[Example]) -> KindGuess:
    """What most of these examples look like. Facts in the answers cannot be seen, so "facts" is never guessed."""
    if all(not example.messages for example in examples):
        return KindGuess(kind="raw_text", reason=tr("the rows are plain text without questions and answers"))
    answers = [answer for example in examples for answer in example.answers]
    multi = sum(example.num_answers > 1 for example in examples) / (len(examples) or 1)
    signs = (
        (
            "long_cot",
            _share(answers, lambda one: bool(_THOUGHT.search(one))),
            0.3,
            tr("{share} of the answers think aloud"),
        ),
        (
            "long_cot",
            _share(answers, lambda one: len(one) > _LONG_ANSWER_CHARACTERS),
            0.5,
            tr("{share} of the answers are very long"),
        ),
        ("classification", _label_share(answers), 0.95, tr("{share} of the answers are one of a few short labels")),
        (
            "math",
            _share(answers, lambda one: bool(_MATH.search(one))),
            0.4,
            tr("{share} of the answers hold formulas"),
        ),
        ("code", _share(answers, lambda one: bool(_CODE.search(one))), 0.4, tr("{share} of the answers hold code")),
        ("chat", multi, 0.2, tr("{share} of the examples go on over several turns")),
    )
    for kind, share, enough, what in signs:
        if share > enough:
            return KindGuess(kind=kind, reason=what.format(share=f"{share * 100:.0f} %"))
    return KindGuess(kind="instruct", reason=tr("single questions with free answers"))


def _share(answers: Sequence[str], is_so: Callable[[str], bool]) -> float:
    return sum(is_so(answer) for answer in answers) / (len(answers) or 1)


def _label_share(answers: Sequence[str]) -> float:
    """Share of the answers that are short labels; 0 when too few answers or too many different ones say otherwise."""
    short = [answer.strip().lower() for answer in answers if len(answer.split()) <= _SHORT_LABEL_WORDS]
    is_few = len(answers) >= 20 and len(set(short)) <= max(2, len(short) // 10)
    return len(short) / len(answers) if is_few else 0.0
