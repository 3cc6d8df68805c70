"""Calls of tools, held against the tools that their row declares, and results, held against their calls."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from advisor.base.language import later, tr
from advisor.data.content.examiner import Examiner, excerpt
from advisor.data.marked import ANSWER, SAID, TURN
from trainers.examples.declared import in_words
from trainers.examples.example import Example, RowError
from trainers.examples.reasoning import apart
from trainers.examples.results import in_call_order, result_faults, with_own_ids
from trainers.examples.toolcalls import call_faults, read_tools, tidied
from trainers.examples.written_calls import MARK_PATTERN, has_written_call, with_calls

HINT = '"tool_calls":'
_RESULT_HINT = rf"{HINT}|{TURN}t{SAID}"
_WRITTEN_HINT = "|".join(
    [
        MARK_PATTERN,
        rf"{ANSWER}\s*(?:```\w*\s*)?(?:\[?\s*\{{|\[\w[\w .:/&'-]*\()",
        rf"{TURN}s{SAID}[^{TURN}]*(?:<tools>|\[\s*\{{\s*\")",
    ]
)


def _look(code: str) -> Callable[[Example], str]:
    def look(example: Example) -> str:
        return next((fault.what for fault in call_faults(example) if fault.code == code), "")

    return look


def _results(code: str, example: Example) -> str:
    if any(map(has_written_call, example.messages)):
        return ""  # its results belong to calls that are still words
    return next((fault.what for fault in result_faults(example.messages) if fault.code == code), "")


def _ordered(example: Example) -> Example:
    return msgspec.structs.replace(example, messages=tuple(in_call_order(example.messages)))


def _numbered(example: Example) -> Example:
    return msgspec.structs.replace(example, messages=tuple(with_own_ids(example.messages)))


def _without_tools(example: Example) -> str:
    calls = [call for message in example.messages for call in message.get("tool_calls", ())]
    return tr("calls {calls}", calls=calls[0]["function"]["name"]) if calls and not example.tools else ""


def _written(example: Example) -> str:
    called = next((excerpt(message["content"]) for message in example.messages if has_written_call(message)), "")
    return called or next(
        (
            excerpt(json.dumps(found[0][0]["function"], ensure_ascii=False))
            for message in example.messages
            if message["role"] == "system" and (found := in_words(message["content"]))
        ),
        "",
    )


def _called(example: Example) -> Example | None:
    """The calls as calls; the row is left out where they cannot be read."""
    found = with_calls(example.messages, example.tools)
    if found is None or (example.unlearnt and len(found[0]) != len(example.messages)):
        return None
    return msgspec.structs.replace(example, messages=tuple(found[0]), tools=found[1])


_ANNOUNCES = re.compile(
    r"\b(?:let(?: me|\W?s)|i(?:['’]?ll| will|(?: a|['’])?m going| need| have to| should| can| must| want)|going to"
    r"|we (?:need|will|can)|one moment|please wait|hold on|check|look(?:ing)?|search|fetch|retriev|call|query|find"
    r"|use|comput|calculat)|[:：…]\s*$|\.\.\.\s*$|让我|我来|我将|我会|我需要|首先|先|请稍|正在|查",
    re.IGNORECASE,
)


def _answers_at_once(example: Example) -> str:
    """Words beside a call that are the only answer to their question, and no announcement of the call."""
    shown = ""
    for message in example.messages:
        if message["role"] == "user":
            if shown:
                return shown
        elif message["role"] == "assistant":
            words = apart(message)["content"].strip()
            is_told = bool(words) and bool(message.get("tool_calls")) and not _ANNOUNCES.search(words)
            shown = excerpt(words) if is_told else "" if words else shown
    return shown


def _leave_out(_: Example) -> None:
    return None


def _tidy(example: Example) -> Example | None:
    """The calls as they are trained: decoded once, without filled-in nulls."""
    try:
        tools: Any = read_tools(example.tools)
        return msgspec.structs.replace(example, messages=tuple(tidied(example.messages, tools)), tools=tools)
    except RowError:
        return None


EXAMINERS = (
    Examiner(
        code="invalid-call",
        hint=HINT,
        look=_look("invalid-call"),
        what=later("call a tool with arguments that do not fit"),
        why=later("A model that learns them calls tools in a way that they refuse."),
        fix=later("Correct the arguments, or the schema that the row declares."),
        blocks_above=0.05,
    ),
    Examiner(
        code="undeclared-call",
        hint=HINT,
        look=_look("undeclared-call"),
        what=later("call a tool that they do not declare"),
        why=later("The model learns to call what it was not given."),
        fix=later("Declare the tool in the row, or remove the call."),
        blocks_above=0.05,
    ),
    Examiner(
        code="encoded-call",
        hint=HINT,
        look=_look("encoded-call"),
        what=later("hold arguments as JSON inside JSON"),
        why=later("They are trained as the object that they mean; other trainers would learn the quoted text."),
        fix=later("Write the arguments as an object."),
        mend=_tidy,
    ),
    Examiner(
        code="filled-call",
        hint=HINT,
        look=_look("filled-call"),
        what=later("hold nulls that a column store filled in"),
        why=later("They are left out of what is trained; other trainers would learn to say null."),
        fix=later("Write the rows as JSON lines, each with its own keys only."),
        mend=_tidy,
    ),
    Examiner(
        code="undeclared-tools",
        hint=HINT,
        look=_without_tools,
        what=later("call tools and declare none"),
        why=later(
            "A server tells the model what it may call; here it learns to call without being "
            "told, and no call is held against a schema."
        ),
        fix=later('Write the tools that the server will declare into "tools" beside the messages.'),
    ),
    Examiner(
        code="written-calls",
        hint=_WRITTEN_HINT,
        look=_written,
        what=later("hold a call or a declaration of a tool among their words"),
        why=later(
            "It is learnt in the form in which it stands there, and not in the one that the "
            "model's own template and the parser of its server have."
        ),
        fix=later("Write calls as tool_calls of the message, and tools into tools beside the messages."),
        mend=_called,
    ),
    Examiner(
        code="unmatched-result",
        hint=_RESULT_HINT,
        look=partial(_results, "unmatched-result"),
        what=later("hold a result that belongs to no call"),
        why=later("The model learns to trust a result of something that it never asked for."),
        fix=later("Give tool_call_id the id of the call that the result answers, or leave the rows out."),
        mend=_numbered,
        blocks_above=0.05,
    ),
    Examiner(
        code="missing-result",
        hint=HINT,
        look=partial(_results, "missing-result"),
        what=later("hold a call whose result does not follow"),
        why=later("The model learns to answer without waiting for what the tool returns: to make results up."),
        fix=later("Add the result as a message of the role tool directly behind the call, or leave the rows out."),
        mend=_leave_out,
        blocks_above=0.05,
    ),
    Examiner(
        code="answer-beside-call",
        hint=HINT,
        look=_answers_at_once,
        what=later("answer in the same turn in which they call a tool"),
        why=later(
            "The words are learnt as if they were known before the tool was asked: the model "
            "learns to make results up and to call for show."
        ),
        fix=later("Put the answer into a turn of its own behind the result, or leave the rows out."),
        mend=_leave_out,
        blocks_above=0.20,
    ),
    Examiner(
        code="result-ids",
        hint=_RESULT_HINT,
        look=partial(_results, "result-ids"),
        what=later("hold parallel calls that no id joins to their results"),
        why=later(
            "Results are shown in the order in which they stand; nothing says whether the calls stand in it too."
        ),
        fix=later("Give each call an id, and each result the id of its call."),
        mend=_numbered,
    ),
    Examiner(
        code="result-order",
        hint=_RESULT_HINT,
        look=partial(_results, "result-order"),
        what=later("hold results of parallel calls in another order than the calls"),
        why=later(
            "Most chat templates show results without ids: the model learns to read them as if they stood in order."
        ),
        fix=later("Bring the results into the order of the calls."),
        mend=_ordered,
    ),
)
