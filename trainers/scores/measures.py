"""The measures by name, which of them suits a dataset, and two models compared by one.

chosen = choose(references)
compare(chosen.measure, references, base, tuned).gain
"""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from trainers.language import tr
from trainers.scores.classes import same_label
from trainers.scores.code import assertions, python_passes
from trainers.scores.intervals import Interval, gain, share
from trainers.scores.structured import (
    calls,
    json_match,
    json_shape,
    json_valid,
    json_value,
    python_parses,
    tool_calls,
    tool_names,
    unfenced,
)
from trainers.scores.text import chrf, exact, holds, last_number, normalised_match, number_match, rouge_l, token_f1

Measure = Callable[[str, str], float]

MEASURES: dict[str, Measure] = {
    "exact": exact,
    "normalised": normalised_match,
    "holds": holds,
    "token_f1": token_f1,
    "label": same_label,
    "number": number_match,
    "json": json_match,
    "json_shape": json_shape,
    "json_valid": json_valid,
    "tool_calls": tool_calls,
    "tool_names": tool_names,
    "python_parses": python_parses,
    "python_passes": python_passes,
    "chrf": chrf,
    "rouge_l": rouge_l,
}
OWN = "score"
"""The function of a Python file of one's own: score(reference, answer) -> 0 to 1."""
MOST_LABELS = 20
SHORT_WORDS = 6
WORD = re.compile("[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]|[^\\s\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]+")
"""A word between blanks, or one character of Thai, Japanese or Chinese, which put none between words."""
MOSTLY = 0.9
"""Share of the references that must be of a kind before its measure is taken."""


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """A measure, and what in the data speaks for it."""

    measure: str
    why: str


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Base and tuned model by one measure on the same rows, 0 to 1, with intervals of 95 %."""

    measure: str
    """How answers were compared with the reference."""
    why: str
    """Why by this measure."""
    base: Interval | None
    """The base model's; None where it was not asked."""
    tuned: Interval
    """The tuned model's."""
    gain: Interval | None
    """Tuned less base, row by row; None where the base was not asked."""


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """What an evaluation found beside plain losses; `scores` of run.json."""

    loss_change: Interval | None = None
    """Tuned less base, nats per supervised token over the kept-back rows: below 0 is better. No base: None."""
    task: Comparison | None = None
    """Answers of both models against the reference; None where none were written."""


def choose(references: Sequence[str]) -> Chosen:
    """The measure that suits these references, from the most to the least particular kind."""
    if not references:
        return Chosen(measure="exact", why=tr("nothing was kept back to choose by"))
    labels = {" ".join(text.split()).casefold() for text in references}
    come_again = len(labels) <= min(MOST_LABELS, len(references) / 3)
    kinds: tuple[tuple[str, str, Callable[[str], bool]], ...] = (
        ("tool_calls", tr("the answers are calls of tools"), lambda text: calls(text) is not None),
        ("json", tr("the answers are JSON"), _is_json_document),
        ("number", tr("the answers are numbers"), _is_number),
        (
            "label",
            tr("the answers are {num_labels} labels that come again", num_labels=len(labels)),
            lambda text: come_again and _is_short(text),
        ),
        (
            "python_passes",
            tr("the answers are Python code with assertions, which are run in a child that can do nothing else"),
            lambda text: bool(assertions(text)),
        ),
        ("python_parses", tr("the answers are Python code"), _is_python),
        ("normalised", tr("the answers are short, {short_words} words at most", short_words=SHORT_WORDS), _is_short),
        ("chrf", tr("the answers are texts of a script without blanks between words"), _is_unspaced),
    )
    for measure, why, is_of_kind in kinds:
        if sum(map(is_of_kind, references)) >= MOSTLY * len(references):
            return Chosen(measure=measure, why=why)
    return Chosen(measure="token_f1", why=tr("the answers are sentences"))


def measure_named(name: str) -> Measure:
    """A measure by its name, `regex:PATTERN` or the path of a Python file. Raises ValueError for any other.

    A file of one's own is run with this process's rights, so only a user's own flag may name one.
    """
    if name in MEASURES:
        return MEASURES[name]
    if name.startswith("regex:"):
        try:
            pattern = re.compile(name.removeprefix("regex:"))
        except re.error as error:
            raise ValueError(f"{name} is no regular expression: {error}") from error
        return lambda _, answer: float(bool(pattern.search(answer)))
    if name.endswith(".py") and Path(name).is_file():
        own = runpy.run_path(name).get(OWN)
        if callable(own):
            return lambda reference, answer: float(own(reference, answer))
        raise ValueError(f"{name} has no function {OWN}(reference, answer)")
    raise ValueError(f"{name!r} is no measure; there are {', '.join(MEASURES)}, regex:PATTERN, and a Python file")


def compare(
    chosen: Chosen, references: Sequence[str], base: Sequence[str] | None, tuned: Sequence[str]
) -> Comparison | None:
    """Both models' answers by a measure; None for no rows."""
    if not references:
        return None
    measure = measure_named(chosen.measure)
    after = [measure(reference, answer) for reference, answer in zip(references, tuned, strict=True)]
    before = None if base is None else [measure(*pair) for pair in zip(references, base, strict=True)]
    return Comparison(
        measure=chosen.measure,
        why=chosen.why,
        base=None if before is None else share(before),
        tuned=share(after),
        gain=None if before is None else gain(before, after),
    )


def _is_json_document(text: str) -> bool:
    is_json, value = json_value(text)
    return is_json and isinstance(value, dict | list)


def _is_number(text: str) -> bool:
    named = [word for word in text.split() if any(mark.isalpha() for mark in word)]
    return last_number(text) is not None and len(text.split()) <= SHORT_WORDS and len(named) <= 1


def _is_short(text: str) -> bool:
    return len(WORD.findall(text)) <= SHORT_WORDS


def _is_unspaced(text: str) -> bool:
    return len(WORD.findall(text)) > 2 * len(text.split())


def _is_python(text: str) -> bool:
    code = unfenced(text)
    return bool(re.search(r"^\s*(def|class|import|from|return|for|while|print)\b", code, re.MULTILINE)) and bool(
        python_parses("", code)
    )
