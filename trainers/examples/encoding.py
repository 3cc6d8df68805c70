"""In which encoding a text file is written: UTF-8, what its first bytes say, or a guess that is shown.

A file of another encoding is read all the same; the words that the guess yields are shown, because only a person can
tell whether they are words.
"""

from __future__ import annotations

import codecs
import io
import re
from pathlib import Path
from typing import IO

from trainers.examples.rows import Note
from trainers.examples.stream import open_bytes
from trainers.language import tr

SAMPLE_BYTES = 1 << 18
_GUESSED = ("gb18030", "cp1252", "shift_jis", "euc_kr", "big5", "cp1251")
_EAST_ASIAN = ("gb18030", "shift_jis", "euc_kr", "big5")
_LOOKED_AT_BYTES = 256 << 20
"""How far the first characters outside ASCII are looked for."""
_STRAY_BYTES = 2
"""So few bytes outside ASCII are damage of their rows, and no encoding."""
_NOT_ASCII = bytes(range(128, 256))
_ENOUGH = 200
"""Bytes outside ASCII that are enough to tell."""
_BROKEN_SHARE = 0.1
"""Share of the characters outside ASCII that may be no UTF-8 before the file is taken for another encoding."""
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WORD = re.compile(r"[^\W\d_]{2,}")


def encoding_of(path: Path) -> tuple[str, str]:
    """(encoding, three words that it yields); ("utf-8", "") for UTF-8, where only single rows may be damaged."""
    with open_bytes(path) as file:
        sample = file.read(SAMPLE_BYTES)
        for mark, name in _MARKS:
            if sample.startswith(mark):
                return name, _words(sample.decode(name, "ignore"))
        # What matters stands in the blocks that hold more than ASCII; a stray byte in one of them proves nothing.
        left = _LOOKED_AT_BYTES
        while _outside(sample) < _ENOUGH and left > 0 and (more := file.read(SAMPLE_BYTES)):
            left -= len(more)
            sample = more if sample.isascii() else sample if more.isascii() else sample + more
    if _outside(sample) <= _STRAY_BYTES or _is_utf8(sample):
        return "utf-8", ""
    guess = _guess(sample)
    return (guess, _words(sample.decode(guess, "ignore"))) if guess else ("utf-8", "")


def _outside(sample: bytes) -> int:
    """Bytes that are not ASCII."""
    return 0 if sample.isascii() else len(sample) - len(sample.translate(None, _NOT_ASCII))


def guessed(encoding: str, words: str) -> Note | None:
    """What should be said about an encoding that is not UTF-8."""
    if encoding == "utf-8":
        return None
    shown = tr(": it yields {words}", words=words) if words else ""
    how = tr("as its first bytes say") if encoding.startswith("utf") else tr("a guess")
    return Note(
        tr("read as {encoding}, {how}{shown}", encoding=encoding.upper(), how=how, shown=shown),
        is_doubtful=not encoding.startswith("utf"),
    )


def open_text(path: Path, encoding: str) -> IO[str]:
    """The file as text, without the mark of its encoding; a byte that is none comes through as a lone surrogate."""
    errors = "surrogateescape" if encoding == "utf-8" else "replace"
    name = "utf-8-sig" if encoding == "utf-8" else encoding
    return io.TextIOWrapper(open_bytes(path), encoding=name, errors=errors, newline="")


def _is_utf8(sample: bytes) -> bool:
    text = sample.decode("utf-8", "surrogateescape")
    broken = sum("\udc80" <= character <= "\udcff" for character in text)
    # The sample may begin or end inside a character.
    outside = sum(not character.isascii() for character in text)
    return (broken <= 6 and broken < outside / 2) or broken <= _BROKEN_SHARE * outside


def _guess(sample: bytes) -> str | None:
    from charset_normalizer import from_bytes

    best = from_bytes(sample, cp_isolation=list(_GUESSED), threshold=0.5).best()
    if best is None:
        return "cp1252" if _decodes(sample, "cp1252") else None
    name = str(best.encoding)
    return "gb18030" if name in ("gbk", "gb2312") else name


def _decodes(sample: bytes, encoding: str) -> bool:
    try:
        sample.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _words(text: str) -> str:
    """Three words that hold more than ASCII, where there are three."""
    words = dict.fromkeys(word[:20] for word in _WORD.findall(text) if not word.isascii())
    return ", ".join(list(words)[:3])
