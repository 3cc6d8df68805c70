"""Regular expressions of strangers that may take for ever over a text that they do not match.

    may_not_end(r"(a+)+b")    # True: each `a` doubles the ways in which a match can fail

Told by their form, in whatever dialect: a group that ends in a repetition and is itself repeated, unless each round
begins with a mark that the repetition cannot take.
"""

from __future__ import annotations

import re

_ATOM = re.compile(
    r"\\[pP]\{[^}]*\}|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\((?:\?(?:[:=!>]|<[=!]|P?<\w+>|[a-zA-Z-]+:?))?|.", re.DOTALL
)
_WITHOUT_END = re.compile(r"(?:[*+]|\{\d*,\})(\+?)")
_OPTIONAL = re.compile(r"\?|\{0,\d+\}")
_TIMES = re.compile(r"(?:[*+?]|\{\d*,?\d*\})[?+]?")
_MARK = re.compile(r"\\[^\w\s]|[^\w\s\\\[(.^$|]|\[[^\w\s\\\]^][^\w\s\\\]]*\]")
"""A character that stands for itself, or one of several, and is part of no word."""
_TAKES_MARKS = re.compile(r"\.|\[\^.*|\\[SDWPX].*|\(")


class _Group:
    """What is known of a group so far."""

    def __init__(self) -> None:
        self.parts = 0
        self.is_parted = False
        """Whether its first part is a mark that has to stand there."""
        self.ends_repeated = False
        self.any_repeated = False
        """Whether a branch of it ends so."""

    def take(self, atom: str, times: str, repeats: bool) -> None:
        """One more part, `times` as it is written behind it; `repeats`: without an end, or what it ends in does."""
        if not self.parts:
            self.is_parted = not times and bool(_MARK.fullmatch(atom))
        self.parts += 1
        if repeats and self.is_parted and self.parts > 1 and not _TAKES_MARKS.match(atom):
            repeats = False
        self.ends_repeated = repeats or (self.ends_repeated and bool(_OPTIONAL.match(times)))

    def branch(self) -> None:
        """What follows `|`."""
        self.any_repeated |= self.ends_repeated
        self.parts, self.is_parted, self.ends_repeated = 0, False, False


def may_not_end(pattern: str) -> bool:
    """Whether a match may take time that doubles with each letter."""
    groups, place = [_Group()], 0
    while place < len(pattern):
        atom = _ATOM.match(pattern, place)[0]  # type: ignore[index]  # its last branch takes any character
        place += len(atom)
        if atom.startswith("("):
            groups.append(_Group())
            continue
        if atom == "|":
            groups[-1].branch()
            continue
        closed = groups.pop() if atom == ")" and len(groups) > 1 else None
        times = _TIMES.match(pattern, place)
        said = times[0] if times else ""
        place += len(said)
        endless = _WITHOUT_END.fullmatch(said.removesuffix("?")) if said != "?" else None
        is_endless = bool(endless and not endless[1])
        inner = bool(closed and (closed.ends_repeated or closed.any_repeated))
        if inner and is_endless:
            return True
        groups[-1].take("(" if closed else atom, said, is_endless or inner)
    return False
