"""The cards that somebody may have meant: of the same number, or one slip from it, never by letters alone."""

from __future__ import annotations

import difflib
import re

from advisor.probe.catalogue import Card, cards

_WORD = re.compile(r"([a-z]*)(\d+)")
_LETTER_O = re.compile(r"(?<=\d)o+(?=\d|\b)")
"""A zero mistyped: "h1oo"."""
_MEMORY = re.compile(r"\d+(?:\.\d+)?\s*g(?:i?b)?\b|\b\d+[\s-]?cores?\b|\b\d+\s*[x×*]\s")
"""Numbers that are no part of a card's name: sizes, cores, counts."""


def nearest_labels(words: str, limit: int = 4) -> tuple[str, ...]:
    """Labels for an error message; () where the words hold no number that a card has."""
    asked = _WORD.findall(_without_memory(words))
    ranked = sorted(
        (distance, -_likeness(words, card), position, card.label)
        for position, card in enumerate(cards())
        if (distance := _distance(asked, card)) is not None
    )
    closest = [label for distance, *_, label in ranked if distance == ranked[0][0]]
    return tuple(dict.fromkeys(closest))[:limit]


def _distance(asked: list[tuple[str, str]], card: Card) -> int | None:
    """0: the same letters before the same number; 1: the number; 2: one digit off; 3: a digit moved; None: no kin."""
    own = _WORD.findall(_without_memory(card.label))
    found = [_word_distance(word, mine) for word in asked for mine in own]
    return min((distance for distance in found if distance is not None), default=None)


def _word_distance(word: tuple[str, str], mine: tuple[str, str]) -> int | None:
    if word == mine:
        return 0
    shorter = min(len(word[1]), len(mine[1]))
    if word[1] == mine[1]:
        return 1 if shorter >= 2 else None
    if shorter >= 3 and _one_digit_apart(word[1], mine[1]):
        return 2
    return 3 if shorter >= 4 and word[0] == mine[0] and _digit_moved(word[1], mine[1]) else None


def _one_digit_apart(number: str, mine: str) -> bool:
    """One digit added, lost or mistaken, or two in the wrong order."""
    if len(number) == len(mine):
        wrong = [at for at, (a, b) in enumerate(zip(number, mine, strict=True)) if a != b]
        swapped = len(wrong) == 2 and (number[wrong[0]], number[wrong[1]]) == (mine[wrong[1]], mine[wrong[0]])
        return len(wrong) == 1 or swapped
    short, long = sorted((number, mine), key=len)
    return short in _with_one_left_out(long)


def _digit_moved(number: str, mine: str) -> bool:
    """One digit lost and another added elsewhere: "4909" for "4090"."""
    return not _with_one_left_out(number).isdisjoint(_with_one_left_out(mine))


def _with_one_left_out(number: str) -> set[str]:
    return {number[:at] + number[at + 1 :] for at in range(len(number))}


def _likeness(words: str, card: Card) -> float:
    return max(difflib.SequenceMatcher(None, words, name.lower()).ratio() for name in (card.label, card.name))


def _without_memory(text: str) -> str:
    return _MEMORY.sub(" ", _LETTER_O.sub(lambda match: "0" * len(match[0]), text.lower()))
