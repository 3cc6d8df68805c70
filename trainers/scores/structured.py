"""Measures of answers that machines read: JSON, calls of tools, Python. Each from 0 to 1."""

from __future__ import annotations

import ast
import json
import re
import warnings
from typing import Any

FENCE = re.compile(r"^\s*```[\w+-]*\n(.*?)\n?```\s*$", re.DOTALL)
CALL = re.compile(r"<tool_call>\s*(.*?)\s*</tool_call>", re.DOTALL)


def unfenced(text: str) -> str:
    """What stands between the three back-ticks, where the whole text is one such block."""
    found = FENCE.match(text)
    return found[1] if found else text


def json_value(text: str) -> tuple[bool, Any]:
    """Whether the text is one JSON value by RFC 8259 (no NaN, no word beside it), and the value."""
    try:
        return True, json.loads(unfenced(text), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False, None


def json_valid(reference: str, answer: str) -> float:
    """1 where the answer is JSON, whatever it holds; the reference is not looked at."""
    return float(json_value(answer)[0])


def json_match(reference: str, answer: str) -> float:
    """1 where both are JSON and hold the same, order of keys aside; 1 and 1.0 are the same, 1 and true are not."""
    (wanted_is, wanted), (found_is, found) = json_value(reference), json_value(answer)
    return float(wanted_is and found_is and _canonical(wanted) == _canonical(found))


def json_shape(reference: str, answer: str) -> float:
    """1 where both are JSON with the same keys and kinds of values at every place; lists by the kinds they hold."""
    (wanted_is, wanted), (found_is, found) = json_value(reference), json_value(answer)
    return float(wanted_is and found_is and _shape(wanted) == _shape(found))


def matches_schema(answer: str, schema: dict[str, Any]) -> float:
    """1 where the answer is JSON that a JSON Schema accepts. Raises SchemaError for a schema that is none."""
    from jsonschema.validators import validator_for

    checker = validator_for(schema)
    checker.check_schema(schema)
    is_json, value = json_value(answer)
    return float(is_json and checker(schema).is_valid(value))


def calls(text: str) -> list[tuple[str, Any]] | None:
    """Name and arguments of each call of a tool that a text makes; None where it makes none that can be read."""
    written = CALL.findall(text) or [text]
    found = []
    for one in written:
        is_json, value = json_value(one)
        for call in value if isinstance(value, list) else [value]:
            if not is_json or not isinstance(call, dict) or not isinstance(call.get("name"), str):
                return None
            found.append((call["name"], _arguments(call)))
    return found or None


def tool_calls(reference: str, answer: str) -> float:
    """1 where the same tools are called with the same arguments, in any order."""
    wanted, found = calls(reference), calls(answer)
    return float(wanted is not None and found is not None and _sorted(wanted) == _sorted(found))


def tool_names(reference: str, answer: str) -> float:
    """1 where the same tools are called, whatever the arguments."""
    wanted, found = calls(reference), calls(answer)
    if wanted is None or found is None:
        return 0.0
    return float(sorted(name for name, _ in wanted) == sorted(name for name, _ in found))


def python_parses(reference: str, answer: str) -> float:
    """1 where the answer is Python that parses and holds a statement; nothing of it is run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return float(bool(ast.parse(unfenced(answer)).body))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return 0.0


def _arguments(call: dict[str, Any]) -> Any:
    given = call.get("arguments", call.get("parameters", {}))
    if isinstance(given, str):
        is_json, value = json_value(given)
        return value if is_json else given
    return given


def _sorted(found: list[tuple[str, Any]]) -> list[str]:
    return sorted(_canonical([name, arguments]) for name, arguments in found)


def _canonical(value: Any) -> str:
    return json.dumps(_whole(value), sort_keys=True, ensure_ascii=True)


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return sorted({repr(_shape(item)) for item in value})
    if isinstance(value, bool) or value is None:
        return type(value).__name__
    return "number" if isinstance(value, int | float) else "text"


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is not JSON")
