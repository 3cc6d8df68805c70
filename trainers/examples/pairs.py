"""A question and its answer in columns of their own, with what may stand beside them, as a conversation."""

from __future__ import annotations

import json
from typing import Any

from trainers.examples.annotated import are_annotators, first_given
from trainers.examples.conversation import conversation
from trainers.examples.example import Example, RowError, RowExcludedError
from trainers.examples.items import turns_of_items
from trainers.examples.mapping import as_flag
from trainers.examples.turns import decoded, not_too_deep
from trainers.language import tr

CONTEXT_COLUMNS = ("input", "context", "passage", "background", "knowledge", "evidence", "reference_contexts")
"""What a question is about; it joins the question, in this order."""
HISTORY_COLUMNS = ("history", "chat_history")
REASONING_COLUMNS = ("reasoning_content", "thinking", "reasoning", "complex_cot", "thought", "chain_of_thought")
ASKING_COLUMNS = ("prompt", "instruction", "question", "query", "input", "context", "history")
"""Columns that may ask the question of a chosen answer, best first."""

_EXPECTED = ("expected_output", "expectedoutput", "ideal", "reference_answer")
"""What sets for evaluation call the answer (Langfuse, OpenAI's evals, LlamaIndex)."""
ANSWERS = ("output", "response", "completion", "answer", "target")
PAIRS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "prompt_completion": (("prompt",), ("completion",)),
    "alpaca": (("instruction",), ANSWERS),
    "question_answer": (
        ("question",),
        ("answer", "answers", "response", "output", "completion", "solution", "query", "sql", *_EXPECTED),
    ),
    "query_response": (("query",), ("response", "answer", "output", "completion", "reply", "answers", *_EXPECTED)),
    "prompt_response": (("prompt",), ("response", "answer", "output", "reply", "target")),
    "input_output": (
        ("input", "inputs", "input_text"),
        ("output", "outputs", "target", "targets", "response", "answer", "output_text", *_EXPECTED, "content"),
    ),
    "source_target": (("source", "src"), ("target", "tgt")),
    "problem_solution": (("problem",), ("solution", "generated_solution", "answer")),
    "user_assistant": (("user", "human"), ("assistant", "gpt", "bot", "ai")),
    "request_reply": (("request", "message"), ("reply", "response")),
    "task_code": (("text", "description"), ("code",)),
    "article_summary": (("article", "document", "dialogue"), ("summary", "highlights")),
}
"""Layouts of one question and one answer: columns of the question, and of the answer, best first."""

_SWITCH_NAMES = "on off enabled disabled true false yes no auto none low medium high default"
_SWITCHES = frozenset(_SWITCH_NAMES.split())

Row = dict[str, Any]


def read(row: Row, questions: tuple[str, ...], answers: tuple[str, ...]) -> Example:
    """The pair as an Example. Raises RowError saying what is wrong with it."""
    question = next((name for name in questions if _holds(row.get(name))), questions[0])
    answer = next((name for name in answers if _holds(row.get(name))), answers[0])
    answer = answer if answer in row else next((name for name in answers if name in row), answer)
    asked = _turns(row.get(question), "user")
    answered = _turns(row.get(answer), "assistant")
    if asked is None:
        asked = [{"role": "user", "content": _asked_text(row, question, questions, answer)}]
    if answered is None:
        answered = [{"role": "assistant", "content": _answer_text(row, question, answer), **_reasoning(row)}]
    return conversation([*_history(row), *asked, *answered], row)


def asked_turns(row: Row) -> list[Row]:
    """The turns before an answer that stands alone. Raises RowError when there is no question."""
    question = next((name for name in ASKING_COLUMNS if _holds(row.get(name))), "prompt")
    asked = _turns(row.get(question), "user")
    return [*_history(row), *(asked or [{"role": "user", "content": _asked_text(row, question, (question,), "")}])]


class _ManyTextsError(RowError):
    """A column that holds several texts; `first` is the place of the first in it."""

    def __init__(self, what: str, first: str = "0") -> None:
        super().__init__(what)
        self.first = first


def _answer_text(row: Row, question: str, answer: str) -> str:
    try:
        return text_of(row, answer)
    except _ManyTextsError as error:
        way = as_flag({"prompt": question, "completion": f"{answer}.{error.first}"})
        raise RowError(tr("{error}; {way} takes the first", error=error, way=way)) from error


def text_of(row: Row, column: str) -> str:
    """The text of a column: numbers as digits, nested values as JSON. Raises RowError when there is none."""
    value = row.get(column)
    if value is None or value in ([], {}):
        raise RowError(
            tr("column '{column}' is missing, not text", column=column)
            if value is None
            else tr("column '{column}' is empty, not text", column=column)
        )
    text = _written(value)
    if not text.strip():
        raise RowError(tr("column '{column}' is empty", column=column))
    return text


