"""An agent's steps written as words: `Thought: ... Action: ... Observation: ...`, and what its tools gave back.

What a tool returned is read by the model and never written by it. Where it stands inside an answer it is learnt, and
the model learns to make results up instead of waiting for them.
"""

from __future__ import annotations

import re
from typing import Any

from advisor.base.language import later
from advisor.data.content.examiner import Examiner, answers, excerpt, with_turns
from advisor.data.marked import ANSWER, PLAIN, SAID, TURN
from trainers.examples.example import Example

_ACTION = r"(?:Action(?: ?\d+)?|Tool|动作|行动|工具)"
_RESULT = r"(?:Observation(?: ?\d+)?|Tool (?:Output|Result|Response)|观察|观测|工具结果)"
_STEP = re.compile(rf"(?:^|\n)[ \t*#]*{_ACTION}[*]*\s?[:：]", re.IGNORECASE)
_FINAL = r"(?:Final Answer|Thought(?: ?\d+)?|最终答案|思考)"
_RETURNED = re.compile(rf"(?:^|\n)[ \t*#]*{_RESULT}[*]*\s?[:：]", re.IGNORECASE)
_NEXT = re.compile(rf"\n[ \t*#]*(?:{_FINAL}|{_ACTION})[*]*\s?[:：]", re.IGNORECASE)
_CALLING = ("search", "tool_call", "tool", "function_call", "execute", "code", "python", "action", "query", "invoke")
_RETURNING = (
    *("information", "tool_response", "tool_result", "tool_output", "function_response", "observation"),
    *("execution_result", "search_result", "search_results", "interpreter", "result", "output"),
)
_TAGGED = re.compile(
    rf"<(?P<call>{'|'.join(_CALLING)})>.*?</(?P=call)>\s*(?P<given><(?P<back>{'|'.join(_RETURNING)})>.*?</(?P=back)>)",
    re.DOTALL | re.IGNORECASE,
)


def _made_up(example: Example) -> str:
    for text in _learnt(example):
        if found := _results(text):
            return excerpt(text, *found[0])
    return ""


def _learnt(example: Example) -> list[str]:
    return list(answers(example)) if example.messages else [example.text]


def _results(text: str) -> list[tuple[int, int]]:
    """Where results of tools stand in what the assistant says: behind a step of its own."""
    tagged = [found.span("given") for found in _TAGGED.finditer(text)]
    if tagged:
        return tagged
    step = _STEP.search(text)
    found = []
    for one in _RETURNED.finditer(text, step.end()) if step else ():
        after = _NEXT.search(text, one.end())
        found.append((one.start(), after.start() if after else len(text)))
    return found


def _parted(example: Example) -> Example | None:
    """The results as turns of their own, which are shown and not learnt; a row of plain text is left out."""
    if not example.messages:
        return None
    turns: list[tuple[dict[str, Any], int]] = []
    for place, message in enumerate(example.messages):
        spans = _results(message["content"]) if message["role"] == "assistant" else []
        if message.get("tool_calls") or not spans:
            turns.append((message, place))
            continue
        text, at = message["content"], 0
        for start, end in spans:
            said, given = text[at:start].strip(), text[start:end].strip()
            if not said:
                return None
            turns += [({**message, "content": said}, place), ({"role": "user", "content": given}, place)]
            at = end
        if text[at:].strip():
            turns.append(({**message, "content": text[at:].strip()}, place))
    return with_turns(example, turns)


def _steps(example: Example) -> str:
    for text in _learnt(example):
        if (found := _STEP.search(text)) and _is_call(text[found.end() :]):
            return excerpt(text, *found.span())
    return ""


def _is_call(behind: str) -> bool:
    """Whether what stands behind `Action:` is one: a name alone on its line, `name[...]`, or a call as JSON."""
    line = behind.strip().partition("\n")[0].strip()
    return bool(re.fullmatch(r"[\w.\- ]{1,60}|[\w.\-]+\s?[\[(].*", line)) or line.startswith(("{", "```"))


EXAMINERS = (
    Examiner(
        code="learnt-results",
        hint=rf"(?i)(?:{_RESULT}[*]*\s?[:：]|</(?:{'|'.join(_RETURNING)})>)",
        look=_made_up,
        what=later("hold what a tool returned inside what is learnt"),
        why=later("The model learns to write the result itself, without waiting for the tool: it makes results up."),
        fix=later("Give each result as a turn of its own behind the answer that asks for it."),
        mend=_parted,
        blocks_above=0.05,
    ),
    Examiner(
        code="written-steps",
        hint=rf"(?:{ANSWER}|{TURN}{PLAIN}{SAID}|\n)[ \t*#]*(?i:{_ACTION})[*]*\s?[:：]",
        look=_steps,
        what=later("write an agent's steps and the calls of its tools as words"),
        why=later(
            "They are learnt in the form in which they stand: the parser of a server finds no "
            "calls in them, so the program that serves the model has to read them itself."
        ),
        fix=later(
            "Where the server is to find the calls, write them as tool_calls of the message with "
            "a turn of the role tool behind them; where a program of yours reads them, accept it."
        ),
    ),
)
