"""Rows as tools of annotation write them out (Label Studio, Prodigy, Argilla): what people said of a text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trainers.examples.conversation import conversation
from trainers.examples.example import Example, RowError, RowExcludedError
from trainers.language import tr

Row = dict[str, Any]

PRODIGY_ANSWERS = ("accept", "reject", "ignore")
_OF_PRODIGY = ("_task_hash", "_input_hash", "_view_id")
_GIVEN = ("submitted", "completed", None)
"""States of an annotation in Argilla that is done; drafts and discarded ones are none."""


def is_annotated(row: Row) -> bool:
    """Whether a row is a task of Label Studio with its annotations."""
    return isinstance(row.get("data"), dict) and isinstance(row.get("annotations"), list)


def read_annotated(row: Row) -> Example:
    """The one text of the task, and what the first annotation says of it: its choices, or what was written."""
    if not is_annotated(row):
        raise RowError(tr("a task without data or annotations"))
    texts = [value for value in row["data"].values() if isinstance(value, str) and value.strip()]
    if len(texts) != 1:
        raise RowError(tr("a task with {num_texts} texts; one is needed for the question", num_texts=len(texts)))
    done = [one for one in row["annotations"] if isinstance(one, dict) and not one.get("was_cancelled")]
    results = done[0].get("result") if done else None
    said = [*_labels(results)] if isinstance(results, list) else []
    if not said:
        raise RowExcludedError(tr("a task that nobody has annotated"))
    asked = {"role": "user", "content": texts[0]}
    return conversation([asked, {"role": "assistant", "content": ", ".join(said)}], {})


def _labels(results: list[Any]) -> Iterator[str]:
    for result in results:
        value = result.get("value") if isinstance(result, dict) else None
        if not isinstance(value, dict):
            continue
        if "start" in value or "x" in value:
            raise RowError(tr("an annotation of a place in the text or picture; write the answer that is meant"))
        for key in ("choices", "text"):
            held = value.get(key)
            yield from ([held] if isinstance(held, str) else [str(one) for one in held or ()])


def is_prodigy(row: Row) -> bool:
    """Whether a row is a task of Prodigy with what the annotator decided."""
    return row.get("answer") in PRODIGY_ANSWERS and any(name in row for name in _OF_PRODIGY)


def read_prodigy(row: Row) -> Example:
    """The text, and the accepted label or options as its answer. Raises RowExcludedError where none was accepted."""
    if not is_prodigy(row):
        raise RowError(tr("a task without the annotator's decision"))
    if row["answer"] != "accept":
        raise RowExcludedError(tr("the annotator did not accept it (answer {answer})", answer=row["answer"]))
    text = row.get("text")
    if not isinstance(text, str) or not text.strip():
        raise RowError(tr("column '{column}' is missing, not text", column="text"))
    if isinstance(row.get("options"), list):
        named = {
            str(one.get("id")): str(one.get("text") or one.get("id"))
            for one in row["options"]
            if isinstance(one, dict)
        }
        chosen = row["accept"] if isinstance(row.get("accept"), list) else []
        answer = ", ".join(named.get(str(one), str(one)) for one in chosen)
        if not answer:
            raise RowExcludedError(tr("a task that nobody has annotated"))
    elif row.get("spans") or not isinstance(row.get("label"), str):
        raise RowError(tr("an annotation of a place in the text or picture; write the answer that is meant"))
    else:
        answer = row["label"]
    return conversation([{"role": "user", "content": text}, {"role": "assistant", "content": answer}], {})


def are_annotators(value: Any) -> bool:
    """Whether a value is what annotators answered to one field, as Argilla writes it: `[{"user_id", "value"}]`."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, dict) and "value" in one and ("user_id" in one or "status" in one) for one in value)
    )


def first_given(value: list[Row]) -> Any:
    """What the first annotator submitted. Raises RowExcludedError where nobody did."""
    for one in value:
        if one.get("status") in _GIVEN and one["value"] not in (None, ""):
            return one["value"]
    raise RowExcludedError(tr("a task that nobody has annotated"))
