"""From a conversation to token ids and labels, with the model's own chat template.

The assistant's text is found by rendering the conversation up to each answer and comparing: it needs no
`{% generation %}` markers, so it works for templates that no library has a training variant of. Labels are -100
where nothing is learnt. The token that ends an answer is always learnt; whitespace that the template puts behind it
is not.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from jinja2 import TemplateError

from trainers.conversations import Example, RowError
from trainers.plan import LossOn

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100
CHATML = Path(__file__).with_name("templates") / "chatml.jinja"

PAD_CANDIDATES = (
    "<|finetune_right_pad_id|>",
    "<|pad|>",
    "<pad>",
    "[PAD]",
    "<|endoftext|>",
    "<|vision_pad|>",
    "<|reserved_special_token_0|>",
    "<unk>",
)
"""Tokens that published tokenizers set aside, best first; none is ever part of an answer."""


class Encoded(msgspec.Struct, frozen=True):
    """One example ready to train on, before truncation; both lists have the same length."""

    input_ids: list[int]
    labels: list[int]
    ends: bool
    """True when a token that stops generation is among the labels."""

    @property
    def supervised(self) -> int:
        """Tokens that the loss looks at."""
        return sum(label != IGNORED for label in self.labels)


class Renderer:
    """Renders and tokenises examples for one tokenizer; see `encode`."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, end_tokens: set[str], loss_on: LossOn) -> None:
        self.tokenizer = tokenizer
        self.end_tokens = end_tokens
        self.end_ids = set(tokenizer.convert_tokens_to_ids(sorted(end_tokens)))
        self.loss_on = loss_on

    def encode(self, example: Example) -> Encoded:
        """Token ids and labels. Raises RowError when the template refuses the conversation or renders nothing."""
        if "text" in example:
            text = example["text"]
            spans = [(0, len(text))]
        else:
            text = self.render(example["messages"], example.get("tools"))
            spans = [(0, len(text))] if self.loss_on == "all" else self._answers(example, text)
        # Chat templates write their own beginning-of-sequence token; plain text gets the tokenizer's.
        coded = self.tokenizer(text, add_special_tokens="text" in example, return_offsets_mapping=True)
        return self._label(coded["input_ids"], coded["offset_mapping"], spans)

    def _label(self, ids: list[int], offsets: list[tuple[int, int]], spans: list[tuple[int, int]]) -> Encoded:
        labels = [IGNORED] * len(ids)
        upcoming = iter(spans)
        span = next(upcoming, None)
        for index, (start, end) in enumerate(offsets):
            while span and start >= span[1]:
                span = next(upcoming, None)
            if span and start >= span[0] and end > start:
                labels[index] = ids[index]
        # Some templates write a line break behind the end token, hence the last few.
        learnt = [label for label in labels if label != IGNORED]
        ends = any(label in self.end_ids for label in learnt[-3:])
        if learnt and not ends and self.tokenizer.eos_token_id is not None:
            # Plain text and templates without an end token: without this the model would never learn to stop.
            ids, labels, ends = [*ids, self.tokenizer.eos_token_id], [*labels, self.tokenizer.eos_token_id], True
        return Encoded(list(ids), labels, ends)

    def render(self, messages: list[dict[str, Any]], tools: Any = None, *, ask: bool = False) -> str:
        """The conversation as text; `ask` adds the opening of an answer, for generation."""
        try:
            text = self._apply(messages, tools, ask)
        except TemplateError as refusal:
            folded = _without_system(messages)
            if folded is messages:
                raise RowError(f"the chat template refuses it: {refusal}") from refusal
            try:
                text = self._apply(folded, tools, ask)
            except TemplateError as error:
                raise RowError(f"the chat template refuses it: {error}") from error
        if not text.strip():
            raise RowError("the chat template renders it as empty text")
        return text

    def _apply(self, messages: list[dict[str, Any]], tools: Any, ask: bool) -> str:
        return str(
            self.tokenizer.apply_chat_template(messages, tools=tools, tokenize=False, add_generation_prompt=ask)
        )

    def _answers(self, example: Example, text: str) -> list[tuple[int, int]]:
        messages, tools = example["messages"], example.get("tools")
        places = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
        if self.loss_on == "completion":
            places = places[-1:]
        spans: list[tuple[int, int]] = []
        for index in places:
            span = self._answer(messages, tools, index, text, spans[-1][1] if spans else 0)
            if span:
                spans.append(span)
        return spans

    def _answer(
        self, messages: list[dict[str, Any]], tools: Any, index: int, text: str, after: int
    ) -> tuple[int, int] | None:
        """Character span of one answer with the token that ends it; None when the template leaves it out."""
        before = self.render(messages[:index], tools, ask=True) if index else ""
        until = self.render(messages[: index + 1], tools) if index + 1 < len(messages) else text
        if before and text.startswith(before) and text.startswith(until) and len(until) > len(before):
            return len(before), self._end_of_turn(text, len(before), len(until))
        # Templates that rewrite earlier turns (Qwen3 drops old reasoning), or an answer that opens the conversation.
        said = messages[index]["content"].strip().rsplit("</think>", 1)[-1].strip()
        start = text.find(said, after) if said else -1
        if start < 0:
            return None
        return start, self._end_after(text, start + len(said))

    def _end_of_turn(self, text: str, start: int, end: int) -> int:
        """The end of the last end token in text[start:end], so that a line break behind it is not learnt."""
        last = max((text.rfind(token, start, end) + len(token) for token in self._found(text, start, end)), default=0)
        return last if last and not text[last:end].strip() else end

    def _end_after(self, text: str, end: int) -> int:
        """`end`, moved behind an end token that follows it directly."""
        rest = text[end:].lstrip()
        token = next((token for token in self.end_tokens if rest.startswith(token)), None)
        return len(text) - len(rest) + len(token) if token else end

    def _found(self, text: str, start: int, end: int) -> list[str]:
        return [token for token in self.end_tokens if text.rfind(token, start, end) >= 0]


