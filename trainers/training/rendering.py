"""The tokenizer's side of an example: token ids and labels of what `trainers.examples` marks.

Labels are -100 where nothing is learnt.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from trainers.examples.example import Example, RowError
from trainers.examples.labels import label
from trainers.examples.spans import Marker, Rendered
from trainers.examples.template import CHATML, NAMED_TOKENS, ChatTemplate
from trainers.plan import LeaveOut, LossOn

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from trainers.training.sight import Sight

IGNORED = -100

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
    pictures: tuple[str, ...] = ()
    """Where the run finds its pictures, in the order of their tokens."""

    @property
    def supervised(self) -> int:
        """Tokens that the loss looks at."""
        return sum(label != IGNORED for label in self.labels)


class Renderer:
    """Renders and tokenises examples for one tokenizer; see `encode`."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        end_tokens: set[str],
        loss_on: LossOn,
        leave_out: Collection[LeaveOut] = (),
        sight: Sight | None = None,
    ) -> None:
        self.tokenizer, self.sight = tokenizer, sight
        self.end_tokens = end_tokens
        self.end_ids = set(tokenizer.convert_tokens_to_ids(sorted(end_tokens)))
        self.loss_on, self.leave_out = loss_on, leave_out

    @cached_property
    def marker(self) -> Marker:
        """What finds the answers in the model's own template. Raises RowError without a template."""
        source = self.tokenizer.chat_template
        if isinstance(source, dict):
            source = source.get("default") or next(iter(source.values()), None)
        if not source:
            raise RowError("the tokenizer has no chat template")
        found = {name: getattr(self.tokenizer, name, None) for name in NAMED_TOKENS}
        named = {name: str(token) for name, token in found.items() if token}
        mark = self.sight.mark if self.sight else ""
        return Marker(ChatTemplate(source, named), self.end_tokens, self.loss_on, self.leave_out, mark)

    def encode(self, example: Example) -> Encoded:
        """Token ids and labels. Raises RowError when the template refuses the conversation or nothing is proven."""
        return self.tokenise(self.marker.mark(example))

    def tokenise(self, rendered: Rendered) -> Encoded:
        """Token ids and labels of a marked text. Raises RowError when an answer has no token."""
        coded = self.tokenizer(rendered.text, add_special_tokens=rendered.needs_bos, return_offsets_mapping=True)
        found = label(
            rendered, coded["input_ids"], coded["offset_mapping"], self.end_ids, self.tokenizer.eos_token_id
        )
        labels = [IGNORED] * len(found.ids)
        for index in found.learnt:
            labels[index] = found.ids[index]
        return Encoded(found.ids, labels, found.ends)

    def opening(self, messages: Sequence[dict[str, Any]], tools: Any = None) -> str:
        """The conversation with the opening of an answer behind it, for generation."""
        return self.marker.opening(messages, tools)


def prepare_tokenizer(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Give the tokenizer a chat template and a pad token of its own where it lacks them; say what was changed.

    No token is ever added: that would resize the embeddings and make an adapter useless on the plain base model.
    """
    notes = []
    if not tokenizer.chat_template:
        tokenizer.chat_template = CHATML.read_text(encoding="utf-8")
        notes.append("the model brings no chat template: ChatML turns that end with its own end token are used")
    if tokenizer.pad_token is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        notes.append(_choose_pad(tokenizer))
    tokenizer.padding_side = "right"
    return notes


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
