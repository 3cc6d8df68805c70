"""The numbers that people type, each kind read in one place: how many there are, and how long a row is.

count("5k")       # 5000
length("4k")      # 4096: context lengths are named by powers of two
"""

from __future__ import annotations

import re
from typing import Any

from advisor.base.language import tr

MOST_DIGITS = 20
KIBI = 1024


def count(raw: Any) -> int:
    """How many of something: 5000, "5,000", "5k", "1.2M". Raises ValueError saying what is expected."""
    number = _whole(raw, 1000)
    if number is None:
        raise ValueError(tr("a whole number is expected, such as 5000, 5k or 1.2M"))
    return number


def length(raw: Any) -> int:
    """Tokens of one row: 4096, "4,096", "4k". Raises ValueError saying what is expected."""
    number = _whole(raw, KIBI)
    if number is None:
        raise ValueError(tr("a whole number of tokens is expected, such as 4096, or 4k, which is the same"))
    return number


def length_in_short(tokens: int) -> str:
    """The same as it is typed: "2k", "32k", "500"."""
    return f"{tokens // KIBI}k" if tokens >= KIBI and tokens % KIBI == 0 else str(tokens)


def _whole(raw: Any, thousand: int) -> int | None:
    """The whole number that is meant; None for anything else."""
    if isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    if not isinstance(raw, str):
        return None
    match = re.fullmatch(r"([+-]?)(\d[\d_,]*)(?:\.(\d{1,12}))?([kmb]?)", raw.strip().lower())
    if match is None:
        return None
    sign, whole, fraction, scale = match[1], re.sub("[_,]", "", match[2]), match[3] or "", match[4]
    if len(whole) >= MOST_DIGITS:
        return None
    # in whole numbers: 0.1 * 1000**3 as a float would be none
    number, rest = divmod(int(whole + fraction) * thousand ** " kmb".find(scale or " "), 10 ** len(fraction))
    return None if rest else int(f"{sign}{number}")