def _asked_text(row: Row, question: str, questions: tuple[str, ...], answer: str) -> str:
    pieces = [text_of(row, question)]
    for name in CONTEXT_COLUMNS:
        if name not in questions and name not in (question, answer) and _holds(row.get(name)):
            pieces.append(_listed(row[name]))
    return "\n\n".join(pieces)


def _listed(value: Any) -> str:
    """What stands beside a question; several texts of it, such as passages or choices, one a line."""
    is_many = isinstance(value, list) and all(isinstance(text, str) for text in value)
    return "\n".join(value) if is_many else _written(value)


def _written(value: Any) -> str:
    value = _meant(value)
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(text, str) for text in value):
        raise _ManyTextsError(tr("{num_value} texts where one was expected", num_value=len(value)))
    if _are_ranked(value):
        raise _ManyTextsError(
            tr("{num_value} texts where one was expected", num_value=len(value)), f"0.{_text_key(value[0])}"
        )
    if isinstance(value, bool | int | float):
        return str(value)
    try:
        return json.dumps(not_too_deep(value), ensure_ascii=False, default=str)
    except (TypeError, ValueError) as error:
        raise RowError(tr("a {kind} that cannot be written as text", kind=type(value).__name__)) from error


def _meant(value: Any) -> Any:
    """The one text that a value holds beside where it stands, who wrote it, or how else it may be spelt."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        return value[0]
    if are_annotators(value):
        return first_given(value)
    if not isinstance(value, dict):
        return value
    if "aliases" in value and isinstance(value.get("value"), str):
        return value["value"]  # TriviaQA
    if "answer_start" in value and isinstance(value.get("text"), list):
        if not value["text"]:
            raise RowExcludedError(tr("a question without an answer: it is marked as one that cannot be answered"))
        return str(value["text"][0])
    return value


def is_extracted(value: Any) -> bool:
    """Whether an object holds one text that is meant, beside where it stands or how else it may be spelt."""
    return are_annotators(value) or (isinstance(value, dict) and ("answer_start" in value or "aliases" in value))


def _are_ranked(value: Any) -> bool:
    """Whether a list holds several answers, of which something beside them says how good each is."""
    return (
        isinstance(value, list)
        and len(value) > 1
        and all(isinstance(one, dict) and _text_key(one) and not _RANKS.isdisjoint(one) for one in value)
    )


def _text_key(answer: Row) -> str:
    return next((key for key in _SAID if isinstance(answer.get(key), str)), "")


_SAID = ("text", "answer", "response", "content", "completion", "body")
_RANKS = frozenset({"score", "pm_score", "rank", "votes", "upvotes", "selected", "is_accepted", "overall_score"})


def _holds(value: Any) -> bool:
    return value not in (None, "", [], {}) and not (isinstance(value, str) and not value.strip())


def _turns(value: Any, role: str) -> list[Row] | None:
    """A column that holds turns itself (prompt and completion as lists of messages); None when it is text."""
    value = decoded(value) if isinstance(value, str) and value.lstrip()[:2] in ("[{", "{'") else value
    if isinstance(value, dict) and isinstance(value.get("messages"), list):
        value = value["messages"]
    if isinstance(value, list) and value and all(isinstance(turn, dict) for turn in value):
        if all("role" in turn or "from" in turn for turn in value):
            return value
        return turns_of_items(value)
    if isinstance(value, dict) and ("role" in value or "from" in value) and ("content" in value or "value" in value):
        return [value]
    return None


def _reasoning(row: Row) -> Row:
    for name in REASONING_COLUMNS:
        if isinstance(row.get(name), str) and row[name].strip():
            return {} if is_switch(row[name]) else {"reasoning_content": row[name]}
    return {}


def is_switch(value: Any) -> bool:
    """Whether a column of reasoning says only whether or how much there is of it."""
    return value in (True, False) or str(value).strip().lower() in _SWITCHES


def _history(row: Row) -> list[Any]:
    """Earlier turns: pairs of question and answer, or turns with a speaker. Raises RowError for what is neither."""
    turns: list[Any] = []
    for name in HISTORY_COLUMNS:
        earlier = decoded(row.get(name))
        if earlier in (None, "", [], {}):
            continue
        if not isinstance(earlier, list):
            raise RowError(
                tr(
                    "column '{name}' is a {kind}, not a list of earlier turns",
                    name=name,
                    kind=type(earlier).__name__,
                )
            )
        for turn in earlier:
            if isinstance(turn, list | tuple) and len(turn) == 2:
                turns += [{"role": "user", "content": turn[0]}, {"role": "assistant", "content": turn[1]}]
            elif isinstance(turn, dict):
                turns.append(turn)
            else:
                raise RowError(
                    tr(
                        "column '{name}' holds a {kind}, not pairs of question and answer",
                        name=name,
                        kind=type(turn).__name__,
                    )
                )
    return turns
