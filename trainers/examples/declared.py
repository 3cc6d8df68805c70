"""The tools that a row declares, from wherever it keeps them and in whatever dialect, as functions of JSON schema.

    {"type": "function", "function": {"name": "get_weather", "description": "...", "parameters": {JSON Schema}}}

They stand in a column, among what the chat template is told (TRL's `chat_template_kwargs`), or as JSON among the
words of a system message (Hermes, ToolACE).
"""

from __future__ import annotations

import json
import re
from typing import Any

from trainers.examples.example import RowError
from trainers.examples.turns import decoded, not_too_deep
from trainers.language import tr

Row = dict[str, Any]

TOOL_COLUMNS = (
    "tools", "functions", "tool_defs", "tool_definitions", "available_tools", "toolconfig", "tool_config",
)  # fmt: skip
SWITCH_COLUMNS = ("chat_template_kwargs", "template_kwargs")
"""Columns that hold what the chat template is told beside the messages."""
TOLD_TOOLS = ("tools", "xml_tools", "python_tools")
"""Tools among what the template is told; SmolLM3's knows two ways to call them."""
ENCODED_AT_MOST = 3
"""Times that tools are decoded: some exports encode JSON as JSON text twice."""
_TYPES = {
    **dict.fromkeys(("str", "string", "text"), "string"),
    **dict.fromkeys(("int", "integer", "long"), "integer"),
    **dict.fromkeys(("float", "double", "number"), "number"),
    **dict.fromkeys(("bool", "boolean"), "boolean"),
    **dict.fromkeys(("list", "tuple", "set", "array", "sequence"), "array"),
    **dict.fromkeys(("dict", "object", "mapping"), "object"),
    "null": "null",
}
"""Types as Python, Gemini and others write them -> those of JSON schema."""
_OF_SCHEMA = frozenset({"type", "properties", "$ref", "anyOf", "oneOf", "allOf", "$defs", "enum", "items"})
_BETWEEN_MARKS = re.compile(r"<tools>\s*(.*?)\s*</tools>", re.DOTALL)
_LIST = re.compile(r"\[\s*\{\s*\"")
_TELLS_FORM = re.compile(r"<tool_call>|\[\s*func\w*\s*\(|tool calls? section", re.IGNORECASE)
"""In a system message: how calls are to be written."""


def tools_of(row: Row) -> Any:
    """The tools that the row declares; None when there are none. Raises RowError for what is no declaration."""
    found = next((row[column] for column in TOOL_COLUMNS if _may_declare(row.get(column))), None)
    if found is None:
        told = told_template(row)
        found = next((told[name] for name in TOLD_TOOLS if told.get(name)), None)
    return declared(found)


def declared(found: Any) -> Any:
    """Declarations of tools as functions of JSON schema; None for none. Raises RowError for what is none."""
    for _ in range(ENCODED_AT_MOST):
        found = _opened(found) if isinstance(found, str) else found
    if isinstance(found, dict):
        found = found["tools"] if isinstance(found.get("tools"), list) else [found]
    if not found:
        return None
    if not isinstance(found, list):
        raise RowError(
            tr("tools is text that is not JSON")
            if isinstance(found, str)
            else tr("tools is {kind}", kind=type(found).__name__)
        )
    return [_tool(tool) for one in not_too_deep(found) for tool in _declarations(one)]


def _opened(text: str) -> Any:
    """What a text encodes, also where that is a text once more."""
    if not text.lstrip().startswith('"'):
        return decoded(text)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def told_template(row: Row) -> Row:
    """What the row tells its chat template beside the messages; {} where it tells nothing."""
    held = next((decoded(row[name]) for name in SWITCH_COLUMNS if row.get(name)), None)
    return held if isinstance(held, dict) else {}


def in_words(text: str) -> tuple[list[Any], str] | None:
    """(tools that a system message declares as JSON among its words, what is left of it); None where it does not.

    Nothing is left of a message that also says how calls are to be written: the model's own template says so.
    """
    found = _BETWEEN_MARKS.search(text)
    tools = _listed(found[1]) if found else None
    start, end = found.span() if found else (0, 0)
    if not tools:
        for place in _LIST.finditer(text):
            tools, end = _list_at(text, place.start())
            if tools:
                start = place.start()
                break
    if not tools:
        return None
    left = "" if _TELLS_FORM.search(text) else (text[:start] + text[end:]).strip()
    try:
        return declared(tools), left
    except RowError:
        return None


