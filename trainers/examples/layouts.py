"""The layouts of rows that are known: how each is recognised by its columns, and what becomes of each column.

A layout is one small function and one entry of LAYOUTS; the first that fits reads the row. Layouts that differ
only in the names of question and answer are one line of PAIRS.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from trainers.examples import annotated, asked_about, choices, compared, exports, judged_steps, pairs, tasks, traces
from trainers.examples.conversation import SYSTEM_COLUMNS, conversation, is_turn, listed
from trainers.examples.conversation import is_turn_pair as is_pair
from trainers.examples.declared import TOOL_COLUMNS
from trainers.examples.example import Example, RowError, RowExcludedError
from trainers.examples.pairs import PAIRS
from trainers.examples.pictures import IMAGE_COLUMNS
from trainers.examples.turns import decoded
from trainers.language import later, tr

Row = dict[str, Any]
Names = tuple[str, ...]

_TURN_NAMES = """
messages conversations conversation dialogue dialogues dialog chat turns contents chat_messages internal
"""
TURN_COLUMNS = tuple(_TURN_NAMES.split())
TEXT_COLUMNS = ("text", "content", "document")
_BESIDE_TURNS = (SYSTEM_COLUMNS, TOOL_COLUMNS, IMAGE_COLUMNS)
_CONTEXT = tuple((name,) for name in (*pairs.CONTEXT_COLUMNS, *pairs.HISTORY_COLUMNS))
_VERDICT_COLUMNS = ("label", "kto_tag")
_VERDICTS: dict[Any, bool] = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}
_OPENING = "\n\nHuman:"
JUDGED = "judged"


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """One way to write an example in a row."""

    name: str
    fits: Callable[[Row], bool]
    read: Callable[[Row], Example]
    """One row as an Example. Raises RowError, or RowExcludedError for what the data itself takes out."""
    learnt: tuple[Names, ...]
    """Columns that hold what is learnt (in conversations also what is shown with it): of each group of names the
    first that is filled is read."""
    shown: tuple[Names, ...] = ()
    excluded: Names = ()
    """Columns that are left out on purpose: rejected answers, and what decides that a row is."""
    chosen_from: Names = ()
    """Places of which one of several is read on purpose, as the note says: other answers, other branches."""
    note: str = ""
    """What a reader of the verdict should know of it."""


def _filled(row: Row, column: str) -> bool:
    return row.get(column) not in (None, "", [], {})


def _turns_column(row: Row) -> str | None:
    for column in TURN_COLUMNS:
        value = row.get(column)
        if isinstance(value, list | dict) and value:
            return column
        if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
            return column
    return next((column for column in TURN_COLUMNS[:2] if column in row), None)


def _speaks_from(row: Row) -> bool:
    column = _turns_column(row)
    turns = decoded(row.get(column)) if column else None
    first = turns[0] if isinstance(turns, list) and turns else None
    return isinstance(first, dict) and "from" in first


def _are_pairs(row: Row) -> bool:
    column = _turns_column(row)
    turns = decoded(row.get(column)) if column else None
    first = turns[0] if isinstance(turns, list) and turns else None
    return (isinstance(first, dict) and not is_turn(first) and is_pair(first)) or isinstance(first, list | str)


def _read_turns(row: Row) -> Example:
    column = _turns_column(row)
    return conversation(row.get(column) if column else None, row)


def _is_preferred(row: Row) -> bool:
    return "chosen" in row and "rejected" in row


def _read_preferred(row: Row) -> Example:
    """The chosen answer behind its prompt; the rejected one is never learnt."""
    chosen = decoded(row.get("chosen"))
    if isinstance(chosen, str) and chosen.startswith(_OPENING):
        return conversation(_human_and_assistant(chosen), row)
    if isinstance(chosen, dict):
        chosen = [chosen]
    elif isinstance(chosen, str):
        chosen = [{"role": "assistant", "content": chosen}]
    if not isinstance(chosen, list) or not chosen:
        raise RowError(tr("column 'chosen' holds no answer"))
    column = _turns_column(row)
    if _holds_question(chosen):
        return conversation(chosen, row)
    if column:
        asked = decoded(row[column])
        return conversation([*asked, *chosen] if isinstance(asked, list) else chosen, row)
    return conversation([*pairs.asked_turns(row), *chosen], row)


def _holds_question(chosen: Any) -> bool:
    return isinstance(chosen, list) and any(
        isinstance(turn, dict) and turn.get("role", turn.get("from")) in ("user", "human") for turn in chosen
    )


def leaves_question(row: Row) -> bool:
    """Whether the chosen answers of a row bring their question, so that its columns of questions are not read."""
    chosen = decoded(row.get("chosen"))
    is_written_out = isinstance(chosen, str) and chosen.startswith(_OPENING)
    return _is_preferred(row) and (is_written_out or _holds_question(chosen))


def _human_and_assistant(text: str) -> list[Row]:
    turns = []
    for piece in text.split(_OPENING)[1:]:
        question, _, answer = piece.partition("\n\nAssistant:")
        turns += [{"role": "user", "content": question.strip()}, {"role": "assistant", "content": answer.strip()}]
    return turns


def _verdict(row: Row) -> bool | None:
    """Whether the row's answer was judged good; None when nothing says so."""
    for name in _VERDICT_COLUMNS:
        value = row.get(name)
        if isinstance(value, bool):
            return value
        if isinstance(value, str | int | float):
            found = _VERDICTS.get(str(value).strip().lower())
            if found is not None:
                return found
    return None


