"""The rows inside one JSON document: a list, splits, columns, rows by their id, or one conversation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trainers.examples.conversation import SYSTEM_COLUMNS, is_conversation
from trainers.examples.declared import TOOL_COLUMNS
from trainers.examples.layouts import layout_of
from trainers.examples.mapping import folded
from trainers.examples.people import NOTE, rows_of_export
from trainers.examples.splits import NAMES, TRAIN, same_split
from trainers.language import tr

CUT_CELLS = "truncated_cells"
"""Where the hub's viewer names the cells of a row that it has cut."""
_FOR_ALL = frozenset({*SYSTEM_COLUMNS, *TOOL_COLUMNS, "definition"})
"""What a document says once, beside its rows, and means for each of them."""


def splits_of(whole: Any) -> dict[str, Any]:
    """The splits that a document holds, the training one first; {"": itself} for a document of one."""
    is_split = isinstance(whole, dict) and whole and {str(name).lower() for name in whole} <= NAMES
    if not is_split or not all(isinstance(rows, list | dict) for rows in whole.values()):
        return {"": whole}
    return dict(sorted(whole.items(), key=lambda item: not same_split(item[0], TRAIN[0])))


def are_wrapped(rows: list[Any]) -> bool:
    """Whether rows lie inside objects, the form in which the hub's viewer hands them out."""
    return bool(rows) and all(isinstance(row, dict) and isinstance(row.get("row"), dict) for row in rows[:4])


def rows_of_document(whole: Any) -> tuple[list[Any], str]:
    """(rows, what should be said about how they were found); ([], "") when the document holds no rows."""
    if isinstance(whole, list):
        return _rows_of_list(whole)
    if not isinstance(whole, dict):
        return [], ""
    if talks := rows_of_export(whole):
        return talks, tr(NOTE)
    columns = _by_columns(whole)
    if columns:
        return columns, tr("the document holds columns; they are read as rows")
    return _rows_of_object(whole) if layout_of(whole) is None else ([whole], "")


def _rows_of_object(whole: dict[str, Any]) -> tuple[list[Any], str]:
    """Rows inside an object that is no row itself: its longest list of them, or its values."""
    if whole:
        lists = {name: rows for name, rows in whole.items() if isinstance(rows, list) and rows and _is_row(rows[0])}
        if lists:
            name = max(lists, key=lambda one: len(lists[one]))
            note = tr(
                "the rows under {name!r} are read; others lie under {lists}",
                name=name,
                lists=", ".join(sorted(set(lists) - {name})),
            )
            rows, _ = _rows_of_list(lists[name])
            given = {one: held for one, held in whole.items() if held and one != name and folded(one) in _FOR_ALL}
            said = [tr("{names} beside the rows is taken for each of them", names=", ".join(given))] if given else []
            return [_given(row, given) for row in rows], "; ".join([*said, *([note] if len(lists) > 1 else [])])
        values = list(whole.values())
        if len(values) > 1 and all(isinstance(value, dict) and layout_of(value) for value in values):
            return values, tr("the document holds rows by their id")
    return [whole], ""


def _given(row: Any, given: dict[str, Any]) -> Any:
    """A row with what is said once for all rows, where it says nothing of its own."""
    held = {"messages": row} if is_conversation(row) else row
    return {**given, **held} if given and isinstance(held, dict) else row


def unwrapped(row: Any) -> Any:
    """What lies inside a row of the hub's viewer, with the names of the cells that the viewer has cut."""
    if not isinstance(row, dict) or not isinstance(row.get("row"), dict):
        return row.get("row") if isinstance(row, dict) else row
    return {**row["row"], **({CUT_CELLS: row[CUT_CELLS]} if row.get(CUT_CELLS) else {})}


def _is_row(value: Any) -> bool:
    return isinstance(value, dict) or is_conversation(value)


def _rows_of_list(rows: list[Any]) -> tuple[list[Any], str]:
    if is_conversation(rows):
        return [{"messages": rows}], tr("the document is one conversation")
    if rows and all(map(_is_article, rows)):
        return [*_questions(rows)], tr("each question about a paragraph is a row (SQuAD)")
    if are_wrapped(rows):
        return [unwrapped(row) for row in rows], ""
    return rows, ""


def _is_article(row: Any) -> bool:
    paragraphs = row.get("paragraphs") if isinstance(row, dict) else None
    return isinstance(paragraphs, list) and all(isinstance(one, dict) and "qas" in one for one in paragraphs)


def _questions(articles: list[Any]) -> Iterator[dict[str, Any]]:
    for article in articles:
        for paragraph in article["paragraphs"]:
            for asked in paragraph["qas"] if isinstance(paragraph["qas"], list) else ():
                if isinstance(asked, dict):
                    answers = [one for one in asked.get("answers") or () if isinstance(one, dict)]
                    found = {name: [one.get(name) for one in answers] for name in ("text", "answer_start")}
                    yield {
                        "id": asked.get("id"),
                        "title": article.get("title"),
                        "context": paragraph.get("context"),
                        "question": asked.get("question"),
                        "answers": found,
                    }


def _by_columns(whole: dict[str, Any]) -> list[Any]:
    """Rows of a data frame that was written by columns, in any of pandas' ways; [] when it is none."""
    names, data = whole.get("columns"), whole.get("data")
    if isinstance(names, list) and isinstance(data, list) and all(isinstance(row, list) for row in data):
        return [dict(zip(map(str, names), row, strict=False)) for row in data]
    values = list(whole.values())
    if len(values) < 2:
        return []
    if all(isinstance(value, list) for value in values):
        sizes = {len(value) for value in values}
        if len(sizes) == 1 and sizes != {0} and not any(isinstance(value[0], dict) for value in values):
            return [dict(zip(whole, row, strict=True)) for row in zip(*values, strict=True)]
    if all(isinstance(value, dict) for value in values) and layout_of(values[0]) is None:
        places = [tuple(value) for value in values]
        if places[0] and len(set(places)) == 1 and all(place.isdecimal() for place in places[0]):
            return [{name: whole[name][place] for name in whole} for place in places[0]]
    return []
