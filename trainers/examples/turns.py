"""One turn of a conversation, however it was written, as a message with the keys that chat templates know."""

from __future__ import annotations

import ast
import json
from typing import Any

import msgspec

from trainers.examples.example import RowError
from trainers.examples.parts import Content, content_of
from trainers.examples.pictures import in_turn
from trainers.language import tr

ROLES = {
    **dict.fromkeys(("user", "human", "prompter", "user_message", "instruction", "question"), "user"),
    **dict.fromkeys(("用户", "人类", "问", "ユーザー", "usuario", "usuário", "utilisateur", "nutzer"), "user"),
    **dict.fromkeys(("assistant", "gpt", "model", "bot", "ai", "chatbot", "chatgpt", "bing", "bard"), "assistant"),
    **dict.fromkeys(("assistant_message", "response", "answer", "claude", "gemini", "llm"), "assistant"),
    **dict.fromkeys(
        ("助手", "模型", "机器人", "答", "アシスタント", "asistente", "assistente", "assistent"), "assistant"
    ),
    **dict.fromkeys(("function_call", "tool_call", "tool_calls"), "assistant"),
    **dict.fromkeys(("system", "developer", "system_prompt", "系统", "システム"), "system"),
    **dict.fromkeys(("tool", "function", "function_response", "tool_response", "tool_result"), "tool"),
    **dict.fromkeys(("observation", "ipython", "environment"), "tool"),
}
"""Names of speakers met in published datasets -> the four roles that chat templates know."""
CALLING_ROLES = frozenset({"function_call", "tool_call", "tool_calls"})
"""Speakers whose words are a call written as JSON, not an answer."""

ROLE_KEYS = ("role", "from", "speaker", "author", "sender")
CONTENT_KEYS = ("content", "value", "text", "message", "utterance", "parts", "mes")
REASONING_KEYS = ("reasoning_content", "thinking", "reasoning", "thought", "thoughts")
CALL_KEYS = ("tool_calls", "function_call", "function_calls")
FLAGS = ("weight", "train", "loss", "training", "trainable", "loss_mask", "loss_weight", "train_on_turn")
"""Keys of a turn by which authors exclude an answer from learning: 0 or false."""
ENDINGS = ("finish_reason", "stop_reason")
CUT = frozenset({"length", "max_tokens", "content_filter", "max_output_tokens"})
"""Why an answer ended, where it is not whole."""
HUMANS = ("is_human", "is_user")
"""Keys of a turn that say by true and false who speaks."""
_BESIDE_KEYS = ("type", "data", "kwargs", "additional_kwargs")
"""Where LangChain keeps the role, the words and the calls of a message."""
_CLASSES = {"HumanMessage": "user", "AIMessage": "assistant", "SystemMessage": "system", "ToolMessage": "tool"}
KNOWN_KEYS = frozenset(
    (
        *(*ROLE_KEYS, *CONTENT_KEYS, *REASONING_KEYS, *CALL_KEYS, *FLAGS, *ENDINGS, *HUMANS),
        *("name", "tool_call_id", "images", "image"),
    )
)
"""Keys of a turn that are read."""
DEEPEST = 100
"""Objects within objects in a tool or its arguments; what is deeper no template renders."""
_PLAIN = ("role", "content")
_OFF = (0, False, "0", "false", "False")


def message_of(turn: Any) -> tuple[dict[str, Any], list[Any]]:
    """The turn as a message, and its pictures. Raises RowError saying what is wrong with it."""
    if not isinstance(turn, dict):
        raise RowError(tr("a message is a {kind}, not an object with role and content", kind=type(turn).__name__))
    if tuple(turn) == _PLAIN and turn["role"] in ("user", "assistant", "system") and type(turn["content"]) is str:
        return turn, []
    said = next((turn[key] for key in ROLE_KEYS if key in turn), None)
    if said is None:
        turn, said = _spoken(turn)
    role = _role(said)
    value = next((turn[key] for key in CONTENT_KEYS if turn.get(key) is not None), None)
    content = content_of(_returned(value) if role == "tool" else value)
    calls = _calls(turn, content, said)
    if calls and role != "assistant":
        raise RowError(tr("a message of '{role}' calls a tool; only the assistant does", role=role))
    if content.text is None and not calls and not content.reasoning and not content.images:
        raise RowError(tr("a message of '{role}' has no content", role=role))
    message: dict[str, Any] = {"role": role, "content": content.text or ""}
    if calls:
        message["tool_calls"] = calls
    if isinstance(turn.get("name"), str) and turn["name"]:
        message["name"] = turn["name"]
    answered = turn.get("tool_call_id") or content.result_of
    if isinstance(answered, str) and answered:
        message["tool_call_id"] = answered
    if content.is_result:
        message["role"] = "tool"
    reasoning = next((turn[key] for key in REASONING_KEYS if isinstance(turn.get(key), str)), "") or content.reasoning
    # Agents' logs repeat the words of an answer as its thought.
    if reasoning.strip() and reasoning.strip() not in message["content"]:
        message["reasoning_content"] = reasoning
    beside = turn.get("images") or turn.get("image")
    pictures = beside if isinstance(beside, list) else [beside] if beside else []
    if pictures:
        message["content"] = in_turn(message["content"], len(pictures))
    return message, pictures + content.images


