"""The rows inside one JSON document: a list, splits, columns, rows by their id, or one conversation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from trainers.examples.conversation import SYSTEM_COLUMNS, is_conversation
from trainers.examples.declared import TOOL_COLUMNS
from trainers.examples.layouts import layout_of
from trainers.examples.mapping import folded
from trainers.examples.people import NOTE, rows_of_export
from trainers.examples.rows import Note
from trainers.examples.splits import NAMES, TRAIN, same_split
from trainers.examples.telemetry import spans_of
from trainers.examples.turn_columns import TURN_COLUMNS
from trainers.language import tr

CUT_CELLS = "truncated_cells"
"""Where the hub's viewer names the cells of a row that it has cut."""
_FOR_ALL = frozenset({*SYSTEM_COLUMNS, *TOOL_COLUMNS, "definition"})
"""What a document says once, beside its rows, and means for each of them."""
_WORDS = 4
"""From so many on a text beside the rows is more than a name or a date."""
_DEEPEST = 4


def splits_of(whole: Any) -> dict[str, Any]:
    """The splits that a document holds, the training one first; {"": itself} for a document of one."""
    is_split = isinstance(whole, dict) and whole and {str(name).lower() for name in whole} <= NAMES
    if not is_split or not all(isinstance(rows, list | dict) for rows in whole.values()):
        return {"": whole}
    return dict(sorted(whole.items(), key=lambda item: not same_split(item[0], TRAIN[0])))


def are_wrapped(rows: list[Any]) -> bool:
    """Whether rows lie inside objects, the form in which the hub's viewer hands them out."""
    return bool(rows) and all(isinstance(row, dict) and isinstance(row.get("row"), dict) for row in rows[:4])


def rows_of_document(whole: Any) -> tuple[list[Any], Note | None]:
    """(rows, what should be said about how they were found); ([], None) when the document holds no rows."""
    if isinstance(whole, list):
        return _rows_of_list(whole)
    if not isinstance(whole, dict):
        return [], None
    if talks := rows_of_export(whole):
        return talks, Note(tr(NOTE))
    if spans := spans_of(whole):
        return spans, Note(tr("each span of the traces is a row"))
    columns = _by_columns(whole)
    if columns:
        return columns, Note(tr("the document holds columns; they are read as rows"))
    return _rows_of_object(whole) if layout_of(whole) is None or _holds_conversations(whole) else ([whole], None)


def _holds_conversations(whole: dict[str, Any]) -> bool:
    """Whether what looks like the turns of one conversation is a list of conversations."""
    talks = next((whole[name] for name in TURN_COLUMNS if isinstance(whole.get(name), list) and whole[name]), ())
    return bool(talks) and all(isinstance(talk, dict) and is_conversation(talk.get("messages")) for talk in talks)


def _rows_of_object(whole: dict[str, Any]) -> tuple[list[Any], Note | None]:
    """Rows inside an object that is no row itself: its longest list of them, or its values."""
    if whole:
        lists = {name: rows for name, rows in whole.items() if isinstance(rows, list) and rows and _is_row(rows[0])}
        if lists:
            name = max(lists, key=lambda one: len(lists[one]))
            rows, _ = _rows_of_list(lists[name])
            given = {one: held for one, held in whole.items() if held and one != name and folded(one) in _FOR_ALL}
            return [_given(row, given) for row in rows], _note(whole, name, lists, given)
        values = list(whole.values())
        if len(values) > 1 and all(isinstance(value, dict) and layout_of(value) for value in values):
            return values, Note(tr("the document holds rows by their id"))
    return [whole], None


def _note(whole: dict[str, Any], read: str, lists: Iterable[str], given: Iterable[str]) -> Note | None:
    """What is to be said of a document of which the rows under `read` are read, and what is `given` to each."""
    others = sorted(set(lists) - {read, *given})
    words = [name for name, held in whole.items() if name not in (read, *others, *given) and _says_much(held)]
    said = [tr("{names} beside the rows is taken for each of them", names=", ".join(given))] if given else []
    if others:
        said += [tr("the rows under {name!r} are read; others lie under {lists}", name=read, lists=", ".join(others))]
    if words:
        said += [tr("the words under {names} beside the rows are read nowhere", names=", ".join(words))]
    return Note("; ".join(said), is_doubtful=bool(others or words)) if said else None


def _says_much(value: Any, depth: int = 0) -> bool:
    """Whether a value is a text of several words, or holds one not too deep in it."""
    if isinstance(value, str):
        # Chinese and Japanese write no blanks, and each of their characters is three bytes.
        return len(value.split()) >= _WORDS or len(value.encode("utf-8", "replace")) > len(value) + 2 * _WORDS
    held = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return depth < _DEEPEST and any(_says_much(one, depth + 1) for one in held)


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


def _rows_of_list(rows: list[Any]) -> tuple[list[Any], Note | None]:
    if is_conversation(rows):
        return [{"messages": rows}], Note(tr("the document is one conversation"))
    if rows and all(map(_is_article, rows)):
        return [*_questions(rows)], Note(tr("each question about a paragraph is a row (SQuAD)"))
    if are_wrapped(rows):
        return [unwrapped(row) for row in rows], None
    return rows, None


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
