"""The layouts of rows that are known: how each is recognised by its columns, and what becomes of each column.

A layout is one small function and one entry of LAYOUTS; the first that fits reads the row. Layouts that differ
only in the names of question and answer are one line of PAIRS.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from trainers.examples import (
    annotated,
    asked_about,
    choices,
    compared,
    exports,
    judged_steps,
    logged,
    pairs,
    preferences,
    tasks,
    telemetry,
    traces,
)
from trainers.examples.conversation import SYSTEM_COLUMNS, conversation, listed
from trainers.examples.declared import TOOL_COLUMNS
from trainers.examples.example import Example
from trainers.examples.pairs import PAIRS
from trainers.examples.pictures import IMAGE_COLUMNS
from trainers.examples.turn_columns import TURN_COLUMNS, are_pairs, read_turns, speaks_from, turns_column
from trainers.examples.turns import decoded
from trainers.language import later

Row = dict[str, Any]
Names = tuple[str, ...]

TEXT_COLUMNS = ("text", "content", "document")
_BESIDE_TURNS = (SYSTEM_COLUMNS, TOOL_COLUMNS, IMAGE_COLUMNS)
_CONTEXT = tuple((name,) for name in (*pairs.CONTEXT_COLUMNS, *pairs.HISTORY_COLUMNS))
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


def _is_called(row: Row) -> bool:
    answers = decoded(row.get("answers"))
    return "query" in row and "tools" in row and isinstance(answers, list)


def _read_called(row: Row) -> Example:
    """A query whose answers are the calls of tools (xLAM)."""
    asked = {"role": "user", "content": pairs.text_of(row, "query")}
    return conversation([asked, {"role": "assistant", "content": "", "tool_calls": row.get("answers")}], row)


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
        fits=preferences.is_preferred,
        read=preferences.read_preferred,
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
        fits=logged.is_logged,
        read=logged.read_logged,
        learnt=((*logged.RESPONSE_COLUMNS, "choices", "data"),),
        shown=((*logged.REQUEST_COLUMNS, "messages"), *_BESIDE_TURNS),
        chosen_from=tuple(f"{name}choices" for name in ("", "response.", "response.body.", "output.")),
        note=later("logged requests to a chat model with the first answer that each got"),
    ),
    Layout(
        name="traced_span",
        fits=telemetry.is_span,
        read=telemetry.read_span,
        learnt=(telemetry.ANSWER_COLUMNS,),
        shown=tuple((name,) for name in telemetry.ASKING_COLUMNS),
        excluded=("context", "events", "links", "resource"),
        chosen_from=("attributes[].key",),
        note=later("spans of traces (OpenTelemetry): calls of a model with their answer; other spans are left out"),
    ),
    Layout(
        name="cohere",
        fits=exports.is_cohere,
        read=exports.read_cohere,
        learnt=(("text",),),
        shown=(("preamble",), ("chat_history",), ("message",), ("tools",)),
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
        fits=preferences.is_judged,
        read=preferences.read_judged,
        learnt=((*TURN_COLUMNS, "completion"),),
        shown=(("prompt",), *_BESIDE_TURNS),
        excluded=preferences.VERDICT_COLUMNS,
        note=later("a set of answers judged good or bad (KTO): the good ones are learnt, the bad ones never"),
    ),
    Layout(
        name="turn_pairs",
        fits=are_pairs,
        read=read_turns,
        learnt=(TURN_COLUMNS,),
        shown=_BESIDE_TURNS,
        note=later("each entry holds a question and its answer; they are read as two turns"),
    ),
    Layout(name="sharegpt", fits=speaks_from, read=read_turns, learnt=(TURN_COLUMNS,), shown=_BESIDE_TURNS),
    Layout(
        name="messages",
        fits=lambda row: turns_column(row) is not None,
        read=read_turns,
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


def turns_of(row: Row) -> list[Any]:
    """The turns of a row as they stand there, [] when it holds none."""
    column = "chosen" if preferences.is_preferred(row) else turns_column(row)
    return listed(row.get(column)) if column else []
