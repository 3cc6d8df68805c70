"""What one model's chat template can show, found by rendering sentinels through it once.

card = read_card(template)
card.calls, card.arguments, card.reasoning_key     what the data is then written for
"""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

from trainers.examples.example import RowError
from trainers.examples.reasoning import KEYS, TAGS, empty_block, placed
from trainers.examples.template import ChatTemplate, Message, Trace
from trainers.examples.toolcalls import ARGUMENT_FORMS, ID_FORMS, ArgumentsForm, IdForm, with_arguments, with_ids
from trainers.language import tr

SystemRole = Literal["shown", "folded", "dropped"]
ReasoningKept = Literal["every turn", "last turn", "never"]


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """What a template shows. A `False` means: what the data holds of it would never reach the model."""

    takes_parts: bool
    """Whether content must be a list of parts, as templates of models that see want it."""
    system: SystemRole
    """folded: the template knows no system role, and its words go in front of the first question."""
    tools: bool
    """Whether declarations of tools are shown."""
    calls: bool
    """Whether calls of tools are shown."""
    parallel_calls: bool
    """Whether several calls in one answer are shown."""
    words_and_reasoning: bool
    """Whether an answer with a call may have both words and reasoning beside it."""
    arguments: ArgumentsForm
    """The form in which a call's arguments are written once, not twice."""
    results: bool
    """Whether results of tools are shown."""
    ids: IdForm
    """What the ids of calls must look like for the template to take them and to show the name."""
    reasoning_key: str | None
    """The name that reasoning goes under; "inline" when only the answer itself can hold it; None for nowhere."""
    reasoning_kept: ReasoningKept
    """In which answers reasoning is shown."""
    reasoning_tags: tuple[str, str]
    """What stands before and after reasoning."""
    writes_empty_reasoning: bool
    """Whether an answer without reasoning gets an empty block."""
    consecutive: bool
    """Whether two questions in a row are taken."""
    opening: str
    """What a server puts in front of an answer."""
    header: str
    """What the template writes in front of a plain answer."""

    def summary(self) -> str:
        """What it shows, in one line for people."""
        kept = (
            tr("reasoning of every turn") if self.reasoning_kept == "every turn" else tr("reasoning of the last turn")
        )
        reasoning = tr("reasoning as a part of the answer") if self.reasoning_key == "inline" else kept
        calls = tr("calls, several in one answer") if self.parallel_calls else tr("calls, one in an answer")
        shown = [
            {"shown": tr("system messages"), "folded": tr("system messages inside the first question")}.get(
                self.system, ""
            ),
            tr("tools") if self.tools else "",
            calls if self.calls else "",
            tr("results of tools") if self.results else "",
            reasoning if self.reasoning_key else "",
        ]
        hidden = [
            *([] if self.tools else [tr("tools")]),
            *([] if self.calls else [tr("calls")]),
            *([] if self.reasoning_key else [tr("reasoning")]),
        ]
        said = tr("shows {shown}", shown=", ".join(filter(None, shown)))
        return tr("{said}; not {hidden}", said=said, hidden=", ".join(hidden)) if hidden else said


def read_card(template: ChatTemplate) -> Card:
    """Renders sentinels through a template. Raises RowError when it cannot show a plain question and answer."""
    parts = _takes_parts(template)
    probe = _Probe(template, parts)
    plain = probe.trace(_said("user", "QUESTION"), _said("assistant", "ANSWER"))
    if plain is None or "ANSWER" not in plain.text or "QUESTION" not in plain.text:
        raise probe.refusal or RowError(tr("the chat template shows neither question nor answer"))
    key, kept, tags = _reasoning(probe)
    calls = _calls(probe, key)
    turn = _text(plain, 1)
    return Card(
        takes_parts=parts,
        system=_system(probe),
        tools=probe.shows(TOOL_NAME, _said("user", "QUESTION"), _said("assistant", "ANSWER"), tools=TOOLS),
        **calls,
        reasoning_key=key,
        reasoning_kept=kept,
        reasoning_tags=tags,
        writes_empty_reasoning=_has_empty(turn, tags),
        consecutive=probe.shows("SECOND", _said("user", "FIRST"), _said("user", "SECOND"), _said("assistant", "A")),
        opening=_opening(probe),
        header=turn[: max(0, turn.find("ANSWER"))],
    )


TOOL_NAME = "SENTTOOL"
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": TOOL_NAME,
            "description": "SENTTEXT",
            "parameters": {"type": "object", "properties": {"key": {"type": "string", "description": "SENTARG"}}},
        },
    }
]


# A mark of a template, with the word that may stand behind it in one piece (Gemma's channels).
_MARK = re.compile(r"<[^<>\s]+>(?:\w+(?=\n))?|\[/?[A-Z_]+\]")


class _Probe:
    """Renders small conversations, None for what the template refuses."""

    def __init__(self, template: ChatTemplate, parts: bool) -> None:
        self.template, self.parts = template, parts
        self.refusal: RowError | None = None

    def trace(self, *messages: Message, tools: Any = None, ask: bool = False) -> Trace | None:
        """The trace, or None."""
        try:
            ready = [as_parts(one) if self.parts else dict(one) for one in messages]
            return self.template.render(ready, tools, ask=ask)
        except RowError as error:
            self.refusal = error
            return None

    def shows(self, words: str, *messages: Message, tools: Any = None) -> bool:
        """Whether these words come through."""
        found = self.trace(*messages, tools=tools)
        return found is not None and words in found.text


def as_parts(message: Message) -> Message:
    """The message with its content as a list of one part."""
    return {**message, "content": [{"type": "text", "text": message["content"]}]}


