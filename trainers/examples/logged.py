"""Logged calls of a chat model: what a request asked and the answer that it got, in the interfaces of the providers.

A request holds `messages` (OpenAI, Anthropic, Bedrock, Ollama), `contents` (Gemini) or `input` (OpenAI's Responses);
a response holds `choices`, a message, `candidates` or items.
"""

from __future__ import annotations

from typing import Any

from trainers.examples.conversation import conversation, is_turn
from trainers.examples.declared import TOOL_COLUMNS
from trainers.examples.example import Example, RowError, RowExcludedError
from trainers.examples.items import turns_of_items
from trainers.examples.mapping import folded
from trainers.examples.turns import CUT, decoded
from trainers.language import tr

Row = dict[str, Any]
REQUEST_COLUMNS = ("request", "request_body", "body", "modelinput", "input", "inputs")
RESPONSE_COLUMNS = ("response", "response_body", "modeloutput", "output")
_WRAPPERS = ("body", "inputBodyJson", "outputBodyJson")
_ENDINGS = ("finish_reason", "finishReason", "stop_reason", "stopReason", "done_reason")
_SYSTEMS = frozenset({"system", "instructions", "systeminstruction", "system_instruction"})


def is_logged(row: Row) -> bool:
    """Whether a row is a request to a chat model together with its response."""
    row = _logged(row)
    response = _response(row)
    return bool(_asked(_request(row), response)) and bool(_answered(response)[0])


def read_logged(row: Row) -> Example:
    """The messages of the request, and the first choice of the response. Raises RowExcludedError where it was cut."""
    row = _logged(row)
    request, response = _request(row), _response(row)
    asked, (answer, ending) = _asked(request, response), _answered(response)
    if not asked or not answer:
        raise RowError(tr("a request without its answer, or an answer without its request"))
    if request.get("previous_response_id"):
        raise RowError(tr("a request that goes on from an earlier response, which the row does not hold"))
    if ending.lower() in CUT:
        raise RowExcludedError(tr("the answer was cut (finish_reason {ending})", ending=ending))
    beside = {folded(name): held for name, held in request.items()}
    told = next((beside[name] for name in sorted(_SYSTEMS & beside.keys()) if beside[name]), None)
    tools = {name: beside[name] for name in TOOL_COLUMNS if beside.get(name)}
    return conversation([*asked, *answer], {"system": told, **tools})


def is_request_alone(row: Row) -> bool:
    """Whether a row is a request of OpenAI's batch interface, or an answer to one, without the other."""
    return "custom_id" in row and (isinstance(row.get("body"), dict) or "response" in row)


def _logged(row: Row) -> Row:
    """The part of the row that is the call: MLflow keeps it under `data`."""
    held = decoded(row.get("data"))
    return held if isinstance(held, dict) and {"request", "response"} <= held.keys() else row


def _request(row: Row) -> Row:
    """The request, wherever the row keeps it; the row itself where nothing else looks like one."""
    for name in REQUEST_COLUMNS:
        held = _unwrapped(row.get(name))
        if isinstance(held, list) and held and all(map(is_turn, held)):
            return {"messages": held}
        if isinstance(held, dict):
            return held
    return row


def _response(row: Row) -> Row:
    held = next((held for name in RESPONSE_COLUMNS if isinstance(held := _unwrapped(row.get(name)), dict)), None)
    return held if held is not None else row if "choices" in row else {}


def _unwrapped(held: Any) -> Any:
    held = decoded(held)
    if isinstance(held, dict):
        return next((inner for name in _WRAPPERS if isinstance(inner := decoded(held.get(name)), dict)), held)
    return held


def _asked(request: Row, response: Row) -> list[Any]:
    for name in ("messages", "contents"):
        held = decoded(request.get(name))
        if isinstance(held, list):
            return held
    given = request.get("input")
    if not isinstance(response.get("output"), list) or not given:
        return []
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    return (turns_of_items(given) or given) if isinstance(given, list) else []


def _answered(response: Row) -> tuple[list[Any], str]:
    """(the turns of the first answer, why it ended); ([], "") where there is none."""
    items = response.get("output")
    if isinstance(items, list) and all(isinstance(item, dict) and "type" in item for item in items):
        details = response.get("incomplete_details")
        return turns_of_items(items) or [], str(details.get("reason")) if isinstance(details, dict) else ""
    choice = _first(response.get("choices")) or _first(response.get("candidates")) or response
    ending = str(next((held[name] for held in (choice, response) for name in _ENDINGS if held.get(name)), ""))
    message, content = choice.get("message") or _in_output(items), choice.get("content")
    if isinstance(message, dict):
        return [{"role": "assistant", **message}], ending
    if isinstance(content, dict) and "parts" in content:
        return [{**content, "role": "assistant"}], ending
    return ([choice], ending) if choice.get("role") == "assistant" and "content" in choice else ([], "")


def _in_output(output: Any) -> Any:
    """The message of Bedrock's Converse."""
    return output.get("message") if isinstance(output, dict) else None


def _first(value: Any) -> Row:
    first = value[0] if isinstance(value, list) and value else None
    return first if isinstance(first, dict) else {}
