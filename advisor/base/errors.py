"""Every error that a user can meet, as what happened, why, and what to do.

    AdvisorError            base: what, why, fix, and the exit code it ends with
    ├── InputError          2  an answer, flag or file is missing or wrong (all problems at once)
    └── MachineError        5  this machine cannot do it: a package, driver or permission is missing

"Nothing fits" (3) and "do not fine-tune" (4) are answers, not errors: see recommendation.Verdict.
Constructors never print; only cli.py prints and exits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import msgspec

from trainers import exit_codes
from trainers.language import tr

EXIT_OK = exit_codes.DONE
EXIT_BUG = exit_codes.CRASHED
EXIT_BAD_INPUT = exit_codes.BAD_PLAN
EXIT_NOTHING_FITS = exit_codes.NOTHING_FITS
EXIT_DO_NOT_FINE_TUNE = exit_codes.DO_NOT_FINE_TUNE
EXIT_ENVIRONMENT = exit_codes.ENVIRONMENT
EXIT_INTERRUPTED = exit_codes.INTERRUPTED


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong: what happened, why it matters, what to do, and where it came from."""

    what: str
    why: str = ""
    fix: str = ""
    where: str = ""


class AdvisorError(Exception):
    """Base of all errors shown to a user; carries every problem found, not only the first."""

    exit_code = EXIT_BUG

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__("; ".join(problem.what for problem in problems))


class InputError(AdvisorError):
    """Something the user gave is missing, malformed or out of range."""

    exit_code = EXIT_BAD_INPUT


class MachineError(AdvisorError):
    """This machine cannot do what was asked: a package, a driver, a permission or disk space is missing."""

    exit_code = EXIT_ENVIRONMENT


@contextmanager
def named_by(flag: str) -> Iterator[None]:
    """Says of every problem inside that it stands at this flag, whichever flag its kind of value usually has."""
    try:
        yield
    except AdvisorError as error:
        error.problems = tuple(msgspec.structs.replace(problem, where=flag) for problem in error.problems)
        raise


def panic(error: BaseException) -> Problem | None:
    """What to say of a panic of a library in Rust, which a file has made it meet; None for any other error."""
    if type(error).__name__ != "PanicException":
        return None
    said = next(iter(str(error).splitlines()), "")[:200]
    return Problem(
        what=tr("a file stops the library that reads it: {said}", said=said),
        why=tr("it is damaged, or made to do that"),
        fix=tr("leave out the file that you trust least; `sft-advisor doctor vet` looks at one alone"),
    )


SLIP, MOST_EDITED = 2, 0.45
"""Letters, and the share of the letters of a name, that may have been mistyped."""


def nearest(value: str, allowed: Iterable[str]) -> str | None:
    """The allowed value that looks most like `value`, or None when none is close."""
    import difflib  # only a wrong input needs it

    names = {name.lower(): name for name in allowed}
    typed = value.lower()
    close = difflib.get_close_matches(typed, names, n=3, cutoff=0.6)
    return next((names[name] for name in close if _could_be_meant(typed, name)), None)


def _could_be_meant(typed: str, name: str) -> bool:
    """Letters in common are not enough: `nonsense` is no slip for `none-answers`."""
    is_shortened = typed in name or name in typed or _is_spread_over(typed, name)
    return is_shortened or _edits(typed, name) <= max(SLIP, MOST_EDITED * len(name))


def _is_spread_over(typed: str, name: str) -> bool:
    """Whether its letters stand in the name in this order: `dupes` in `duplicates`."""
    rest = iter(name)
    return all(letter in rest for letter in typed)


def _edits(one: str, other: str) -> int:
    """Letters put in, left out or changed to make `other` of `one` (Levenshtein)."""
    before = list(range(len(other) + 1))
    for row, letter in enumerate(one, start=1):
        now = [row]
        for place, wanted in enumerate(other):
            now.append(min(before[place + 1] + 1, now[place] + 1, before[place] + (letter != wanted)))
        before = now
    return before[-1]
