"""Traced runs of a model, as LangSmith exports them: what went in under `inputs`, what came out under `outputs`."""

from __future__ import annotations

from typing import Any

from trainers.examples.conversation import conversation
from trainers.examples.example import Example, RowError, RowExcludedError
from trainers.examples.turns import CUT, decoded
from trainers.language import tr

Row = dict[str, Any]
_EMPTY: tuple[Any, ...] = (None, "", [], {})
_SETTINGS_NAMES = """
messages tools tool_choice parallel_tool_calls functions function_call model model_name temperature top_p top_k n stop
stream stream_options max_tokens max_completion_tokens seed user presence_penalty frequency_penalty response_format
reasoning_effort logprobs top_logprobs extra_headers extra_body timeout metadata
"""
_SETTINGS = frozenset(_SETTINGS_NAMES.split())
"""What a request holds besides its messages, which says nothing of the task."""
_ASKED = ("input", "question", "query", "prompt", "text", "instruction")
_ANSWERED = ("output", "answer", "response", "completion", "text", "result", "content")


def is_traced(row: Row) -> bool:
    """Whether a row holds a question under `inputs` and its answer under `outputs`."""
    return _talk(row) is not None


def read_traced(row: Row) -> Example:
    """The conversation with its answer. Raises RowExcludedError for a run that failed or whose answer was cut."""
    talk = _talk(row)
    if talk is None:
        raise RowError(tr("a run without an answer in outputs"))
    if row.get("error"):
        raise RowExcludedError(tr("a run that failed"))
    asked, answer = talk
    if isinstance(answer, dict) and _ending(row["outputs"]) in CUT:
        raise RowExcludedError(tr("the answer was cut (finish_reason {ending})", ending=_ending(row["outputs"])))
    return conversation([*asked, *(answer if isinstance(answer, list) else [answer])], _declared(row))


def _talk(row: Row) -> tuple[list[Any], Any] | None:
    """(turns that were asked, what answers them: a turn, or a list of them)."""
    given, found = decoded(row.get("inputs")), decoded(row.get("outputs"))
    if not isinstance(given, dict) or not isinstance(found, dict):
        return None
    asked, answer = _asked(given), _answer(found)
    if not asked or answer is None:
        return None
    if isinstance(answer, list) and answer[: len(asked)] == asked:  # agents give the whole talk back
        answer = answer[len(asked) :]
    return (asked, answer) if answer else None


def _asked(given: Row) -> list[Any]:
    messages = _flat(given.get("messages"))
    if messages:
        # Another text beside the messages would be lost: then this is no plain call.
        others = [name for name, value in given.items() if name not in _SETTINGS and value not in _EMPTY]
        return [] if others else messages
    text = _only_text(given, _ASKED)
    return [{"role": "user", "content": text}] if text else []


def _answer(found: Row) -> Any:
    choice = _first(found.get("choices"))
    if isinstance(choice, dict):
        return choice.get("message")
    generation = _first(_flat(found.get("generations")))
    if isinstance(generation, dict):
        text = generation.get("text")
        return generation.get("message") or ({"role": "assistant", "content": text} if text else None)
    if messages := _flat(found.get("messages")):
        return messages
    if isinstance(found.get("message"), dict):
        return found["message"]
    if isinstance(found.get("role"), str) and "content" in found:
        return found
    text = _only_text(found, _ANSWERED)
    return {"role": "assistant", "content": text} if text else None


def _ending(found: Any) -> str:
    choice = _first(found.get("choices")) if isinstance(found, dict) else None
    return str(choice.get("finish_reason")) if isinstance(choice, dict) else ""


def _only_text(held: Row, names: tuple[str, ...]) -> str:
    """The text of an object that holds one thing, under one of these names; "" where it holds more."""
    filled = {name: value for name, value in held.items() if value not in _EMPTY}
    if len(filled) != 1:
        return ""
    ((name, value),) = filled.items()
    return value if name.lower() in names and isinstance(value, str) else ""


def _flat(value: Any) -> list[Any]:
    """A list, or the first of the lists in it: models are asked in batches of one."""
    value = decoded(value)
    if isinstance(value, list) and value and isinstance(value[0], list):
        value = value[0]
    return value if isinstance(value, list) else []


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else None


def _declared(row: Row) -> Row:
    """The tools that the run was given, where the trace holds them."""
    held = decoded(row.get("extra"))
    told = held.get("invocation_params") if isinstance(held, dict) else None
    given = decoded(row.get("inputs"))
    tools = (given.get("tools") if isinstance(given, dict) else None) or (
        told.get("tools") if isinstance(told, dict) else None
    )
    return {"tools": tools} if tools else {}
