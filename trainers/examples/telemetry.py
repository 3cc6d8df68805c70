"""Spans of traces as OpenTelemetry writes them: the call of a model under `attributes`, by dotted names.

Three conventions name them: OpenTelemetry's own (`gen_ai.input.messages`), Traceloop's (`gen_ai.prompt.0.content`)
and OpenInference's (`llm.input_messages.0.message.content`). Attributes are an object, or OTLP's list of keys and
values; tables have a column for each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trainers.examples.conversation import conversation
from trainers.examples.example import Example, RowError, RowExcludedError
from trainers.examples.turns import CUT, decoded
from trainers.foreign.text import whole_number
from trainers.language import tr

Row = dict[str, Any]
ASKED = ("gen_ai.input.messages", "gen_ai.prompt", "llm.input_messages")
ANSWERED = ("gen_ai.output.messages", "gen_ai.completion", "llm.output_messages")
_SYSTEMS = ("gen_ai.system_instructions",)
_TOOLS = ("gen_ai.tool.definitions", "llm.request.functions", "llm.tools")
ANSWER_COLUMNS = ("attributes", *(f"attributes.{name}" for name in ANSWERED))
ASKING_COLUMNS = tuple(f"attributes.{name}" for name in (*ASKED, *_SYSTEMS, *_TOOLS))
_WRAPPERS = frozenset({"message", "message_content", "tool_call", "tool"})
"""Keys of OpenInference around each thing of a list."""
_TYPED_VALUES = ("stringValue", "intValue", "doubleValue", "boolValue")
_DEEPEST = 12


def is_span(row: Row) -> bool:
    """Whether a row is a span of a call of a chat model."""
    told = _attributes(row)
    return any(_found(told, ASKED)) and any(_found(told, ANSWERED))


def read_span(row: Row) -> Example:
    """The messages of the call and its first answer. Raises RowExcludedError for other spans and cut answers."""
    told = _attributes(row)
    asked, answered = _list(told, ASKED), _list(told, ANSWERED)
    if not told:
        raise RowError(tr("a span without attributes"))
    if not asked or not answered:
        raise RowExcludedError(tr("a span that is no call of a chat model"))
    answer = answered[0]
    ending = str(answer.pop("finish_reason", "")) if isinstance(answer, dict) else ""
    if ending in CUT:
        raise RowExcludedError(tr("the answer was cut (finish_reason {ending})", ending=ending))
    answer = {"role": "assistant", **answer} if isinstance(answer, dict) else answer
    system = _list(told, _SYSTEMS)
    return conversation([*asked, answer], {"system": system or None, "tools": _declared(told) or None})


def spans_of(whole: Row) -> list[Any]:
    """The spans of a document of OTLP, in order; [] for any other document."""
    inside = [whole]
    for names in (("resourceSpans", "resource_spans"), ("scopeSpans", "scope_spans"), ("spans",)):
        inside = [one for held in inside for name in names for one in _objects(held.get(name))]
    return inside


def _objects(value: Any) -> list[Row]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _attributes(row: Row) -> Row:
    """Attributes by their dotted names, each place of a list a number."""
    held = decoded(row.get("attributes"))
    if isinstance(held, list):
        held = {str(one.get("key")): _value(one.get("value")) for one in _objects(held)}
    if not isinstance(held, dict):
        held = {name.removeprefix("attributes."): value for name, value in row.items() if "attributes." in name}
    return dict(_flat(held, "", 0))


def _value(held: Any) -> Any:
    """A value of OTLP without the word for its type."""
    if not isinstance(held, dict):
        return held
    values = held.get("arrayValue")
    if isinstance(values, dict):
        return [_value(one) for one in _objects(values.get("values"))]
    return next((held[name] for name in _TYPED_VALUES if name in held), None)


def _flat(value: Any, place: str, depth: int) -> Iterator[tuple[str, Any]]:
    opened = decoded(value) if place.endswith(("messages", "instructions", "definitions")) else value
    pairs = opened.items() if isinstance(opened, dict) else enumerate(opened) if isinstance(opened, list) else None
    if pairs is None or depth > _DEEPEST:
        if opened is not None:
            yield place, opened
        return
    for name, held in pairs:
        if name in _WRAPPERS and isinstance(held, dict | list) and place[-1:].isdigit():
            yield from _flat(held, place, depth + 1)
        else:
            yield from _flat(held, f"{place}.{name}" if place else str(name), depth + 1)


def _found(told: Row, names: tuple[str, ...]) -> Iterator[str]:
    return (name for name in names if any(place.startswith(f"{name}.") for place in told))


def _list(told: Row, names: tuple[str, ...]) -> list[Any]:
    """What stands under the first of these names, as the list of objects that was taken apart."""
    name = next(_found(told, names), "")
    made: Row = {}
    for place, value in told.items():
        if name and place.startswith(f"{name}."):
            _put(made, [part for part in place.removeprefix(f"{name}.").split(".") if part not in _WRAPPERS], value)
    whole = _listed(made)
    return whole if isinstance(whole, list) else []


def _put(made: Row, path: list[str], value: Any) -> None:
    for part in path[:-1]:
        inner = made.setdefault(part, {})
        if not isinstance(inner, dict):
            return
        made = inner
    if path:
        made[path[-1]] = value


def _listed(value: Any) -> Any:
    """Objects whose keys are numbers as lists."""
    if not isinstance(value, dict):
        return value
    held = {key: _listed(inner) for key, inner in value.items()}
    numbered = {place: inner for key, inner in held.items() if (place := whole_number(key)) is not None}
    if held and len(numbered) == len(held):
        return [numbered[place] for place in sorted(numbered)]
    if isinstance(held.get("contents"), list) and "content" not in held:
        held["content"] = held.pop("contents")
    return held


def _declared(told: Row) -> list[Any]:
    tools = []
    for tool in _list(told, _TOOLS):
        schema = decoded(tool.get("json_schema")) if isinstance(tool, dict) else None
        tools.append(schema if isinstance(schema, dict) else tool)
    return [
        {**one, "parameters": decoded(one["parameters"])} if "parameters" in one else one for one in _objects(tools)
    ]