def is_excluded(turn: Any) -> bool:
    """Whether the data says that this turn is not to be learnt."""
    return isinstance(turn, dict) and (
        any(flag in turn and turn[flag] in _OFF for flag in FLAGS) or any(turn.get(key) in CUT for key in ENDINGS)
    )


def _spoken(turn: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """A turn whose speaker stands under no usual key, with that speaker: LangChain's messages, true and false."""
    for key in HUMANS:
        if isinstance(turn.get(key), bool):
            return turn, "user" if turn[key] else "assistant"
    inner = turn.get("kwargs") if isinstance(turn.get("id"), list) and turn["id"] else turn.get("data")
    kind = _CLASSES.get(str(turn["id"][-1])) if isinstance(turn.get("kwargs"), dict) and turn.get("id") else None
    kind = kind or turn.get("type")
    if not isinstance(kind, str) or kind.strip().lower() not in ROLES:
        return turn, None
    opened = {**(inner if isinstance(inner, dict) else turn)}
    beside = opened.get("additional_kwargs")
    if isinstance(beside, dict):
        opened |= {key: beside[key] for key in CALL_KEYS if beside.get(key) and not opened.get(key)}
    return opened, kind


def known_keys(turn: dict[str, Any]) -> frozenset[str]:
    """Keys of a turn that are read."""
    is_foreign = not any(key in turn for key in ROLE_KEYS)
    return KNOWN_KEYS | frozenset(_BESIDE_KEYS) if is_foreign else KNOWN_KEYS


def _returned(value: Any) -> Any:
    """What a tool returned as the text that it is shown as: an object that is no part of a message is JSON."""
    listed = value if isinstance(value, list) else [value]
    if isinstance(value, str) or all(isinstance(one, str) or _is_part(one) for one in listed):
        return value
    return json.dumps(not_too_deep(value), ensure_ascii=False, default=str)


def _is_part(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and ("type" in value or "text" in value or "parts" in value))


def _calls(turn: dict[str, Any], content: Content, said: Any) -> list[dict[str, Any]]:
    """The calls of a turn; a turn of a calling role gives its words up for them."""
    calls = decoded(turn.get("tool_calls"))
    if calls is not None and not isinstance(calls, list):
        raise RowError(tr("tool_calls is a {kind}, not a list of calls", kind=type(calls).__name__))
    made = [tool_call(call) for call in calls or ()]
    made += [tool_call(decoded(call["text"]) if "text" in call else call) for call in content.calls]
    older = decoded(turn.get("function_call"))
    if isinstance(older, dict) and older:
        made.append(tool_call(older))
    written = turn.get("function_calls")
    if written and not made:
        made += [tool_call(call) for call in written_calls(written)]
    if not made and isinstance(said, str) and said.lower() in CALLING_ROLES:
        written = decoded(content.text)
        made = [tool_call(call) for call in (written if isinstance(written, list) else [written])]
        content.text = ""
    return made


def written_calls(value: Any) -> list[Any]:
    """Calls that a key holds as JSON, or as Python writes them: `find(item="lamp")`. Raises RowError."""
    held = decoded(value)
    if isinstance(held, dict | list):
        return held if isinstance(held, list) else [held]
    try:
        tree = ast.parse(str(value).strip().replace("\n", ", ").join("[]"), mode="eval").body
        calls = tree.elts if isinstance(tree, ast.List) else []
        return [
            {
                "name": ast.unparse(call.func),
                "arguments": {str(one.arg): ast.literal_eval(one.value) for one in call.keywords},
            }
            for call in calls
            if isinstance(call, ast.Call) and not call.args
        ]
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError) as error:
        raise RowError(tr("function_calls cannot be read: {value!r:.60}", value=str(value))) from error


def tool_call(call: Any) -> dict[str, Any]:
    """One call in the form that templates read. Raises RowError when it is none."""
    function = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
        raise RowError(tr("a tool call has no function name"))
    made = {"type": "function", "function": {"name": function["name"], "arguments": _arguments(function)}}
    return {**made, "id": call["id"]} if isinstance(call.get("id"), str) and call["id"] else made


def _arguments(function: dict[str, Any]) -> Any:
    """Templates render arguments with `tojson`; text would come out quoted twice."""
    given = next((function[key] for key in ("arguments", "parameters", "args", "input") if key in function), None)
    arguments = decoded(given)
    return {} if arguments is None else not_too_deep(arguments)


def not_too_deep(value: Any) -> Any:
    """The value itself. Raises RowError when it is nested deeper than DEEPEST."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise RowError(tr("nested too deeply"))
        inner = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)]
        level = [one for values in inner for one in values if isinstance(one, dict | list)]
    return value


def _role(said: Any) -> str:
    person = said
    if isinstance(said, dict):
        said = said.get("role")
    if isinstance(person, dict) and isinstance(person.get("name"), str) and not isinstance(said, str):
        raise RowError(
            tr(
                "who speaks is a person ({person!r:.40}) and no role; write user or assistant as role",
                person=person["name"],
            )
        )
    role = ROLES.get(said.strip().lower()) if isinstance(said, str) else None
    if role is None:
        raise RowError(
            tr("unknown role {said!r:.60}", said=said) if said is not None else tr("a message without a role")
        )
    return role


def decoded(value: Any) -> Any:
    """Lists and objects that a flat file had to write as text, in JSON or as Python prints them; else the value."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            return _python_literal(value)
    return value


def _python_literal(text: str) -> Any:
    if not text.lstrip().startswith(("[{'", "{'", "['")):
        return text
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return text
