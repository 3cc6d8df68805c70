"""From an example to the text that the model reads and the stretches of it that are learnt. One code for the check
and for the run, without torch and transformers.

    marker = Marker(template, end_tokens={"<|im_end|>"}, loss_on="assistant")
    rendered = marker.mark(example)        # raises RowError, or Unproven with what is in the way
    rendered.text, rendered.spans

No answer is ever looked for by its words: a stretch is what the template wrote while it was at that message, less
what a server writes in front of an answer, up to the token that ends it. Each row is then proven, see `proof`.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Collection, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec

from trainers.examples.card import TOOL_NAME, TOOLS, Card, as_parts, read_card
from trainers.examples.example import Example, RowError
from trainers.examples.frames import header_of, learnt_part, with_empty_reasoning
from trainers.examples.needs import require_last_reasoning, require_shown, require_whole_reasoning
from trainers.examples.placeholders import by_blocks, by_words, carried, is_traced
from trainers.examples.proof import Unproven, Word, is_inside, places, replaced, touches
from trainers.examples.reasoning import TAGS, apart, placed, written_out
from trainers.examples.slots import SLOT, without_slots
from trainers.examples.slots import as_parts as with_pictures
from trainers.examples.template import ChatTemplate, Message, Trace
from trainers.examples.toolcalls import read_tools, tidied, with_arguments, with_ids
from trainers.language import tr
from trainers.plan import LeaveOut, LossOn

SHAPES_KEPT = 4096

Span = tuple[int, int]


class Answer(msgspec.Struct, frozen=True):
    """One assistant message that is learnt: its place among the messages, and its stretches of the text."""

    place: int
    spans: tuple[Span, ...]
    calls: tuple[Message, ...] = ()
    """The tools that it calls, with the arguments as they are learnt."""
    has_reasoning: bool = False


class Rendered(msgspec.Struct, frozen=True):
    """The text of an example and the stretches of it, in characters, that are learnt."""

    text: str
    spans: tuple[Span, ...]
    is_plain: bool = False
    """Text of the data itself, no conversation."""
    needs_bos: bool = False
    """Whether the tokenizer has to put its own tokens around the text: templates write theirs."""
    answers: tuple[Answer, ...] = ()
    """The assistant messages that are learnt."""
    shown: tuple[int, ...] = ()
    """Places of those that are only shown: excluded by the data or the loss, or without the reasoning they had."""
    without_reasoning: tuple[int, ...] = ()
    """Those whose reasoning the template drops, because they are not the last. They are among `shown`, but where the
    loss is on everything they are learnt without it."""

    def words(self, answer: Answer) -> str:
        """What is learnt of one answer."""
        return "".join(self.text[start:end] for start, end in answer.spans)


class _Turn(NamedTuple):
    """How a template frames one answer."""

    header: str
    """Written in front of it, and not learnt."""
    closing: str
    """Written behind its last word."""
    learnt_closing: int
    """Characters of the closing that are learnt."""
    drops_reasoning: bool


class _Shape(NamedTuple):
    trace: Trace
    """Of the unique words."""
    stretches: tuple[int, ...]
    """The turn of each stretch of text, in order."""
    turns: dict[int, _Turn]


class Marker:
    """Marks examples for one template.

    `picture_mark`: what the template writes where a picture stands, for a model that sees it. Without one pictures
    are left out, and the words alone are read.
    """

    def __init__(
        self,
        template: ChatTemplate,
        end_tokens: Collection[str] = (),
        loss_on: LossOn = "assistant",
        leave_out: Collection[LeaveOut] = (),
        picture_mark: str = "",
    ) -> None:
        self.template, self.loss_on, self.leave_out = template, loss_on, frozenset(leave_out)
        self.picture_mark = picture_mark
        self.end_tokens = tuple(sorted((token for token in end_tokens if token), key=len, reverse=True))
        self._shapes: OrderedDict[str, _Shape | RowError] = OrderedDict()

    @property
    def card(self) -> Card:
        """What the template shows. Raises RowError when it cannot even show a question and an answer."""
        if isinstance(self._card, RowError):
            raise self._card
        return self._card

    @cached_property
    def _card(self) -> Card | RowError:
        try:
            return read_card(self.template)
        except RowError as error:
            return error

    def mark(self, example: Example) -> Rendered:
        """Text and spans, proven. Raises RowError when the template refuses the example, Unproven otherwise."""
        if not example.messages:
            return self._plain(example.text)
        tools = None if "tools" in self.leave_out else read_tools(example.tools)
        pictures = len(example.images) if self.picture_mark else 0
        said = example.messages if pictures or not example.images else without_slots(example.messages)
        messages, folded = self._normal(tidied(said, tools))
        unlearnt = frozenset(place - folded for place in example.unlearnt)
        require_shown(self.card, messages, tools)
        trace = self.template.render(self._ready(messages, sees=bool(pictures)), tools)
        if pictures and (shown := trace.text.count(self.picture_mark)) != pictures:
            raise Unproven(
                "template",
                tr(
                    "the chat template shows {shown} pictures of {pictures}, or the words hold its mark {mark}",
                    shown=shown,
                    pictures=pictures,
                    mark=self.picture_mark,
                ),
            )
        words_in, words = replaced(messages)
        shape = self._shape(words_in, words, bool(tools), sees=bool(pictures))
        places = _places(messages)
        if not is_traced(trace, messages):
            trace = by_blocks(trace, places) or carried(shape.trace, words, trace.text)
        wanted = [
            place for place in (places[-1:] if self.loss_on == "completion" else places) if place not in unlearnt
        ]
        bare = [place for place in wanted if shape.turns[place].drops_reasoning]
        require_last_reasoning(messages, bare)
        if self.loss_on != "all":
            wanted = [place for place in wanted if place not in bare]
        marked = self._answers(trace, messages, shape, places if self.loss_on == "all" else wanted)
        learnt = [answer for answer in marked if answer.place in wanted]
        excluded = [span for answer in marked if answer.place not in wanted for span in answer.spans]
        return Rendered(
            trace.text,
            tuple(_less(len(trace.text), excluded) if self.loss_on == "all" else _spans(learnt)),
            answers=tuple(msgspec.structs.replace(answer, place=answer.place + folded) for answer in learnt),
            shown=tuple(place + folded for place in places if place not in wanted),
            without_reasoning=tuple(place + folded for place in bare),
        )

    def _plain(self, text: str) -> Rendered:
        """Text of the data, less a start token that it brings itself where the tokenizer puts one."""
        bos = self.template.tokens.get("bos_token")
        if bos and text.startswith(bos):
            return Rendered(text, ((len(bos), len(text)),), is_plain=True)
        return Rendered(text, ((0, len(text)),), is_plain=True, needs_bos=True)

    def opening(self, messages: Sequence[Message], tools: Any = None) -> str:
        """The conversation with the opening of an answer behind it, as a server writes it."""
        tools = read_tools(tools)
        said = messages if self.picture_mark else without_slots(messages)
        ready = self._ready(self._normal(tidied(said, tools))[0], sees=bool(self.picture_mark))
        return self.template.render(ready, tools, ask=True).text

    def _normal(self, messages: Sequence[Message]) -> tuple[list[Message], int]:
        """Messages with reasoning apart, and how many were folded into the next."""
        require_whole_reasoning(messages)
        stays = "reasoning" not in self.leave_out and self.card.reasoning_key == "inline"
        normal = [written_out(message) if stays else apart(message) for message in messages]
        if "reasoning" in self.leave_out:
            normal = [placed(message, None) for message in normal]
        if "words" in self.leave_out:
            normal = [{**message, "content": ""} if message.get("tool_calls") else message for message in normal]
        if self.card.system == "folded" and len(normal) > 1 and normal[0]["role"] == "system":
            if normal[1]["role"] != "user":
                raise Unproven(
                    "system", tr("the chat template knows no system message, and no question follows this one")
                )
            joined = f"{normal[0]['content']}\n\n{normal[1]['content']}"
            return [{**normal[1], "content": joined}, *normal[2:]], 1
        return normal, 0

    def _ready(self, messages: Sequence[Message], *, sees: bool = False) -> list[Message]:
        """Messages in the form that the template reads, each a new object; `sees`: slots become pictures."""
        card = self.card
        ready = [with_arguments(placed(message, card.reasoning_key), card.arguments) for message in messages]
        ready = with_ids(ready, card.ids)
        made = [as_parts(message) if card.takes_parts else dict(message) for message in ready]
        for message, plain in zip(made, ready, strict=True):
            if sees and SLOT in plain["content"]:
                message["content"] = with_pictures(plain["content"])
        return made

    def _answers(
        self, trace: Trace, messages: Sequence[Message], shape: _Shape, learnt: Sequence[int]
    ) -> list[Answer]:
        if _stretches(trace) != shape.stretches:
            raise Unproven("template", tr("the chat template treats this text differently from other texts"))
        answers = []
        for place in learnt:
            own = _framed(trace, place, shape.turns[place], self.end_tokens)
            said = messages[place]["content"]
            if said.strip() and not _holds([trace.text[start:end] for start, end in own], said):
                raise Unproven(
                    "template", tr("the chat template changes the words of message {place}", place=place + 1)
                )
            has_thought = bool(messages[place].get("reasoning_content")) or TAGS[1] in said
            thinks = has_thought and not shape.turns[place].drops_reasoning
            answers.append(Answer(place, tuple(own), tuple(messages[place].get("tool_calls", ())), thinks))
        return answers

    def _shape(self, words_in: list[Message], words: list[Word], has_tools: bool, *, sees: bool) -> _Shape:
        key = json.dumps([words_in, has_tools, sees])
        found = self._shapes.get(key)
        if found is None:
            try:
                found = self._prove(words_in, words, TOOLS if has_tools else None, sees=sees)
            except RowError as error:
                found = error
            self._shapes[key] = found
            if len(self._shapes) > SHAPES_KEPT:
                self._shapes.popitem(last=False)
        if isinstance(found, RowError):
            raise found
        return found

    def _prove(self, messages: list[Message], words: list[Word], tools: Any, *, sees: bool) -> _Shape:
        ready = self._ready(messages, sees=sees)
        trace = self.template.render(ready, tools)
        if tools and TOOL_NAME not in trace.text:
            raise Unproven("tools", tr("the chat template does not show the tools that may be called"))
        answers = _places(messages)
        if not is_traced(trace, messages):
            trace = by_blocks(trace, answers) or by_words(trace, words, answers, self.card.opening, self.end_tokens)
        turns = {place: self._frame(trace, ready, tools, place, words) for place in answers}
        shape = _Shape(trace, _stretches(trace), turns)
        self._check(messages, words, shape)
        return shape

    def _frame(self, trace: Trace, ready: list[Message], tools: Any, place: int, words: Sequence[Word]) -> _Turn:
        stretches = trace.of(place)
        if not stretches:  # its words stand in a turn of somebody else
            raise Unproven(
                "template", tr("the chat template writes nothing for the answer in message {place}", place=place + 1)
            )
        own = [word.text for word in words if word.place == place]
        thoughts = [word.text for word in words if word.place == place and word.kind == "reasoning_content"]
        first, last = trace.text[slice(*stretches[0])], trace.text[slice(*stretches[-1])]
        said = min((first.find(word) for word in own if word in first), default=len(first))
        header = header_of(first[:said], self._asked(trace, ready, tools, place), self.card)
        drops = bool(thoughts) and not any(word in trace.text for word in thoughts)
        if not thoughts or drops:
            header = with_empty_reasoning(first[:said], header, self.card)
        behind_header = len(header) if len(stretches) == 1 else 0
        behind = max((last.rfind(word) + len(word) for word in own if word in last), default=behind_header)
        closing = last[behind:]
        return _Turn(header, closing, learnt_part(closing, self.end_tokens), drops)

    def _asked(self, trace: Trace, ready: list[Message], tools: Any, place: int) -> str:
        """What a server would put in front of this answer."""
        start = trace.of(place)[0][0]
        try:
            asked = self.template.render(ready[:place], tools, ask=True).text
            if asked.startswith(trace.text[:start]):
                return asked[start:]
            before = self.template.render(ready[:place], tools).text
        except RowError:
            return self.card.opening
        return asked[len(before) :] if asked.startswith(before) else self.card.opening

    def _check(self, messages: Sequence[Message], words: Sequence[Word], shape: _Shape) -> None:
        """Raises Unproven unless every word is where the policy wants it."""
        text = shape.trace.text
        spans = {place: _framed(shape.trace, place, turn, self.end_tokens) for place, turn in shape.turns.items()}
        earlier = sorted(shape.turns)[:-1]
        for word in words:
            found = [(start, start + len(word.text)) for start in places(text, word.text)]
            others = [span for place, own in spans.items() if place != word.place for span in own]
            role = messages[word.place]["role"]
            if any(touches(*one, others) for one in found):
                raise Unproven(
                    "template", tr("the chat template writes words of the {role} into an answer", role=role)
                )
            if word.kind == "reasoning_content" and not found and word.place in earlier:
                continue
            if not (found if role != "assistant" else any(is_inside(*one, spans[word.place]) for one in found)):
                raise _not_shown(role, word.kind, word.place)
        for place, message in enumerate(messages):
            for call in message.get("tool_calls", ()):
                name = call["function"]["name"]
                if not any(name in text[start:end] for start, end in spans[place]):
                    raise _not_shown("assistant", "tool_calls", place)


def _framed(trace: Trace, place: int, turn: _Turn, end_tokens: Sequence[str]) -> list[Span]:
    """The spans of one answer in a trace. Raises Unproven when the text is not framed as its shape is."""
    stretches = trace.of(place)
    first, last = trace.text[slice(*stretches[0])], trace.text[slice(*stretches[-1])]
    if not first.startswith(turn.header) or not last.endswith(turn.closing):
        raise Unproven(
            "template", tr("the chat template writes message {place} in an unexpected way", place=place + 1)
        )
    stretches[0] = (stretches[0][0] + len(turn.header), stretches[0][1])
    start, end = stretches[-1]
    end -= len(turn.closing) - turn.learnt_closing
    if not any(token in turn.closing for token in end_tokens):
        # Some families end an answer with the token that opens the next turn.
        end += next((len(token) for token in end_tokens if trace.text.startswith(token, end)), 0)
    stretches[-1] = (start, end)
    return [(start, end) for start, end in stretches if end > start]


def _stretches(trace: Trace) -> tuple[int, ...]:
    turns: list[int] = []
    for piece in trace.pieces:
        if piece.end > piece.start and (not turns or turns[-1] != piece.turn):
            turns.append(piece.turn)
    return tuple(turns)


def _spans(answers: Sequence[Answer]) -> list[Span]:
    return [span for answer in answers for span in answer.spans]


def _less(size: int, excluded: Sequence[Span]) -> list[Span]:
    """What is left of a text of `size` characters without the spans, which are in order."""
    bounds = [(0, 0), *excluded, (size, size)]
    return [(end, start) for (_, end), (start, _) in pairwise(bounds) if start > end]


def _places(messages: Sequence[Message]) -> list[int]:
    return [place for place, message in enumerate(messages) if message["role"] == "assistant"]


def _holds(learnt: Sequence[str], said: str) -> bool:
    """Whether an answer stands in what is learnt, however its whitespace was changed."""
    whole = "".join(learnt)
    return said.strip() in whole or "".join(said.split()) in "".join(whole.split())


def _not_shown(role: str, kind: str, place: int) -> Unproven:
    what, named = {
        ("assistant", "tool_calls"): ("calls", tr("a tool call")),
        ("assistant", "reasoning_content"): ("reasoning", tr("the reasoning")),
        ("tool", "content"): ("results", tr("what a tool returned")),
        ("system", "content"): ("system", tr("the system message")),
        ("assistant", "content"): ("words", tr("the words")),
    }.get((role, kind), ("template", "the words"))
    return Unproven(
        what, tr("the chat template does not show {named} of message {place}", named=named, place=place + 1)
    )
