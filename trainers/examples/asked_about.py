"""Questions and answers about one story, as lists side by side in one row (CoQA, QuAC): a conversation about it.

{"story": "...", "questions": ["Who?", "Why?"], "answers": {"input_text": ["Ann", "She left."]}}
"""

from __future__ import annotations

from typing import Any

from trainers.examples.conversation import conversation
from trainers.examples.example import Example, RowError
from trainers.examples.turns import decoded
from trainers.language import tr

Row = dict[str, Any]

STORY_COLUMNS = ("story", "context", "passage", "document", "article", "background")
_ANSWER_KEYS = ("input_text", "texts", "text")
"""Where an object of answers keeps their texts."""


def is_asked_about(row: Row) -> bool:
    """Whether a row holds a list of questions and as many answers."""
    return bool(_pairs(row))


def read_asked_about(row: Row) -> Example:
    """The turns, the story before the first question. Raises RowError where an answer is missing."""
    pairs = _pairs(row)
    if not pairs:
        raise RowError(tr("columns 'questions' and 'answers' are not lists of as many texts"))
    story = next((row[name] for name in STORY_COLUMNS if isinstance(row.get(name), str) and row[name].strip()), "")
    turns: list[Row] = []
    for question, answer in pairs:
        turns += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    turns[0] = {"role": "user", "content": "\n\n".join(filter(None, (story, pairs[0][0])))}
    return conversation(turns, {})


def _pairs(row: Row) -> list[tuple[str, str]]:
    questions, answers = decoded(row.get("questions")), decoded(row.get("answers"))
    if isinstance(answers, dict):
        answers = next((answers[key] for key in _ANSWER_KEYS if isinstance(answers.get(key), list)), None)
    if not isinstance(questions, list) or not isinstance(answers, list) or len(questions) != len(answers):
        return []
    # QuAC lists every annotator's answer to a question; each of them is an answer, one is learnt
    first = [one[0] if isinstance(one, list) and one else one for one in answers]
    is_text = all(isinstance(text, str) for text in (*questions, *first))
    return list(zip(questions, first, strict=True)) if is_text else []
