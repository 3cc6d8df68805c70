"""A chat template, run under limits, with every piece of its text traced back to the message it was written for.

No torch and no transformers: the same code renders for the check and for the run. It renders as transformers does
(Jinja in an immutable sandbox, `raise_exception`, `strftime_now`, `tojson`, `{% generation %}`, loop controls).

    trace = ChatTemplate(source, {"eos_token": "<|im_end|>"}).render(messages, tools)
    trace.text                 what the model reads
    trace.pieces               which message each stretch of it was written for

The trace costs no marker in the text: each loop over messages notes the message it is at, and the text is collected
piece by piece as the template writes it.
"""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, TemplateError, nodes
from jinja2 import Template as CompiledTemplate
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from trainers.examples.example import RowError
from trainers.foreign.limits import TEMPLATE_MEAN_SECONDS, TEMPLATE_SECONDS, OutOfTime, bounded_time
from trainers.language import tr

CHATML = Path(__file__).with_name("chatml.jinja")
"""For models that bring no chat template."""

NAMED_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "cls_token", "mask_token")
"""Special tokens that a template may name, less the one for padding, which a run may choose anew."""

NOBODY = -1
"""The turn of text that no message is being written for: the start of a conversation, the opening of an answer."""

GROWTH = 10
"""A template may write this many times the size of what it is given, and `SPARE_CHARACTERS` more."""
SPARE_CHARACTERS = 64 * 1024
STEPS_PER_MESSAGE = 5_000
SPARE_STEPS = 100_000
"""Loop passes that a template may make: published ones need less than a hundred for each message."""

Message = dict[str, Any]


class Piece(NamedTuple):
    """A stretch of rendered text: [start, end) in characters."""

    start: int
    end: int
    turn: int
    """Index of the message it was written for, or NOBODY."""
    is_generated: bool
    """Whether it stands in a `{% generation %}` block."""


class Trace(NamedTuple):
    """A rendered conversation."""

    text: str
    pieces: tuple[Piece, ...]

    def of(self, turn: int) -> list[tuple[int, int]]:
        """The stretches written for one message, joined where they touch."""
        found: list[tuple[int, int]] = []
        for piece in self.pieces:
            if piece.turn != turn or piece.start == piece.end:
                continue
            if found and found[-1][1] == piece.start:
                found[-1] = (found[-1][0], piece.end)
            else:
                found.append((piece.start, piece.end))
        return found


class ChatTemplate:
    """One template with the special tokens that it may name."""

    def __init__(self, source: str, tokens: Mapping[str, str] | None = None) -> None:
        self.source, self.tokens = source, dict(tokens or {})
        self._now = datetime.datetime.now()
        self._seconds_left = TEMPLATE_SECONDS

    @cached_property
    def _compiled(self) -> CompiledTemplate:
        environment = _Sandbox()
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = self._now.strftime
        tree = _Noting(environment).visit(environment.parse(self.source))
        return CompiledTemplate.from_code(environment, environment.compile(tree), environment.globals)

    def render(self, messages: Sequence[Message], tools: Any = None, *, ask: bool = False, **more: Any) -> Trace:
        """The conversation as text; `ask` adds the opening of an answer, and `more` are switches of the template.

        Raises RowError for whatever the template raises, and when it writes nothing or more than the limits allow.
        """
        size = _size(messages) + _size(tools)
        notes = _Notes(messages, SPARE_STEPS + STEPS_PER_MESSAGE * len(messages))
        values = {
            "bos_token": "",
            "eos_token": "",
            **self.tokens,
            **more,
            "messages": list(messages),
            "tools": tools or None,
            "documents": None,
            "add_generation_prompt": ask,
            **notes.callables(),
        }
        try:
            with self._metered():
                trace = _collect(self._compiled, values, notes, GROWTH * size + SPARE_CHARACTERS)
        except RowError:
            raise
        except TemplateError as error:
            raise RowError(tr("the chat template refuses it: {error}", error=error)) from error
        except Exception as error:
            # Foreign code may raise anything, and one row must not end the run.
            reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise RowError(tr("the chat template fails on it: {reason}", reason=reason)) from error
        if not trace.text.strip():
            raise RowError(tr("the chat template renders it as empty text"))
        return trace

    @contextmanager
    def _metered(self) -> Iterator[None]:
        """Bounds the time of one conversation, and of all: what took too long once is not tried on every row."""
        if self._seconds_left <= 0:
            raise RowError(tr("the chat template takes too long, or does not end"))
        began = time.process_time()
        try:
            with bounded_time(TEMPLATE_SECONDS):
                yield
        except OutOfTime as error:
            self._seconds_left = 0.0
            raise RowError(
                tr(
                    "the chat template does not end within {template_seconds:.0f} s",
                    template_seconds=TEMPLATE_SECONDS,
                )
            ) from error
        finally:
            self._seconds_left += TEMPLATE_MEAN_SECONDS - (time.process_time() - began)


def _collect(template: CompiledTemplate, values: dict[str, Any], notes: _Notes, limit: int) -> Trace:
    context = template.new_context(values)
    written: list[str] = []
    pieces: list[Piece] = []
    end = 0
    for text in template.root_render_func(context):
        start, end = end, end + len(text)
        if end > limit:
            raise RowError(tr("the chat template writes more than {limit:,} characters for it", limit=limit))
        written.append(text)
        if pieces and pieces[-1].turn == notes.turn and pieces[-1].is_generated == notes.is_generated:
            pieces[-1] = pieces[-1]._replace(end=end)
        else:
            pieces.append(Piece(start, end, notes.turn, notes.is_generated))
    return Trace("".join(written), tuple(pieces))


