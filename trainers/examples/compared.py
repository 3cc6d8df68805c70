"""Two answers side by side with a verdict: the better one is learnt, the other never."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from trainers.examples.conversation import conversation
from trainers.examples.example import Example, RowError, RowExcludedError
from trainers.examples.pairs import asked_turns
from trainers.examples.turns import decoded
from trainers.language import tr

Row = dict[str, Any]


class Comparison(NamedTuple):
    """Columns of the two answers, and of what says which is better."""

    first: str
    second: str
    verdict: str
    is_first: Callable[[Any], bool | None]
    """Whether the first is better; None where neither is."""
    beside: tuple[str, ...] = ()
    """Columns that say the same of the second answer, and then of both; neither is better where they agree."""


_FIRST = ("model_a", "a", "response_a", "1", "assistant_a")
_SECOND = ("model_b", "b", "response_b", "2", "assistant_b")


def _by_name(value: Any) -> bool | None:
    said = str(value).strip().lower()
    return True if said in _FIRST else False if said in _SECOND else None


def _by_sign(value: Any) -> bool | None:
    return None if not isinstance(value, int | float) or not value else value < 0


def _by_truth(value: Any) -> bool | None:
    return bool(int(value)) if str(value) in ("0", "1", "True", "False") and not isinstance(value, str) else None


COMPARISONS = (
    Comparison("conversation_a", "conversation_b", "winner", _by_name),
    Comparison("response_a", "response_b", "winner", _by_name),
    Comparison("response_a", "response_b", "winner_model_a", _by_truth, ("winner_model_b", "winner_tie")),
    Comparison("response1", "response2", "overall_preference", _by_sign),
    Comparison("response_1", "response_2", "overall_preference", _by_sign),
    Comparison("human_ref_a", "human_ref_b", "labels", _by_truth),
)
"""Chatbot Arena, HelpSteer 3 and Stanford's human preferences."""
ANSWER_COLUMNS = tuple(dict.fromkeys(column for one in COMPARISONS for column in (one.first, one.second)))
VERDICT_COLUMNS = tuple(dict.fromkeys(column for one in COMPARISONS for column in (one.verdict, *one.beside)))


def is_compared(row: Row) -> bool:
    """Whether a row holds two answers and a verdict."""
    return _comparison(row) is not None


def read_compared(row: Row) -> Example:
    """The better answer behind its question. Raises RowExcludedError where neither is better."""
    found = _comparison(row)
    if found is None:
        raise RowError(tr("no two answers with a verdict"))
    is_first = found.is_first(row[found.verdict])
    is_second = found.is_first(row.get(found.beside[0])) if found.beside else None
    if is_first is None or is_first == is_second:
        raise RowExcludedError(tr("neither of the two answers is the better one"))
    better = decoded(row[found.first if is_first else found.second])
    if isinstance(better, list):
        return conversation(_between(decoded(row.get("prompt")), better), {})
    return conversation([*asked_turns(_asking(row)), {"role": "assistant", "content": better}], {})


def _between(asked: Any, better: list[Any]) -> list[Any]:
    """Answers that stand apart from their questions, one behind each; turns as they are."""
    if not isinstance(asked, list) or not all(isinstance(text, str) for text in (*asked, *better)):
        return better
    if len(asked) != len(better):
        raise RowError(tr("no two answers with a verdict"))
    return [
        {"role": role, "content": text}
        for pair in zip(asked, better, strict=True)
        for role, text in zip(("user", "assistant"), pair, strict=True)
    ]


def _asking(row: Row) -> Row:
    """The row with a history that is the text of the question under that name."""
    history = row.get("history")
    return {**row, "prompt": history, "history": None} if isinstance(history, str) and "prompt" not in row else row


def _comparison(row: Row) -> Comparison | None:
    return next((one for one in COMPARISONS if {one.first, one.second, one.verdict} <= row.keys()), None)
