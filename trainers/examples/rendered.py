"""Plain text that is a chat, rendered by some model's template or written out with names: the messages in it.

Text rows are learnt whole, the words of the user too, and marks of another family are ordinary letters to a model. As
messages the same chat is written in the model's own template and only the answers are learnt.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from trainers.examples.reasoning import TAGS
from trainers.examples.speakers import turns_spoken

Message = dict[str, Any]


class Dialect(NamedTuple):
    """How one family marks turns: what opens a turn, with the speaker's name in a group, and what ends it."""

    family: str
    opening: re.Pattern[str]
    ends: tuple[str, ...]
    preface: int = 0
    """Characters of a system message that may stand before the first mark of a turn; what quotes a chat later on
    is none."""


PREFACE = 1000
_ROLES = {
    "user": "user",
    "human": "user",
    "prompter": "user",
    "instruction": "user",
    "inst": "user",
    "assistant": "assistant",
    "model": "assistant",
    "ai": "assistant",
    "gpt": "assistant",
    "bot": "assistant",
    "response": "assistant",
    "chatbot": "assistant",
    "/inst": "assistant",
    "system": "system",
    "developer": "system",
    "sys": "system",
    "tool": "tool",
    "ipython": "tool",
    "observation": "tool",
}


def _opening(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


_CLOSING_TAGS = ("</user>", "</human>", "</assistant>", "</bot>", "</system>")

DIALECTS: tuple[Dialect, ...] = (
    Dialect("ChatML (Qwen, Yi, SmolLM)", _opening(r"<\|im_start\|>(\w+)\n"), ("<|im_end|>",)),
    Dialect("Llama 3", _opening(r"<\|start_header_id\|>(\w+)<\|end_header_id\|>\n*"), ("<|eot_id|>", "<|eom_id|>")),
    Dialect("Gemma", _opening(r"<start_of_turn>(\w+)\n"), ("<end_of_turn>",)),
    Dialect("Gemma 4", _opening(r"<\|turn>(\w+)\n"), ("<turn|>",)),
    Dialect(
        "Phi and Zephyr", _opening(r"<\|(user|prompter|assistant|system)\|>\n?"), ("<|end|>", "</s>", "<|endoftext|>")
    ),
    Dialect("DeepSeek", _opening(r"<｜(User|Assistant)｜>(?:</think>)?"), ("<｜end▁of▁sentence｜>",), 16 * PREFACE),
    Dialect("EXAONE", _opening(r"\[\|(user|assistant|system)\|\]"), ("[|endofturn|]",)),
    Dialect("Baize", _opening(r"\[\|(human|ai|user|assistant)\|\]"), (), PREFACE),
    Dialect(
        "Cohere",
        _opening(r"<\|START_OF_TURN_TOKEN\|><\|(USER|CHATBOT|SYSTEM)_TOKEN\|>(?:<\|START_RESPONSE\|>)?"),
        ("<|END_OF_TURN_TOKEN|>", "<|END_RESPONSE|>"),
    ),
    Dialect("Granite", _opening(r"<\|start_of_role\|>(\w+)<\|end_of_role\|>"), ("<|end_of_text|>",)),
    Dialect(
        "gpt-oss",
        _opening(r"<\|start\|>(\w+)[^<]*(?:<\|channel\|>\w+)?<\|message\|>"),
        ("<|end|>", "<|return|>", "<|call|>", "<|eot|>"),
    ),
    Dialect("Kimi", _opening(r"<\|im_(user|assistant|system)\|>[^<]*<\|im_middle\|>"), ("<|im_end|>",)),
    Dialect("Llama 2 and Mistral", _opening(r"\[(/?INST)\] ?"), ("</s>",)),
    Dialect(
        "Alpaca",
        _opening(r"(?:^|(?<=[\n>]))### (Instruction|Response):\n"),
        ("</s>", "<|endoftext|>", "<|eot_id|>"),
        PREFACE,
    ),
    Dialect("OpenChat", _opening(r"GPT4 (?:Correct )?(User|Assistant): ?"), ("<|end_of_turn|>",)),
    Dialect("Vicuna", _opening(r"(?:^|(?<=[\s>]))((?-i:USER|ASSISTANT)): "), ("</s>", "<end_of_utterance>"), PREFACE),
    Dialect(
        "SmolVLM",
        _opening(r"(?:^|(?<=[\s>]))(User|Assistant): ?(?=.*<end_of_utterance>)"),
        ("<end_of_utterance>",),
        PREFACE,
    ),
    Dialect("tags", _opening(r"<(user|human|assistant|bot|system)>"), _CLOSING_TAGS),
)
"""The families whose rendered chats are met as training text, those with unmistakable marks first."""

STARTS = ("<s>", "<bos>", "<|begin_of_text|>", "<|startoftext|>", "<｜begin▁of▁sentence｜>", "<|endoftext|>")
"""Tokens that a tokenizer puts in front of a text itself."""


def dialect_of(text: str) -> Dialect | None:
    """The family whose turns a text is made of: a question's and an answer's, both; None for other text."""
    for dialect in DIALECTS:
        found = list(dialect.opening.finditer(text))
        roles = {_ROLES.get(one[1].lower()) for one in found}
        if {"user", "assistant"} <= roles and _may_precede(_before(text[: found[0].start()]), dialect):
            return dialect
    return None


def _before(text: str) -> str:
    """What stands before the first turn, without start tokens."""
    bare = text.strip()
    for token in STARTS:
        bare = bare.removeprefix(token).strip()
    return bare


def _may_precede(before: str, dialect: Dialect) -> bool:
    """Whether a chat of this family may begin so: with a system message, or with sections in marks of their own."""
    return len(before) <= dialect.preface or (before[0] in "[<" and before[-1] in "]>" and len(before) < 16 * PREFACE)


def start_token(text: str) -> str:
    """The start token that a text brings itself; the tokenizer would put a second one in front of it."""
    bare = text.lstrip()
    return next((token for token in STARTS if bare.startswith(token)), "")


def messages_of(text: str) -> list[Message]:
    """The messages that a chat was made from; empty when the text is none.

    A system message inside the first question of Llama 2 comes out as one of its own.
    """
    dialect = dialect_of(text)
    if dialect is None:
        return [{"role": role, "content": words} for role, words in turns_spoken(text)]
    found = list(dialect.opening.finditer(text))
    before = _before(text[: found[0].start()])
    messages: list[Message] = [{"role": "system", "content": before}] if before else []
    ends = [*(one.start() for one in found[1:]), len(text)]
    for one, end in zip(found, ends, strict=True):
        role = _ROLES.get(one[1].lower())
        if role is None:
            return []
        messages += _turn(role, _without_ends(text[one.end() : end], dialect.ends))
    if messages and not messages[-1]["content"]:
        messages.pop()  # the opening of a turn in which nothing was said
    return messages


_INPUT = re.compile(r"\s*\n### Input:\n")
"""Alpaca's heading of what an instruction works on."""


def _turn(role: str, words: str) -> list[Message]:
    system = re.fullmatch(r"\s*<<SYS>>\s*(.*?)\s*<</SYS>>\s*(.*)", words, re.DOTALL) if role == "user" else None
    if system:
        return [{"role": "system", "content": system[1]}, {"role": "user", "content": system[2].strip()}]
    said = _INPUT.sub("\n\n", words.strip()) if role == "user" else words.strip()
    empty = re.match(rf"{TAGS[0]}\s*{TAGS[1]}\s*", said) if role == "assistant" else None
    return [{"role": role, "content": said[empty.end() :] if empty else said}]


def _without_ends(words: str, ends: tuple[str, ...]) -> str:
    """The words of a turn without what ends it, and without the start token of a next one."""
    said = words.strip()
    while True:
        token = next((one for one in (*ends, *STARTS) if said.endswith(one)), None)
        if token is None:
            return said
        said = said.removesuffix(token).rstrip()
