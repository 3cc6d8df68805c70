"""Characters that nobody typed: text decoded with the wrong encoding, characters lost, marks that cannot be seen."""

from __future__ import annotations

import re

from advisor.base.language import later, tr
from advisor.data.content.examiner import Examiner, excerpt, rewritten, said
from trainers.examples.example import Example

# The bytes 0x80 to 0xBF of a UTF-8 character as the Western code page and Latin-1 show them, behind its first byte.
_CONTINUED = "\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
_RUN = 6
"""No language writes so many letters of Latin-1's upper half in a row; Chinese, Cyrillic and Greek read as it do."""
_SUSPECT = rf"[\u00c2-\u00f4][{_CONTINUED}]|[\u0080-\u009f]|[\u00a1-\u00fe]{{{_RUN}}}"
_SUSPECTED = re.compile(_SUSPECT)
_FOREIGN_RUN = re.compile(rf"[\u00a1-\u00fe]{{{_RUN},}}")
_COMMON_HANZI = range(0xB0, 0xD8)
"""First bytes of the characters of everyday Chinese in GB2312."""

_UNSEEN = re.compile(r"[\u200b\u2060\ufeff\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]")
_FLAG = re.compile("\U0001f3f4[\U000e0020-\U000e007f]+")
_RIGHT_TO_LEFT = re.compile(r"[\u0590-\u08ff]")
_DIRECTIONS = re.compile(r"[\u202a-\u202e\u2066-\u2069]")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")
"""Thai, Lao, Burmese and Khmer mark where words end with a space of no width."""


def _mojibake(example: Example) -> str:
    from ftfy import fix_encoding
    from ftfy.badness import is_bad

    for text in filter(_SUSPECTED.search, said(example)):
        for run in _FOREIGN_RUN.finditer(text):
            if len(set(run.group())) >= _RUN // 2 and sum(map(str.isalpha, run.group())) >= _RUN // 2:
                return excerpt(text, *run.span())
        if is_bad(text) and (mended := fix_encoding(text)) != text:
            place = next((i for i, (old, new) in enumerate(zip(text, mended, strict=False)) if old != new), 0)
            return excerpt(text, place)
    return ""


def _decoded(text: str) -> str:
    from ftfy import fix_encoding

    if _FOREIGN_RUN.search(text) and (chinese := _as_chinese(text)):
        return chinese
    return fix_encoding(text)


def _as_chinese(text: str) -> str:
    """A text in GB18030 that was read as Latin-1; empty where it is not everyday Chinese."""
    try:
        raw = text.encode("latin-1")
        chinese = raw.decode("gb18030")
    except UnicodeError:
        return ""
    firsts = [character.encode("gb18030")[0] for character in chinese if not character.isascii()]
    return chinese if sum(first in _COMMON_HANZI for first in firsts) > 0.7 * len(firsts) else ""


def _lost(example: Example) -> str:
    return next((excerpt(text, text.index("\ufffd")) for text in said(example) if "\ufffd" in text), "")


def _unseen(example: Example) -> str:
    for text in said(example):
        if found := _UNSEEN.search(_visible_reasons(text)):
            name = f"U+{ord(found.group()):04X}"
            return tr("{name} in {index}", name=name, index=excerpt(text, text.index(found.group())))
    return ""


def _visible_reasons(text: str) -> str:
    """The text without the marks that its script or its flags need."""
    text = _FLAG.sub("", text)
    if _RIGHT_TO_LEFT.search(text):
        text = _DIRECTIONS.sub("", text)
    return text.replace("\u200b", "") if _UNSPACED.search(text) else text


def _without_unseen(text: str) -> str:
    kept = set(_UNSEEN.findall(text)) - set(_UNSEEN.findall(_visible_reasons(text)))
    flags = {place for flag in _FLAG.finditer(text) for place in range(*flag.span())}
    return "".join(one for i, one in enumerate(text) if i in flags or one in kept or not _UNSEEN.match(one))


EXAMINERS = (
    Examiner(
        code="mojibake",
        hint=_SUSPECT,
        look=_mojibake,
        is_beyond_ascii=True,
        what=later("hold text that was read with the wrong encoding"),
        why=later("The model learns to write these characters instead of the letters that were meant."),
        fix=later("Read the source again in its own encoding, or let ftfy repair the text."),
        mend=lambda example: rewritten(example, _decoded),
        blocks_above=0.05,
    ),
    Examiner(
        code="lost-characters",
        hint=r"\x{FFFD}",
        look=_lost,
        is_beyond_ascii=True,
        what=later("hold the mark of a character that could not be read (U+FFFD)"),
        why=later("The letters are gone; what is learnt is the mark in their place."),
        fix=later("Read the source again in its own encoding; a row cannot be repaired without it."),
        mend=lambda example: None if _lost(example) else example,
        blocks_above=0.05,
    ),
    Examiner(
        code="unseen-marks",
        hint=r"[\x{200B}\x{2060}\x{FEFF}\x{202A}-\x{202E}\x{2066}-\x{2069}\x{E0000}-\x{E007F}]",
        look=_unseen,
        is_beyond_ascii=True,
        what=later("hold marks that nobody sees"),
        why=later(
            "They split words into other tokens, can hide text from a reader, and the model learns to write them."
        ),
        fix=later("Remove them."),
        mend=lambda example: rewritten(example, _without_unseen),
        warns_above=0.01,
    ),
)