def _is_called(row: Row) -> bool:
    answers = decoded(row.get("answers"))
    return "query" in row and "tools" in row and isinstance(answers, list)


def _read_called(row: Row) -> Example:
    """A query whose answers are the calls of tools (xLAM)."""
    asked = {"role": "user", "content": pairs.text_of(row, "query")}
    return conversation([asked, {"role": "assistant", "content": "", "tool_calls": row.get("answers")}], row)


def _is_judged(row: Row) -> bool:
    return _verdict(row) is not None and (_turns_column(row) is not None or ("prompt" in row and "completion" in row))


def _read_judged(row: Row) -> Example:
    """A row of a KTO set: one that was judged bad never trains."""
    example = _read_turns(row) if _turns_column(row) else pairs.read(row, ("prompt",), ("completion",))
    if _verdict(row) is False:
        raise RowExcludedError(tr("the answer is marked as a bad one (label false)"))
    return example


def _is_text(row: Row) -> bool:
    texts = [row[column] for column in TEXT_COLUMNS if isinstance(row.get(column), str)]
    return any(text.strip() for text in texts) or (bool(texts) and len(row) == 1)


def _read_text(row: Row) -> Example:
    column = next((name for name in TEXT_COLUMNS if _filled(row, name)), TEXT_COLUMNS[0])
    return Example(text=pairs.text_of(row, column))


def _has(questions: Names, answers: Names, row: Row) -> bool:
    return any(name in row for name in questions) and any(name in row for name in answers)


def _pair(name: str, questions: Names, answers: Names) -> Layout:
    return Layout(
        name=name,
        fits=partial(_has, questions, answers),
        read=partial(pairs.read, questions=questions, answers=answers),
        learnt=(answers, pairs.REASONING_COLUMNS),
        shown=(questions, *(group for group in _CONTEXT if group[0] not in questions), *_BESIDE_TURNS),
    )


