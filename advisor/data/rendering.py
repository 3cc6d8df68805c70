"""A conversation as the text that the model sees, by its own chat template, and which part of it is the answer.

Rendered like transformers does (Jinja in an immutable sandbox, `raise_exception`, `strftime_now`, `tojson`,
`{% generation %}` passed through), without transformers.
"""

from __future__ import annotations

import datetime
import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from advisor.data.formats import Example, RowError
from advisor.model.folder import chat_template, read_json_object
from advisor.model.spec import ModelSpec
from trainers.plan import LossOn

if TYPE_CHECKING:
    from jinja2 import Template
    from tokenizers import Tokenizer

# For base models without a template; the training process uses the same (trainers/templates/chatml.jinja).
CHATML = """\
{%- for message in messages %}
    {{- '<|im_start|>' + message['role'] + '\\n' + (message['content'] or '') + eos_token + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}"""


class Rendered(msgspec.Struct, frozen=True):
    """The text of an example and the character spans that are trained on."""

    text: str
    spans: tuple[tuple[int, int], ...]
    is_plain: bool = False


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """How a model reads: its tokenizer file, template, and special tokens."""

    tokenizer_path: Path
    template: str | None
    eos_token: str | None
    bos_token: str | None
    pad_token: str | None
    end_ids: frozenset[int]
    """Tokens that stop generation, as generation_config.json and config.json name them."""


