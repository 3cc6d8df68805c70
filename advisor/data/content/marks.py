"""Marks of chat templates inside the words: they are rendered a second time, or belong to another model."""

from __future__ import annotations

import re

from advisor.base.language import later
from advisor.data.content.examiner import Examiner, answers, excerpt, rewritten
from trainers.examples.example import Example

END_TOKENS = (
    "</s>", "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<|eom_id|>", "<end_of_turn>", "<eos>",
    "<|end|>", "<|eot|>", "<|return|>", "<turn|>", "<|END_OF_TURN_TOKEN|>", "<|end_of_turn|>",
    "<｜end▁of▁sentence｜>", "[|endofturn|]",
)  # fmt: skip
MARKS = (
    "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "<|im_start|>", "<|start_header_id|>", "<|end_header_id|>",
    "<|begin_of_text|>", "<start_of_turn>", "<|turn>", "<|user|>", "<|assistant|>", "<|system|>", "<|prompter|>",
    "<｜User｜>", "<｜Assistant｜>", "<|START_OF_TURN_TOKEN|>", "<|channel|>", "<|channel>",
    "[|user|]", "[|assistant|]",
    "### Response:", "### Instruction:", "### Assistant:", "### Human:", "### User:", "### Input:",
    "### 回答：", "### 指令：",
)  # fmt: skip
_END = re.compile("|".join(map(re.escape, END_TOKENS)))
_ENDS = re.compile(rf"(?:\s*(?:{_END.pattern}))+\s*$")
_MARK = re.compile("|".join(map(re.escape, MARKS)))
_WHOLE = (
    *(
        "[INST]",
        "[/INST]",
        "<|user|>",
        "<|assistant|>",
        "<|system|>",
        "<|prompter|>",
        "<｜User｜>",
        "<｜Assistant｜>",
    ),
    *("[|user|]", "[|assistant|]", *(mark for mark in MARKS if mark.startswith("###"))),
)
"""Marks that say all by themselves; behind others stands the name of a role."""
_ONE = "|".join(map(re.escape, _WHOLE))
_AROUND = re.compile(rf"^\s*(?:(?:<s>|{_ONE})\s*)+|(?:\s*(?:{_ONE}))+\s*$")
_QUOTES = "`'\"“"


def _end_token(example: Example) -> str:
    for text in answers(example):
        if found := _ENDS.search(text):
            return excerpt(text, *found.span())
        for found in _END.finditer(text):
            if not _is_told(text, found) and not (found.group() == "</s>" and "<s>" in text):
                return excerpt(text, *found.span())
    return ""


def _mark(example: Example) -> str:
    for message in example.messages:
        text = message["content"]
        if (found := _MARK.search(text)) and not _is_told(text, found):
            return excerpt(text, *found.span())
    return ""


def _is_told(text: str, found: re.Match[str]) -> bool:
    """Whether a mark stands in quotes: then it is spoken about, not used."""
    return (
        text[max(0, found.start() - 1) : found.start()] in tuple(_QUOTES)
        or text.count("`", 0, found.start()) % 2 == 1
    )


def _unwrapped(example: Example) -> Example | None:
    """The turns without the marks around them; the row is left out where marks stand inside."""
    mended = rewritten(example, lambda text: text if _is_only_told(text) else _AROUND.sub("", text))
    return None if _mark(mended) or not any(answers(mended)) else mended


def _is_only_told(text: str) -> bool:
    return all(_is_told(text, found) for found in _MARK.finditer(text))


def _without_end(example: Example) -> Example:
    return rewritten(example, lambda text: _ENDS.sub("", text), role="assistant")


EXAMINERS = (
    Examiner(
        code="end-tokens",
        hint="|".join(map(re.escape, END_TOKENS)),
        look=_end_token,
        what=later("hold an end token inside an answer"),
        why=later("The template ends each answer itself: the model learns to end twice, or to stop in the middle."),
        fix=later("Remove the tokens from the answers."),
        mend=_without_end,
    ),
    Examiner(
        code="template-marks",
        hint="|".join(map(re.escape, MARKS)),
        look=_mark,
        what=later("hold the marks of a chat template inside what is said"),
        why=later(
            "The words are put into the model's own template, so the turns inside them are read "
            "as one; answers among them are not learnt."
        ),
        fix=later("Give the turns as messages, without any template's marks."),
        mend=_unwrapped,
        blocks_above=0.05,
    ),
)