LAYOUTS: tuple[Layout, ...] = (
    Layout(
        name="preferred",
        fits=_is_preferred,
        read=_read_preferred,
        learnt=(("chosen",),),
        shown=(*((name,) for name in (*TURN_COLUMNS, *pairs.ASKING_COLUMNS)), *_CONTEXT, *_BESIDE_TURNS),
        excluded=("rejected",),
        note=later("a preference set: the chosen answers are learnt as examples, the rejected ones never"),
    ),
    Layout(
        name="compared",
        fits=compared.is_compared,
        read=compared.read_compared,
        learnt=tuple((name,) for name in compared.ANSWER_COLUMNS),
        shown=(*((name,) for name in pairs.ASKING_COLUMNS), *_BESIDE_TURNS),
        excluded=compared.VERDICT_COLUMNS,
        chosen_from=compared.ANSWER_COLUMNS,
        note=later("two answers side by side: the better one of each row is learnt, the other never"),
    ),
    Layout(
        name="chatgpt_export",
        fits=exports.is_chatgpt,
        read=exports.read_chatgpt,
        learnt=(("mapping",),),
        shown=(("current_node",),),
        chosen_from=("mapping",),
        note=later("ChatGPT's export: of each conversation the path that was read last"),
    ),
    Layout(
        name="message_tree",
        fits=exports.is_tree,
        read=exports.read_tree,
        learnt=(("prompt",),),
        chosen_from=("prompt",),
        note=later("trees of messages: of each the best ranked reply to every message, else the first"),
    ),
    Layout(
        name="logged_call",
        fits=exports.is_logged,
        read=exports.read_logged,
        learnt=(("response", "output"),),
        shown=(("request", "body", "input", "messages"),),
        chosen_from=("response.choices", "response.body.choices", "output.choices"),
        note=later("logged requests to a chat model with the first answer that each got"),
    ),
    Layout(
        name="annotated",
        fits=annotated.is_annotated,
        read=annotated.read_annotated,
        learnt=(("annotations",),),
        shown=(("data",),),
        chosen_from=("annotations",),
        note=later("annotated tasks (Label Studio): the text is the question, the first annotation the answer"),
    ),
    Layout(
        name="prodigy",
        fits=annotated.is_prodigy,
        read=annotated.read_prodigy,
        learnt=(("accept", "label"),),
        shown=(("text",), ("options",)),
        excluded=("answer",),
        note=later("Prodigy: the text is the question, the accepted label or option the answer"),
    ),
    Layout(
        name="moss",
        fits=exports.is_moss,
        read=exports.read_moss,
        learnt=(("chat",),),
        shown=(("meta_instruction",),),
        note=later("MOSS: its turns without the marks around them, the meta instruction as the system's"),
    ),
    Layout(
        name="glaive",
        fits=exports.is_glaive,
        read=exports.read_glaive,
        learnt=(("chat",),),
        shown=(("system",),),
        note=later("Glaive: its turns and calls without the marks around them, its functions as declared tools"),
    ),
    Layout(
        name="baize",
        fits=exports.is_baize,
        read=exports.read_baize,
        learnt=(("input",),),
        note=later("Baize: its turns without the marks around them, what stands before them as the system's"),
    ),
    Layout(
        name="traced_run",
        fits=traces.is_traced,
        read=traces.read_traced,
        learnt=(("outputs",),),
        shown=(("inputs",), ("extra",)),
        excluded=("error",),
        chosen_from=("outputs.choices", "outputs.generations", "extra"),
        note=later(
            "traced runs (LangSmith): inputs are the question, outputs the answer; runs that failed are left out"
        ),
    ),
    Layout(
        name="judged_steps",
        fits=judged_steps.is_judged_steps,
        read=judged_steps.read_judged_steps,
        learnt=(("input", "completions"),),
        shown=(("prompt",),),
        excluded=judged_steps.VERDICT_COLUMNS,
        note=later("solutions judged step by step: those of which every step is right are learnt, the others never"),
    ),
    Layout(
        name=JUDGED,
        fits=_is_judged,
        read=_read_judged,
        learnt=((*TURN_COLUMNS, "completion"),),
        shown=(("prompt",), *_BESIDE_TURNS),
        excluded=_VERDICT_COLUMNS,
        note=later("a set of answers judged good or bad (KTO): the good ones are learnt, the bad ones never"),
    ),
    Layout(
        name="turn_pairs",
        fits=_are_pairs,
        read=_read_turns,
        learnt=(TURN_COLUMNS,),
        shown=_BESIDE_TURNS,
        note=later("each entry holds a question and its answer; they are read as two turns"),
    ),
    Layout(name="sharegpt", fits=_speaks_from, read=_read_turns, learnt=(TURN_COLUMNS,), shown=_BESIDE_TURNS),
    Layout(
        name="messages",
        fits=lambda row: _turns_column(row) is not None,
        read=_read_turns,
        learnt=(TURN_COLUMNS,),
        shown=_BESIDE_TURNS,
        chosen_from=("chat.history",),
    ),
    Layout(
        name="seed_task",
        fits=tasks.is_seed,
        read=tasks.read_seed,
        learnt=(("instances",),),
        shown=(("instruction",),),
        note=later("seed tasks: each instance is one turn under its instruction"),
    ),
    Layout(
        name="query_calls",
        fits=_is_called,
        read=_read_called,
        learnt=(("answers",),),
        shown=(("query",), *_BESIDE_TURNS),
    ),
    Layout(
        name="multiple_choice",
        fits=choices.is_multiple_choice,
        read=choices.read_multiple_choice,
        learnt=(choices.RIGHT_COLUMNS,),
        shown=(
            choices.QUESTION_COLUMNS,
            choices.CHOICE_COLUMNS,
            *((name,) for names in choices.LETTERED for name in names),
            *((name,) for question, names, _, _ in choices.NUMBERED for name in (question, *names)),
            *((name,) for name in (*choices.CONTEXT_COLUMNS, *choices.RIGHT_COLUMNS)),
        ),
        note=later("multiple choice: the choices stand under the question, the right one is learnt with its letter"),
    ),
    Layout(
        name="asked_about",
        fits=asked_about.is_asked_about,
        read=asked_about.read_asked_about,
        learnt=(("answers",),),
        shown=(("questions",), asked_about.STORY_COLUMNS),
        chosen_from=("answers",),
        note=later("questions about one story: they are read as one conversation, the story before the first"),
    ),
    Layout(
        name="defined_task",
        fits=tasks.is_defined,
        read=tasks.read_defined,
        learnt=(tasks.WANTED,),
        shown=(("definition",), tasks.GIVEN),
        note=later("instances of a task: its definition is the instruction"),
    ),
    *(_pair(name, questions, answers) for name, (questions, answers) in PAIRS.items()),
    Layout(name="text", fits=_is_text, read=_read_text, learnt=(TEXT_COLUMNS,)),
)
BY_NAME = {layout.name: layout for layout in LAYOUTS}


def layout_of(row: Row, without: str = "") -> Layout | None:
    """The first layout that a row's columns fit, or None."""
    return next((layout for layout in LAYOUTS if layout.name != without and layout.fits(row)), None)


def tells_classes(row: Row) -> bool:
    """Whether the column of verdicts holds what is none: a class that is to be told."""
    return any(_filled(row, name) for name in _VERDICT_COLUMNS) and _verdict(row) is None


def turns_of(row: Row) -> list[Any]:
    """The turns of a row as they stand there, [] when it holds none."""
    column = "chosen" if _is_preferred(row) else _turns_column(row)
    return listed(row.get(column)) if column else []