def _takes_parts(template: ChatTemplate) -> bool:
    exchange = (_said("user", "QUESTION"), _said("assistant", "ANSWER"))
    if _Probe(template, False).shows("ANSWER", *exchange):
        return False
    return _Probe(template, True).shows("ANSWER", *exchange)


def _system(probe: _Probe) -> SystemRole:
    exchange = (_said("system", "SYSTEM"), _said("user", "QUESTION"), _said("assistant", "ANSWER"))
    found = probe.trace(*exchange)
    if found is None:
        return "folded"
    if "SYSTEM" in found.text:
        return "shown"
    # Mistral shows it only while a question is open, in front of that question.
    asked = probe.trace(*exchange[:2], ask=True)
    return "folded" if asked is not None and "SYSTEM" in asked.text else "dropped"


def _calls(probe: _Probe, key: str | None) -> dict[str, Any]:
    for ids in ID_FORMS:
        for form in ARGUMENT_FORMS:
            found = probe.trace(*_exchange(form, ids), tools=TOOLS)
            if found is not None and _is_once(_text(found, 1) or found.text):
                two = probe.trace(*_exchange(form, ids, calls=2), tools=TOOLS)
                return {
                    "calls": True,
                    "parallel_calls": two is not None and "VALUE1" in two.text and "VALUE0" in two.text,
                    "words_and_reasoning": _takes_both(probe, form, key),
                    "arguments": form,
                    "results": "RESULT" in found.text,
                    "ids": ids,
                }
    plain = probe.trace(*_exchange("object", "any"))
    shown = plain is not None and "RESULT" in plain.text
    return {
        "calls": False,
        "parallel_calls": False,
        "words_and_reasoning": False,
        "arguments": "object",
        "results": shown,
        "ids": "any",
    }


def _takes_both(probe: _Probe, form: ArgumentsForm, key: str | None) -> bool:
    if key is None:
        return False
    call = {"type": "function", "function": {"name": TOOL_NAME, "arguments": {"key": "VALUE0"}}}
    speaking = with_arguments({**_thinking(0, key), "tool_calls": [call]}, form)
    return probe.trace(_said("user", "QUESTION"), speaking, tools=TOOLS) is not None


def _exchange(form: ArgumentsForm, ids: IdForm, calls: int = 1) -> list[Message]:
    made = [
        {
            "type": "function",
            "id": f"c{number}",
            "function": {"name": TOOL_NAME, "arguments": {"key": f"VALUE{number}"}},
        }
        for number in range(calls)
    ]
    exchange = [
        _said("user", "QUESTION"),
        with_arguments({"role": "assistant", "content": "", "tool_calls": made}, form),
        *(
            {"role": "tool", "name": TOOL_NAME, "content": f"RESULT{number}", "tool_call_id": f"c{number}"}
            for number in range(calls)
        ),
        _said("assistant", "ANSWER"),
    ]
    return with_ids(exchange, ids)


def _is_once(text: str) -> bool:
    """Whether a call's name and value are there, neither encoded twice nor as Python prints them."""
    return TOOL_NAME in text and "VALUE0" in text and '\\"VALUE0' not in text and "'key': 'VALUE0'" not in text


def _reasoning(probe: _Probe) -> tuple[str | None, ReasoningKept, tuple[str, str]]:
    for key in (*KEYS, "inline"):
        if _shows_thought(probe, key):
            return key, _kept(probe, key), _tags(probe, key)
    return None, "never", TAGS


def _shows_thought(probe: _Probe, key: str) -> bool:
    """Whether a last answer's reasoning comes through, be it an answer in words or, as some have it, calls alone."""
    if probe.shows("THOUGHT0", _said("user", "QUESTION"), _thinking(0, key)):
        return probe.shows("ANSWER0", _said("user", "QUESTION"), _thinking(0, key))
    if key == "inline":
        return False
    call = {"type": "function", "function": {"name": TOOL_NAME, "arguments": {"key": "VALUE0"}}}
    thinking = {**_thinking(0, key), "content": "", "tool_calls": [call]}
    return probe.shows("THOUGHT0", _said("user", "QUESTION"), thinking, tools=TOOLS)


def _thinking(number: int, key: str) -> Message:
    answer = {"role": "assistant", "content": f"ANSWER{number}", "reasoning_content": f"THOUGHT{number}"}
    return placed(answer, key)


def _kept(probe: _Probe, key: str) -> ReasoningKept:
    turns = (_said("user", "QUESTION"), _thinking(0, key), _said("user", "MORE"), _thinking(1, key))
    return "every turn" if probe.shows("THOUGHT0", *turns) else "last turn"


def _tags(probe: _Probe, key: str) -> tuple[str, str]:
    """What stands directly before and behind a thought: the last mark in front of it, the first one behind it."""
    found = probe.trace(_said("user", "QUESTION"), _thinking(0, key))
    before, thought, rest = _text(found, 1).partition("THOUGHT0") if found else ("", "", "")
    between = rest.partition("ANSWER0")[0]
    opening, closing = _MARK.findall(before), _MARK.findall(between)
    return (opening[-1], closing[0]) if thought and opening and closing else TAGS


def _has_empty(turn: str, tags: tuple[str, str]) -> bool:
    return empty_block(*tags).search(turn) is not None


def _opening(probe: _Probe) -> str:
    asked, not_asked = probe.trace(_said("user", "Q"), ask=True), probe.trace(_said("user", "Q"))
    if asked is None or not_asked is None or not asked.text.startswith(not_asked.text):
        return ""
    return asked.text[len(not_asked.text) :]


def _text(trace: Trace, turn: int) -> str:
    return "".join(trace.text[start:end] for start, end in trace.of(turn))


def _said(role: str, content: str) -> Message:
    return {"role": role, "content": content}
