"""Tool calls and tools, from every spelling that data sets have into the one that chat templates read.

    {"type": "function", "id"?, "function": {"name": "get_weather", "arguments": {"city": "Oslo"}}}
    {"type": "function", "function": {"name": "get_weather", "description": "...", "parameters": {JSON Schema}}}

Calls are held against the schema that the row itself declares: what a column store filled with null is taken out
again, and everything else that does not fit is reported.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import msgspec

from trainers.examples.example import Example, RowError
from trainers.examples.proof import Unproven
from trainers.examples.turns import decoded
from trainers.foreign.limits import OutOfTime, bounded_time
from trainers.language import Later, tr

Message = dict[str, Any]

ArgumentsForm = Literal["object", "text"]
ARGUMENT_FORMS: tuple[ArgumentsForm, ...] = ("object", "text")

IdForm = Literal["any", "nine", "named"]
ID_FORMS: tuple[IdForm, ...] = ("any", "nine", "named")
"""Ids of calls as the data has them; of nine letters and digits, which alone Mistral's templates take; or as
`functions.NAME:NUMBER`, out of which Kimi's templates write the name."""

ENCODED_AT_MOST = 3
"""Times that arguments are decoded: some exports encode JSON as JSON text twice."""

SCHEMA_SECONDS = 0.5
"""One call against one schema takes a tenth of a millisecond."""
ENDLESS = Later("the declared schema does not come to an end within {seconds:g} s", {"seconds": SCHEMA_SECONDS})


class CallFault(NamedTuple):
    """One call that does not fit the tools which its row declares."""

    code: str
    what: str


def _read_call(call: Any) -> Message:
    function = decoded(call.get("function", call)) if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"].strip():
        raise RowError(tr("a tool call has no function name"))
    given = next((function[name] for name in ("arguments", "parameters", "args", "input") if name in function), None)
    identity = call.get("id")
    return {
        "type": "function",
        **({"id": identity} if isinstance(identity, str) and identity else {}),
        "function": {"name": function["name"], "arguments": _arguments(given, function["name"])},
    }


def _arguments(value: Any, name: str) -> dict[str, Any]:
    for _ in range(ENCODED_AT_MOST):
        if not isinstance(value, str):
            break
        if not value.strip():
            return {}
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
            what = tr("the arguments of the call of {name} are not valid JSON: {error}", name=name, error=error)
            raise Unproven("arguments", what) from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Unproven(
            "arguments",
            tr(
                "the arguments of the call of {name} are a {kind}, not an object",
                name=name,
                kind=type(value).__name__,
            ),
        )
    return value


def read_tools(value: Any) -> list[Message] | None:
    """The tools that a row declares, each wrapped as a function and with a description, without what is null.

    Raises RowError when one has no name.
    """
    value = decoded(value)
    if not value:
        return None
    listed = value if isinstance(value, list) else [value]
    return [_read_tool(decoded(tool)) for tool in listed]