def _list_at(text: str, start: int) -> tuple[list[Any] | None, int]:
    try:
        held, end = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return None, start
    are_tools = isinstance(held, list) and all(map(_is_declaration, held))
    return (held if are_tools else None), end


def _is_declaration(value: Any) -> bool:
    function = value.get("function", value) if isinstance(value, dict) else None
    return isinstance(function, dict) and isinstance(function.get("name"), str) and "parameters" in function


def _listed(text: str) -> list[Any] | None:
    """The tools between marks: a list, or one object a line; None when they cannot be read."""
    whole = decoded(text)
    if isinstance(whole, list | dict):
        return whole if isinstance(whole, list) else [whole]
    try:
        return [json.loads(line) for line in text.splitlines() if line.strip()] or None
    except (ValueError, RecursionError):
        return None


def _may_declare(value: Any) -> bool:
    """Whether a column holds declarations: Gemini keeps there how calls are to be made, too."""
    return bool(value) and not (isinstance(value, dict) and "functionCallingConfig" in value and len(value) == 1)


def _declarations(tool: Any) -> list[Any]:
    """What Gemini declares together, one by one."""
    held = tool.get("functionDeclarations", tool.get("function_declarations")) if isinstance(tool, dict) else None
    return held if isinstance(held, list) else [tool]


def _tool(tool: Any) -> Any:
    tool = decoded(tool)
    if isinstance(tool, dict) and isinstance(tool.get("toolSpec"), dict):
        tool = tool["toolSpec"]
    if not isinstance(tool, dict):
        raise RowError(tr("a tool is a {kind}, not an object", kind=type(tool).__name__))
    for key in ("input_schema", "inputSchema"):
        if key in tool and "parameters" not in tool:
            schema = tool[key].get("json", tool[key]) if isinstance(tool[key], dict) else tool[key]
            kept = {name: value for name, value in tool.items() if name != key}
            tool = {**kept, "parameters": schema}
    if isinstance(tool.get("function"), dict):
        return {**tool, "function": _with_schema(tool["function"])}
    return {"type": "function", "function": _with_schema(tool)} if "name" in tool and "function" not in tool else tool


def _with_schema(function: Row) -> Row:
    parameters = function.get("parameters")
    if not isinstance(parameters, dict):
        return function
    schema = _json_types(parameters) if _OF_SCHEMA & parameters.keys() else _schema_of(parameters)
    return function if schema == parameters else {**function, "parameters": schema}


def _schema_of(parameters: Row) -> Row:
    """Parameters by their names alone (xLAM) as a schema; what is no such list, as it is."""
    if not parameters or not all(isinstance(one, dict) and "type" in one for one in parameters.values()):
        return parameters
    needed = [
        name
        for name, one in parameters.items()
        if "default" not in one and "optional" not in str(one["type"]).lower() and one.get("required") is not False
    ]
    properties = {
        name: {
            key: value
            for key, value in _json_types(one).items()
            if not (key == "required" and isinstance(value, bool))
        }
        for name, one in parameters.items()
    }
    return {"type": "object", "properties": properties, **({"required": needed} if needed else {})}


def _json_types(schema: Any) -> Any:
    """A schema whose types are those of JSON schema: OBJECT, dict, "int, optional" and List[str] are not."""
    if isinstance(schema, list):
        return [_json_types(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made: Row = {}
    for key, value in schema.items():
        if key == "type" and isinstance(value, str):
            made |= _typed(value)
        else:
            made[key] = _json_types(value)
    return made


def _typed(said: str) -> Row:
    """The type that a word stands for, with that of its items; {} for one that JSON schema has no word for."""
    outer, bracket, inner = said.partition(",")[0].strip().partition("[")
    known = _TYPES.get(outer.strip().lower())
    if known is None:
        return {}
    of_items = _TYPES.get(inner.rstrip("] ").lower()) if bracket and known == "array" else None
    return {"type": known, **({"items": {"type": of_items}} if of_items else {})}
