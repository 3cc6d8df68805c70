"""How a template frames an answer: what it writes in front that is not learnt, and what behind is."""

from __future__ import annotations

import re
from collections.abc import Sequence

from trainers.examples.card import Card
from trainers.examples.reasoning import empty_block

# Where the opening of an answer may be cut in two: before a mark, behind one, behind whitespace.
_SEAM = re.compile(r"(?=[<\[])|(?<=[>\]\s])")


def header_of(template_text: str, asked: str, card: Card) -> str:
    """What of the template's text in front of an answer a server would have written already.

    As much of the opening of an answer as stands there: a block of reasoning that it opens may be left out, and
    something else may stand before it (a system message that the template brings itself).
    """
    for opening in (asked, card.opening):
        for seam in (len(opening), *reversed(_seams(opening))):
            begun = opening[:seam]
            if begun.strip() and begun in template_text:
                return template_text[: template_text.rfind(begun) + len(begun)]
    if not card.opening and card.header.strip() and template_text.startswith(card.header):
        return card.header
    return ""


def _seams(text: str) -> list[int]:
    return [seam.start() for seam in _SEAM.finditer(text)]


def with_empty_reasoning(turn: str, header: str, card: Card) -> str:
    """The header, and the block without reasoning that the template writes behind or across its end."""
    for block in empty_block(*card.reasoning_tags).finditer(turn):
        if block.start() <= len(header) <= block.end():
            return turn[: block.end()]
    return header


def learnt_part(closing: str, end_tokens: Sequence[str]) -> int:
    """Characters of a closing up to the token that ends the answer, else up to its last mark, else all of it."""
    ends = [closing.rfind(token) + len(token) for token in end_tokens if token in closing]
    if ends:
        return max(ends)
    return len(closing.rstrip()) or len(closing)
