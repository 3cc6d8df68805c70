"""What `make mutants` ends with: how many changes of the code no test noticed, each with why it does no harm.

    python -m tests.mutants.report

Fails when more than ALLOWED of a module's mutants survive, when one survives that survivors.toml does not list with a
reason, and when a listed one is noticed by now. What is not listed is printed as an entry to paste, less the reason;
how many mutants of a module were not run is printed too. A survivor is known by its function and its changed
lines, so that an edit elsewhere in the file leaves it listed.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import tomli_w
from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code
from mutmut.utils.file_utils import walk_mutatable_files
from mutmut.utils.format_utils import orig_function_and_class_names_from_key

ALLOWED = 0.15
UNNOTICED = ("survived", "no tests", "suspicious")
UNTRIED = ("not checked", "check was interrupted by user", "skipped")
LIST = Path(__file__).with_name("survivors.toml")


class Survivor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A change of the code that the tests pass with."""

    module: str
    function: str
    was: str
    becomes: str
    reason: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        return self.module, self.function, self.was, self.becomes


class _Listed(msgspec.Struct, forbid_unknown_fields=True):
    survivor: list[Survivor] = []


def survivor(name: str, path: Path) -> Survivor:
    """The mutant of that name as an entry of the list; the function's and the class's name lie in its own."""
    function, in_class = orig_function_and_class_names_from_key(name)
    changed = [line for line in get_diff_for_mutant(name, path=path).splitlines() if line[:3] not in ("---", "+++")]
    was, becomes = ("\n".join(line[1:].strip() for line in changed if line.startswith(mark)) for mark in "-+")
    return Survivor(str(path), f"{in_class}.{function}" if in_class else function, was, becomes)


def outcomes(path: Path) -> dict[str, str]:
    """What became of each mutant of a file, by the mutant's name."""
    data = SourceFileMutationData(path=path)
    data.load()
    return {name: status_by_exit_code[code] for name, code in data.exit_code_by_key.items()}


def judged(path: Path, listed: dict[tuple[str, ...], Survivor]) -> Iterator[str]:
    """What is wrong with a module's figures, after printing them; nothing when all is as it should be."""
    by_name = outcomes(path)
    tried = {name: status for name, status in by_name.items() if status not in UNTRIED}
    if len(tried) < len(by_name):
        print(f"{path}: {len(by_name) - len(tried)} of {len(by_name)} mutants were not run")
    if not tried:
        return
    left = [survivor(name, path) for name, status in tried.items() if status in UNNOTICED]
    share = len(left) / len(tried)
    counts = ", ".join(f"{number} {status}" for status, number in sorted(Counter(by_name.values()).items()))
    print(f"{path}: {share:.1%} of {len(tried)} unnoticed ({counts})")
    if share > ALLOWED:
        yield f"{path}: more than {ALLOWED:.0%} survive"
    unknown = [entry for entry in left if not listed.get(entry.key, entry).reason.strip()]
    if unknown:
        entries = [{k: v for k, v in msgspec.to_builtins(entry).items() if k != "reason"} for entry in unknown]
        print(tomli_w.dumps({"survivor": entries}))
        yield f"{path}: {len(unknown)} survive without a reason in {LIST.name}"
    kept = {entry.key for entry in left}
    stale = [entry for key, entry in listed.items() if entry.module == str(path) and key not in kept]
    if stale and len(tried) == len(by_name):
        yield f"{path}: noticed by now, or gone; take it off {LIST.name}: " + "; ".join(e.becomes for e in stale)


def main() -> int:
    """Print the figures of each module that was tried; 1 when something is wrong with them."""
    listed = {entry.key: entry for entry in msgspec.toml.decode(LIST.read_bytes(), type=_Listed).survivor}
    problems = [problem for path in sorted(walk_mutatable_files()) for problem in judged(path, listed)]
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
