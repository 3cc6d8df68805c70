"""An examiner of one kind of fault: how a row is suspected, judged, described and mended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from advisor.base.language import current, tr
from advisor.data.verdict import Finding, Level
from rules.rule import ENGLISH
from trainers.examples.example import Example

SHOWN_LINES = 5
EXCERPT_CHARACTERS = 60
_CONTEXT = 12

Hint = str | Callable[[Example], bool]
"""A pattern of Rust's regex over the marked text, or what no pattern can say, told of each example."""
Fix = Callable[[Example], Example | None]
"""Mends an example that shows the fault; None where only leaving it out helps. Others come back as they are."""


class Examiner(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of fault that a single row shows."""

    code: str
    """The finding's name, which --allow takes."""
    hint: Hint
    """Every row with the fault matches it, few others do."""
    look: Callable[[Example], str]
    """A short excerpt of the fault in an example, or an empty text where there is none."""
    is_beyond_ascii: bool = False
    """Whether only a row with other letters than ASCII's can have the fault."""
    what: str
    """What the rows do, behind their number: "end their answers ..."."""
    why: str
    fix: str
    mend: Fix | None = None
    warns_above: float = 0.001
    """Share of the rows above which it is a warning; up to there it is a note."""
    blocks_above: float | None = None

    def finding(self, lines: list[int], rows: int, excerpt: str) -> Finding:
        """The finding about the rows that stand on `lines`, of `rows` usable ones."""
        share = len(lines) / rows
        level: Level = "warn" if share > self.warns_above else "note"
        if self.blocks_above is not None and share > self.blocks_above:
            level = "block"
        return Finding(
            code=self.code,
            level=level,
            what=tr("{counted}: {excerpt}", counted=counted(len(lines), rows, tr(self.what)), excerpt=excerpt),
            why=tr(self.why),
            fix=tr(self.fix),
            lines=tuple(lines[:SHOWN_LINES]),
            rows=len(lines),
        )


def counted(number: int, rows: int, what: str) -> str:
    """'3 rows (1.5 %) hold a mark', '1 row (0.5 %) holds a mark': `what` begins with a verb in the plural."""
    if number == 1 and current() == ENGLISH:
        verb, space, rest = what.partition(" ")
        verb = "has" if verb == "have" else verb + "s"
        return f"1 row ({percent(1 / rows)}) {verb}{space}{rest}"
    return tr("{number:,} rows ({share}) {what}", number=number, share=percent(number / rows), what=what)


def rows_said(number: int) -> str:
    """'3 rows', '1 row'."""
    return tr("1 row") if number == 1 else tr("{number:,} rows", number=number)


def percent(share: float) -> str:
    """A share for a reader; never '0.0 %' for what is there."""
    return f"{share * 100:.1f} %" if share >= 0.001 or share == 0 else tr("under 0.1 %")


def excerpt(text: str, start: int = 0, end: int | None = None) -> str:
    """A place in a text with a little around it; marks that cannot be seen are spelt out."""
    end = start if end is None else end
    first, last = max(0, start - _CONTEXT), max(end + _CONTEXT, start + EXCERPT_CHARACTERS - _CONTEXT)
    cut = text[first:last]
    shown = "".join(_visible(one) for one in cut)
    return f"'{'...' if first else ''}{shown}{'...' if last < len(text) else ''}'"


def _visible(character: str) -> str:
    if character == "\n":
        return "⏎"
    if character.isprintable():
        return character
    return character.encode("unicode_escape", "backslashreplace").decode()


def answers(example: Example) -> Iterator[str]:
    """What the assistant says, turn by turn; nothing for plain text."""
    return (message["content"] for message in example.messages if message["role"] == "assistant")


def said(example: Example) -> Iterator[str]:
    """Everything that is said, plain text too."""
    return (message["content"] for message in example.messages) if example.messages else iter((example.text,))


def rewritten(example: Example, rewrite: Callable[[str], str], *, role: str | None = None) -> Example:
    """The example with every turn (or those of one role) rewritten."""
    if not example.messages:
        return msgspec.structs.replace(example, text=rewrite(example.text)) if role is None else example
    messages = tuple(
        {**message, "content": rewrite(message["content"])} if role in (None, message["role"]) else message
        for message in example.messages
    )
    return msgspec.structs.replace(example, messages=messages)


def with_turns(example: Example, turns: Sequence[tuple[dict[str, Any], int]]) -> Example:
    """The example with these messages, each with the place of the one that it comes from."""
    unlearnt = frozenset(place for place, (_, origin) in enumerate(turns) if origin in example.unlearnt)
    return msgspec.structs.replace(example, messages=tuple(turn for turn, _ in turns), unlearnt=unlearnt)