def read_dialect(model: ModelSpec | None) -> Dialect | None:
    """The dialect of a model whose tokenizer.json is at hand, else None. Raises InputError for damaged files."""
    if model is None or not model.tokenizer_path:
        return None
    path = Path(model.tokenizer_path)
    folder = path.parent
    settings = (
        read_json_object(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    )
    special = folder / "special_tokens_map.json"
    named = {**(read_json_object(special) if special.is_file() else {}), **settings}
    return Dialect(
        tokenizer_path=path,
        template=chat_template(folder),
        eos_token=_token(named.get("eos_token")),
        bos_token=_token(named.get("bos_token")),
        pad_token=_token(named.get("pad_token")),
        end_ids=_generation_ends(folder),
    )


class Renderer:
    """Renders examples in one model's dialect, and marks what the loss looks at."""

    def __init__(self, dialect: Dialect | None, loss_on: LossOn = "assistant") -> None:
        self.dialect, self.loss_on = dialect, loss_on

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The model's own tokenizer. Raises InputError when its file is damaged."""
        from tokenizers import Tokenizer

        assert self.dialect is not None
        path = self.dialect.tokenizer_path
        try:
            return Tokenizer.from_file(str(path))
        except Exception as error:
            # The Rust side raises bare Exception for a file that it cannot parse.
            from advisor.errors import InputError, Problem

            fix = "Download the model's tokenizer files again."
            what = f"{path} is not a tokenizer that can be read"
            raise InputError(Problem(what=what, why=str(error), fix=fix, where="--model")) from error

    @cached_property
    def template(self) -> Template:
        """The chat template, or ChatML when the model brings none. Raises RowError when it is not valid Jinja."""
        from jinja2 import TemplateSyntaxError

        source = (self.dialect.template if self.dialect else None) or CHATML
        try:
            template: Template = _environment().from_string(source)
            return template
        except TemplateSyntaxError as error:
            raise RowError(f"the chat template is not valid Jinja: {error}") from error

    @cached_property
    def end_ids(self) -> frozenset[int]:
        """Ids of the tokens that stop generation."""
        found = {self.tokenizer.token_to_id(token) for token in self.end_tokens}
        return frozenset(one for one in found if one is not None)

    def render(self, example: Example) -> Rendered:
        """Text and answer spans. Raises RowError when the template refuses the example or renders nothing."""
        if not example.messages:
            return Rendered(example.text, ((0, len(example.text)),), True)
        messages = list(example.messages)
        text = self.text(messages, example.tools)
        if self.loss_on == "all":
            return Rendered(text, ((0, len(text)),))
        places = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
        spans: list[tuple[int, int]] = []
        for index in places[-1:] if self.loss_on == "completion" else places:
            span = self._answer(messages, example.tools, index, text, spans[-1][1] if spans else 0)
            if span:
                spans.append(span)
        return Rendered(text, tuple(spans))

    def text(self, messages: list[dict[str, Any]], tools: Any = None, ask: bool = False) -> str:
        """The conversation as text; `ask` adds the opening of an answer."""
        try:
            text = self._apply(messages, tools, ask)
        except RowError:
            folded = _without_system(messages)
            if folded is messages:
                raise
            text = self._apply(folded, tools, ask)
        if not text.strip():
            raise RowError("the chat template renders it as empty text")
        return text

    def _apply(self, messages: list[dict[str, Any]], tools: Any, ask: bool) -> str:
        from jinja2 import TemplateError

        eos = self.dialect.eos_token if self.dialect else None
        bos = self.dialect.bos_token if self.dialect else None
        try:
            return self.template.render(
                messages=messages,
                tools=tools,
                documents=None,
                add_generation_prompt=ask,
                eos_token=eos or "",
                bos_token=bos or "",
            )
        except (TemplateError, TypeError, KeyError, ValueError, AttributeError) as error:
            raise RowError(f"the chat template refuses it: {error}") from error

    def _answer(
        self, messages: list[dict[str, Any]], tools: Any, index: int, text: str, after: int
    ) -> tuple[int, int] | None:
        """Span of one answer with what ends it: by rendering up to it, else by finding its words."""
        before = self.text(messages[:index], tools, ask=True) if index else ""
        until = self.text(messages[: index + 1], tools) if index + 1 < len(messages) else text
        if before and text.startswith(before) and text.startswith(until) and len(until) > len(before):
            return len(before), self._end_of_turn(text, len(before), len(until))
        said = messages[index]["content"].strip().rsplit("</think>", 1)[-1].strip()
        start = text.find(said, after) if said else -1
        if start < 0:
            return None
        end = start + len(said)
        rest = text[end:].lstrip()
        token = next((token for token in self.end_tokens if rest.startswith(token)), None)
        return start, len(text) - len(rest) + len(token) if token else end

    def _end_of_turn(self, text: str, start: int, end: int) -> int:
        found = [text.rfind(token, start, end) + len(token) for token in self.end_tokens if token in text[start:end]]
        last = max(found, default=0)
        return last if last and not text[last:end].strip() else end

    @cached_property
    def end_tokens(self) -> frozenset[str]:
        """Texts of the tokens that stop generation; empty when the tokenizer is not at hand."""
        if self.dialect is None:
            return frozenset()
        named = {self.tokenizer.id_to_token(one) for one in self.dialect.end_ids} | {self.dialect.eos_token}
        return frozenset(token for token in named if token)


def _environment() -> Any:
    import jinja2
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """Lets {% generation %} blocks through as if the markers were not there."""

        tags = {"generation"}

        def parse(self, parser: Any) -> Any:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def refuse(message: str) -> None:
        raise jinja2.TemplateError(message)

    def tojson(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, **options)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda layout: datetime.datetime.now().strftime(layout)
    return environment


def _token(value: Any) -> str | None:
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) and value else None


def _generation_ends(folder: Path) -> frozenset[int]:
    ids: set[int] = set()
    for name in ("generation_config.json", "config.json"):
        if (folder / name).is_file():
            stated = read_json_object(folder / name).get("eos_token_id")
            ids |= {one for one in (stated if isinstance(stated, list) else [stated]) if isinstance(one, int)}
    return frozenset(ids)


def _without_system(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The system message put before the first user message, for templates that know no system role."""
    if len(messages) < 2 or messages[0]["role"] != "system" or messages[1]["role"] != "user":
        return messages
    joined = f"{messages[0]['content']}\n\n{messages[1]['content']}"
    return [{**messages[1], "content": joined}, *messages[2:]]
