"""Pictures, films and sounds that are spoken of and not there, or that stand in the words as letters."""

from __future__ import annotations

import re

from advisor.base.language import later
from advisor.data.content.examiner import Examiner, excerpt, said
from trainers.examples.example import Example

_MARKS = (
    r"<image>|<image_\d+>|<img>|<\|image_?\d*\|>|<\|image_pad\|>|<\|vision_start\|>|\[IMG\]|<start_of_image>|<ImageHere>"
    r"|<video>|<\|video_?\d*\|>|<\|video_pad\|>|<audio>|<\|audio_?\d*\|>|<\|audio_pad\|>|<\|AUDIO\|>|<speech>"
)
# Where a mark stands for something it begins or ends the turn, or has a line of its own; elsewhere it may be markup.
_MISSING = re.compile(rf"(?:^|\n)\s*(?:{_MARKS})|(?:{_MARKS})\s*(?:\n|$)|<\|(?:image_pad|vision_start)\|>")
_MARKUP = re.compile(r"</(?:video|audio|image)>|```|<html", re.IGNORECASE)
_ENCODED = re.compile(
    r"data:[a-z]+/[\w.+-]+;base64,[A-Za-z0-9+/=]{100,}|(?<![\w/+])[A-Za-z0-9+/]{1000,}={0,2}(?![\w/+])"
)


def _missing(example: Example) -> str:
    if example.images:
        return ""
    for message in example.messages:
        text = message["content"]
        if message["role"] == "user" and (found := _MISSING.search(text)) and not _MARKUP.search(text):
            return excerpt(text, *found.span())
    return ""


def _encoded(example: Example) -> str:
    for text in said(example):
        if found := _ENCODED.search(text):
            return excerpt(text, found.start(), found.start() + 30)
    return ""


EXAMINERS = (
    Examiner(
        code="missing-media",
        hint=_MARKS,
        look=_missing,
        what=later("ask about a picture, a film or a sound that is not there"),
        why=later("The model learns to describe what it was not shown: to make things up."),
        fix=later(
            "Bring the picture in a column images, or leave these rows out; films and sounds "
            "cannot be trained on yet."
        ),
        mend=lambda example: None if _missing(example) else example,
        blocks_above=0.05,
    ),
    Examiner(
        code="encoded-media",
        hint=r"data:[a-z]+/[a-z0-9.+-]+;base64,[A-Za-z0-9+/=]{100}|[A-Za-z0-9+/]{1000}",
        look=_encoded,
        what=later("hold a file that was written out as letters (base64)"),
        why=later(
            "Its thousands of tokens say nothing to a model that reads text, and are learnt "
            "where they stand in an answer."
        ),
        fix=later("Leave these rows out, or take the file out of the words."),
        mend=lambda example: None if _encoded(example) else example,
        blocks_above=0.05,
    ),
)