def _read_tool(tool: Any) -> Message:
    function = decoded(tool.get("function", tool)) if isinstance(tool, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise RowError(tr("a declared tool has no name"))
    schema = next((function[name] for name in ("parameters", "input_schema") if function.get(name)), None)
    cleaned = _without_nulls(decoded(schema)) if schema else {"type": "object", "properties": {}}
    more = {name: value for name, value in function.items() if name not in ("parameters", "input_schema", "type")}
    # Templates of gpt-oss and others read the description without asking whether there is one.
    described = {"name": function["name"], "description": "", **_without_nulls(more), "parameters": cleaned}
    return {"type": "function", "function": described}


def _without_nulls(value: Any) -> Any:
    """A schema without the keys that a column store filled in; `null` has a meaning only as a default or a choice."""
    if isinstance(value, dict):
        return {key: _without_nulls(one) for key, one in value.items() if one is not None or key == "default"}
    if isinstance(value, list):
        return [_without_nulls(one) for one in value]
    return value


def tidied(messages: Sequence[Message], tools: Any) -> list[Message]:
    """Messages whose calls hold their arguments as an object, encoded once, without what a column store filled in.

    A column store gives every row the keys of all rows: `{"city": "Rome"}` comes back as
    `{"city": "Rome", "days": null}`, and a model would learn to say so. What the declared schema forbids is left out.
    Raises RowError for arguments that are no object.
    """
    if not any(message.get("tool_calls") for message in messages):
        return list(messages)
    schemas = _schemas(tools)
    return [
        {**message, "tool_calls": [_tidied_call(call, schemas) for call in message["tool_calls"]]}
        if message.get("tool_calls")
        else message
        for message in messages
    ]


def _tidied_call(call: Message, schemas: dict[str, Any]) -> Message:
    read = _read_call(call)
    function = read["function"]
    arguments = _unfilled(function["arguments"], schemas.get(function["name"]))
    return {**read, "function": {**function, "arguments": arguments}}


def _unfilled(arguments: dict[str, Any], schema: Any) -> dict[str, Any]:
    if not isinstance(schema, dict) or not isinstance(schema.get("properties", {}), dict):
        return arguments
    required = schema.get("required") if isinstance(schema.get("required"), list) else ()
    properties = schema.get("properties", {})
    return {
        name: value
        for name, value in arguments.items()
        if value is not None or name in (required or ()) or _may_be_null(properties.get(name))
    }


def _may_be_null(schema: Any) -> bool:
    """Whether a declared parameter takes null; one that is not declared does not."""
    return isinstance(schema, dict) and _first_error(schema, None) is None


def call_faults(example: Example) -> Iterator[CallFault]:
    """What is wrong with the calls of a row, held against the tools that it declares."""
    try:
        schemas = _schemas(read_tools(example.tools))
    except RowError as error:
        yield CallFault("invalid-call", str(error))
        return
    for message in example.messages:
        for call in message.get("tool_calls", ()):
            yield from _faults(call, schemas)


def _faults(call: Message, schemas: dict[str, Any]) -> Iterator[CallFault]:
    given = call["function"]["arguments"]
    try:
        function = _read_call(call)["function"]
    except RowError as error:
        yield CallFault("invalid-call", str(error))
        return
    name, arguments = function["name"], function["arguments"]
    if isinstance(given, str) and isinstance(decoded(given), str) and given.strip():
        yield CallFault("encoded-call", tr("the arguments of {name} are encoded twice", name=name))
    if schemas and name not in schemas:
        yield CallFault("undeclared-call", tr("calls {name}, which its tools do not declare", name=name))
    if not isinstance(schemas.get(name), dict):
        return
    kept = _unfilled(arguments, schemas[name])
    if filled := sorted(arguments.keys() - kept.keys()):
        yield CallFault(
            "filled-call", tr("{name} gets {filled} = null, which its schema forbids", name=name, filled=filled[0])
        )
    if wrong := _first_error(schemas[name], kept):
        yield CallFault(
            "invalid-call", tr("the arguments of {name} do not fit its schema: {wrong}", name=name, wrong=wrong)
        )


def _schemas(tools: Any) -> dict[str, Any]:
    if not isinstance(tools, list):
        return {}
    functions = [
        tool["function"] for tool in tools if isinstance(tool, dict) and isinstance(tool.get("function"), dict)
    ]
    return {function["name"]: function.get("parameters") for function in functions if "name" in function}


def _first_error(schema: dict[str, Any], value: Any) -> str | None:
    """What of a value does not fit a schema of the data, which may be anything, also none, or one without end."""
    key = ""
    try:
        key = json.dumps(schema, sort_keys=True)
        if key in _ENDLESS:
            return str(ENDLESS)
        validator = _validator(
            key, timed=threading.current_thread() is threading.main_thread()
        )  # outside of the bound, which must not end an import half-way
        with bounded_time(SCHEMA_SECONDS):
            found = next(validator.iter_errors(value), None)
    except OutOfTime:
        _ENDLESS.add(key)
        return str(ENDLESS)
    except Exception as error:  # noqa: BLE001  a schema of the data may raise anything
        return tr("the declared schema cannot be used ({kind})", kind=type(error).__name__)
    if found is None:
        return None
    said = str(found.message)
    return said if len(said) < 160 else f"{said[:157]}..."


_ENDLESS: set[str] = set()
"""Schemas that took too long once, such as a pattern like (a+)+$; not tried again on every row."""


@lru_cache(maxsize=1024)
def _validator(schema: str, *, timed: bool) -> Any:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend
    from referencing import Registry

    # no timer reaches a thread beside the main one, and nothing but a pattern can go on without an end
    without = {"pattern": None, "patternProperties": None}
    kind = Draft202012Validator if timed else extend(Draft202012Validator, without)

    # an empty registry: without one a `$ref` of the data would be fetched from wherever it points to
    return kind(json.loads(schema), registry=Registry())


def with_arguments(message: Message, form: ArgumentsForm) -> Message:
    """The message with the arguments of its calls as an "object", or as JSON "text"."""
    if not message.get("tool_calls") or form == "object":
        return message
    calls = []
    for call in message["tool_calls"]:
        function = call["function"]
        given = function["arguments"]
        text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
        calls.append({**call, "function": {**function, "arguments": text}})
    return {**message, "tool_calls": calls}


def with_ids(messages: Sequence[Message], form: IdForm) -> list[Message]:
    """The messages with ids of this form, the same in each run, that join results to their calls.

    A result without an id answers the first call that has no result yet.
    """
    if form == "any":
        return list(messages)
    made: list[Message] = []
    new_ids: dict[str, str] = {}
    waiting: list[str] = []
    number = 0
    for message in messages:
        if message.get("tool_calls"):
            calls = []
            for call in message["tool_calls"]:
                name = call["function"]["name"]
                new = f"call{number:05d}" if form == "nine" else f"functions.{name}:{number}"
                number += 1
                new_ids[call.get("id", "")] = new
                waiting.append(new)
                calls.append({**call, "id": new})
            message = {**message, "tool_calls": calls}
        elif message["role"] == "tool":
            named = new_ids.get(message.get("tool_call_id") or "-", "")
            answers = named if named in waiting or not waiting else waiting[0]
            if answers in waiting:
                waiting.remove(answers)
            message = {**message, "tool_call_id": answers or f"call{number:05d}"}
        made.append(message)
    return made