def _without_system(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The system message put before the first user message, for templates that know no system role."""
    if len(messages) < 2 or messages[0]["role"] != "system" or messages[1]["role"] != "user":
        return messages
    joined = f"{messages[0]['content']}\n\n{messages[1]['content']}"
    return [{**messages[1], "content": joined}, *messages[2:]]


def prepare_tokenizer(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Give the tokenizer a chat template and a pad token of its own where it lacks them; say what was changed.

    No token is ever added: that would resize the embeddings and make an adapter useless on the plain base model.
    """
    said = []
    if not tokenizer.chat_template:
        tokenizer.chat_template = CHATML.read_text(encoding="utf-8")
        said.append("the model brings no chat template: ChatML turns that end with its own end token are used")
    if tokenizer.pad_token is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        said.append(_choose_pad(tokenizer))
    tokenizer.padding_side = "right"
    return said


def _choose_pad(tokenizer: PreTrainedTokenizerBase) -> str:
    vocabulary = tokenizer.get_vocab()
    pad = next((t for t in PAD_CANDIDATES if t in vocabulary and t != tokenizer.eos_token), None)
    if pad is None:
        tokenizer.pad_token = tokenizer.eos_token
        return "no spare token for padding: the end token pads, and labels are masked by position"
    tokenizer.pad_token = pad
    return f"padding uses {pad}, so that the end token keeps its meaning"


def end_tokens(tokenizer: PreTrainedTokenizerBase, eos_token_id: int | list[int] | None) -> set[str]:
    """Texts of the tokens that stop generation: the tokenizer's and those of the model's generation config."""
    ids = eos_token_id if isinstance(eos_token_id, list) else [eos_token_id]
    found = {tokenizer.convert_ids_to_tokens(i) for i in ids if i is not None} | {tokenizer.eos_token}
    return {token for token in found if token}