class _Notes:
    """Where in the conversation a running template is. Its methods are called from the template's loops."""

    def __init__(self, messages: Sequence[Message], steps: int) -> None:
        self._places = {id(message): index for index, message in enumerate(messages)}
        self._stack = [NOBODY]
        self._steps = steps
        self.is_generated = False

    @property
    def turn(self) -> int:
        return self._stack[-1]

    def callables(self) -> dict[str, Any]:
        return {
            "_enter": self.enter,
            "_leave": self.leave,
            "_at": self.at,
            "_at_index": self.at_index,
            "_generation": self.generation,
            "_join": _join,
        }

    def enter(self) -> None:
        """A loop begins."""
        self._stack.append(self.turn)

    def leave(self) -> None:
        """A loop has ended."""
        self._stack.pop()

    def at(self, *values: Any) -> None:
        """One pass of a loop begins, at these values."""
        self._steps -= 1
        if self._steps < 0:
            raise RowError(tr("the chat template loops without an end"))
        for value in values:
            if isinstance(value, dict) and (place := self._places.get(id(value))) is not None:
                self._stack[-1] = place

    def at_index(self, values: Any, index: Any) -> None:
        """One pass of a loop over places begins."""
        if isinstance(values, list) and isinstance(index, int) and -len(values) <= index < len(values):
            self.at(values[index])

    def generation(self, begins: bool) -> None:
        """A `{% generation %}` block begins or ends."""
        self.is_generated = begins


class _Noting(NodeTransformer):
    """Lets every loop of a template say which message it is at."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment

    def visit_Concat(self, joined: nodes.Concat) -> nodes.Node:  # noqa: N802  named by Jinja
        self.generic_visit(joined)
        return nodes.Call(_name("_join"), joined.nodes, [], None, None)

    def visit_For(self, loop: nodes.For) -> list[nodes.Node]:  # noqa: N802  named by Jinja
        names = [loop.target] if isinstance(loop.target, nodes.Name) else list(loop.target.find_all(nodes.Name))
        said = _call("_at", *(_name(one.name) for one in names))
        indexed = [
            _call("_at_index", _name(sequence), _name(names[0].name))
            for sequence in sorted(_indexed_by(loop, names[0].name) if len(names) == 1 else ())
        ]
        self.generic_visit(loop)
        loop.body = [said, *indexed, *loop.body]
        return [_call("_enter"), loop, _call("_leave")]


def _indexed_by(loop: nodes.For, index: str) -> Iterator[str]:
    """Names of the sequences that a loop's body reads at the loop's own counter."""
    found = set()
    for part in loop.body:
        for item in ([part] if isinstance(part, nodes.Getitem) else []) + list(part.find_all(nodes.Getitem)):
            if (
                isinstance(item.node, nodes.Name)
                and isinstance(item.arg, nodes.Name)
                and item.arg.name == index
                and item.node.name not in found
            ):
                found.add(item.node.name)
                yield item.node.name


def _call(name: str, *arguments: nodes.Expr) -> nodes.ExprStmt:
    return nodes.ExprStmt(nodes.Call(_name(name), list(arguments), [], None, None))


def _name(name: str) -> nodes.Name:
    return nodes.Name(name, "load")


class _Generation(Extension):
    """Lets {% generation %} blocks through, noting that the text inside is the model's."""

    tags = {"generation"}

    def parse(self, parser: Any) -> list[nodes.Node]:
        next(parser.stream)
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return [_call("_generation", nodes.Const(True)), *body, _call("_generation", nodes.Const(False))]


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja as transformers sets it up, with a bound on what one operation may make."""

    intercepted_binops = frozenset({"*", "**", "+", "%"})

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator in ("*", "**"):
            _bound_product(operator, left, right)
        return _bounded(super().call_binop(context, operator, left, right))


LARGEST_VALUE = 64 * 1024 * 1024
"""Characters or items of one value that a template makes on the way."""


def _bound_product(operator: str, left: Any, right: Any) -> None:
    for value, times in ((left, right), (right, left)):
        if isinstance(value, str | list | tuple) and isinstance(times, int) and len(value) * times > LARGEST_VALUE:
            raise RowError(tr("the chat template makes a value that is too large"))
    if operator == "**" and isinstance(left, int) and isinstance(right, int) and right * left.bit_length() > 4096:
        raise RowError(tr("the chat template makes a number that is too large"))


def _join(*values: Any) -> str:
    """What `~` makes, bounded."""
    return str(_bounded("".join(map(str, values))))


def _bounded(value: Any) -> Any:
    if isinstance(value, str | list | tuple) and len(value) > LARGEST_VALUE:
        raise RowError(tr("the chat template makes a value that is too large"))
    if isinstance(value, int) and value.bit_length() > 4096:
        raise RowError(tr("the chat template makes a number that is too large"))
    return value


def _refuse(message: str) -> None:
    raise TemplateError(message)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _size(value: Any) -> int:
    """Characters of all texts in a value, keys too, and one for everything else."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(_size(key) + _size(one) for key, one in value.items())
    if isinstance(value, list | tuple):
        return sum(map(_size, value))
    return 1
