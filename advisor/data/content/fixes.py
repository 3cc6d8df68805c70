"""What mends a finding, row by row: for the command that writes a dataset anew.

fix = fix_for("end-tokens")
mended = fix(example)        # an Example, or None where the row is better left out
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from hashlib import blake2b

from advisor.base.errors import InputError, Problem, nearest
from advisor.base.language import tr
from advisor.data.content.examiner import Examiner, Fix
from advisor.data.content.near import near_duplicate
from advisor.data.content.registry import EXAMINERS
from advisor.data.leaks.finder import LeakFinder
from advisor.data.leaks.personal import CODES as PERSONAL
from advisor.data.leaks.secrets import CODES as SECRETS
from advisor.data.marked import ANSWER, TURN, marked
from trainers.examples.example import Example
from trainers.examples.rounds import by_round

REPEATS_KEPT = 5
"""Of one answer, by the fix of repeated answers."""


def fix_for(code: str) -> Fix:
    """A fresh fix of this finding; those that compare rows remember the rows they have seen (16 bytes each).

    Raises InputError for a finding that no row can be mended of: `FIXES` holds the others.
    """
    if code not in FIXES:
        raise InputError(_unknown("--fix", code, [*FIXES, *SPLITS]))
    return FIXES[code]()


def drop_for(code: str) -> Fix:
    """Leaves out the rows that show this finding, and keeps the others. Raises InputError as `fix_for` does."""
    examiner = _BY_CODE.get(code)
    if examiner is not None:
        return lambda example: None if examiner.look(example) else example
    if code in LEAKS:
        finder = LeakFinder()
        return lambda example: None if code in finder.codes_in(marked(example)) else example
    if code not in FIXES:
        raise InputError(_unknown("--drop", code, DROPS))
    return fix_for(code)


def command_for(code: str) -> str:
    """The flag of `data convert` that acts on this finding; "" where none does."""
    return f"--fix {code}" if code in FIXES or code in SPLITS else f"--drop {code}" if code in DROPS else ""


def _unknown(flag: str, code: str, known: Collection[str]) -> Problem:
    close = nearest(code, known)
    fix = (
        tr("Did you mean {close}?", close=close)
        if close
        else tr("It can be: {known}.", known=", ".join(sorted(known)))
    )
    return Problem(
        what=tr("{flag} {code}: no finding that a row can be mended of", flag=flag, code=code),
        why="",
        fix=fix,
        where=flag,
    )


class _KeepFirst:
    """Keeps the first few examples of each key, and leaves out the later ones."""

    def __init__(self, key: Callable[[Example], str], most: int = 1) -> None:
        self._key, self._most = key, most
        self._seen: dict[bytes, int] = {}

    def __call__(self, example: Example) -> Example | None:
        key = blake2b(self._key(example).encode("utf-8", "surrogatepass"), digest_size=16).digest()
        self._seen[key] = self._seen.get(key, 0) + 1
        return example if self._seen[key] <= self._most else None


def _without_near(is_near: Callable[[str], bool]) -> Fix:
    return lambda example: None if is_near(marked(example)) else example


def without(digests: Collection[int]) -> Fix:
    """Leaves out the examples that are among those with these digests."""
    return lambda example: None if hash(marked(example)) in digests else example


def _mending(examiner: Examiner) -> Callable[[], Fix]:
    mend = examiner.mend
    assert mend is not None

    def fix(example: Example) -> Example | None:
        if not examiner.look(example):
            return example
        mended = mend(example)
        return None if mended is None or examiner.look(mended) else mended

    return lambda: fix


def _question(example: Example) -> str:
    text = marked(example)
    at = text.rfind(ANSWER)
    return text[:at].lower() if at >= 0 else text


def _answer(example: Example) -> str:
    text = marked(example)
    at = text.rfind(ANSWER)
    return text[at:].partition(TURN)[2].partition(TURN)[0].lower() if at >= 0 else text


_BY_CODE = {examiner.code: examiner for examiner in EXAMINERS}
FIXES: dict[str, Callable[[], Fix]] = {
    **{examiner.code: _mending(examiner) for examiner in EXAMINERS if examiner.mend},
    "duplicates": lambda: _KeepFirst(marked),
    "near-duplicates": lambda: _without_near(near_duplicate()),
    "contradictions": lambda: _KeepFirst(_question),
    "repeated-answers": lambda: _KeepFirst(_answer, REPEATS_KEPT),
}
"""Findings that a fix acts on -> what makes a fresh one."""
FIXES["foreign-calls"] = FIXES["written-calls"]
SPLITS: dict[str, Callable[[Example], list[Example]]] = {"dropped-reasoning": by_round}
"""Findings that are mended by making several examples of one."""
LEAKS = frozenset((*PERSONAL, *SECRETS))
OVERLAP = "eval-overlap"
DROPS = frozenset((*_BY_CODE, *FIXES, *LEAKS, "broken-rows", "unused-content", OVERLAP))
"""Findings whose rows can be left out."""
