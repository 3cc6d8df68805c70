"""`make fuzz`: changed inputs through every door. `python -m tests.fuzz --cases 100000 --seed 1 [--door gguf]`

Each input goes through one of the commands that its door has, in turn; one that failed is later fed to all of them.
`--first N` goes on from case N: inputs depend on the seed and their number alone, so a long run may be had in pieces.
`--retry DIR` tries the inputs kept in DIR instead and prints what each does now, as JSON by file name. `--sound`
tries the sound input of each door, and prints which do not let it through.
Ends with 1 when a case failed; the smallest input of each new failure is written to --keep, from where it is to be
moved to tests/fixtures/fuzz once it is mended.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import importlib
import os
import random
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import msgspec

from advisor import commands
from rules import load
from tests.fuzz.doors import DOORS, kept
from tests.fuzz.doors.base import ADVISE, MODEL
from tests.fuzz.trial import Failure, Used, dead_end, try_case

# The imports of a command cost a fork far more than its work. Those with threads start them when they are first used.
NEEDED = (
    *(f"advisor.commands.{one.stem}" for one in Path(commands.__path__[0]).glob("*.py") if one.stem != "__init__"),
    "advisor.data.check", "advisor.data.leaks.finder", "advisor.decide.advise", "advisor.model.derived",
    "advisor.model.gguf", "advisor.report.data", "trainers.foreign.records", "advisor.report.rules",
    "advisor.report.screen", "advisor.report.vet",
    "advisor.trust.look", "rules.cases", "rules.check", "rules.expressions", "rules.policy",
    "trainers.handover.report", "trainers.run_folder.checkpoint", "tests.trainers.run_folder.test_foreign_folder",
    "cel_expr_python", "detect_secrets", "ftfy", "jsonschema", "polars", "rensa", "stdnum", "tokenizers",
)  # fmt: skip


def main() -> int:
    """Run, report by door, keep failures."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000, help="over all doors")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first case, to go on from there")
    parser.add_argument("--door", choices=sorted(DOORS), action="append", help="only these")
    parser.add_argument("--seconds", type=float, help="stop after so long")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"))
    parser.add_argument("--sound", action="store_true", help="try the sound input of each door only")
    parser.add_argument("--retry", metavar="DIR", type=Path, help="try the inputs kept in this folder again")
    options = parser.parse_args()
    doors = options.door or sorted(DOORS)
    with tempfile.TemporaryDirectory(prefix="fuzz-home-") as home:
        os.environ["SFT_ADVISOR_HOME"] = home
        _warm()
        return _try(options, doors)


def _try(options: argparse.Namespace, doors: list[str]) -> int:
    if options.retry:
        return _retry(options.retry)
    if options.sound:
        return _sound(doors)
    tried: Counter[str] = Counter()
    most: dict[str, Used] = {}
    failed: Counter[tuple[str, str]] = Counter()
    began = time.monotonic()
    for number in range(options.first, options.first + options.cases):
        if options.seconds and time.monotonic() - began > options.seconds:
            break
        door, turn = _turn(doors, number)
        content = DOORS[door].make(random.Random(f"{options.seed} {door} {number}"))
        tried[door] += 1
        failure, used = try_case(door, content, turn)
        most[door] = used.or_more(most.get(door))
        if failure:
            cause = _cause(failure)
            failed[door, cause] += 1
            _keep(options.keep, failure, cause, content)
            print(f"{door} {number}: {cause}", file=sys.stderr, flush=True)
    for door in doors:
        causes = {cause: count for (name, cause), count in failed.items() if name == door}
        used = most.get(door, Used())
        print(
            f"{door:13} {tried[door]:7,} cases  {sum(causes.values()):4,} failed  "
            f"worst {used.work_seconds:4.1f} s, {used.memory_bytes >> 20:5,} MiB  {causes or ''}"
        )
    print(
        f"{tried.total():,} cases, {failed.total():,} failed, {time.monotonic() - began:.0f} s; "
        f"go on with --first {options.first + tried.total()}"
    )
    return 1 if failed else 0


def _turn(doors: list[str], number: int) -> tuple[str, int]:
    """Whose turn case `number` is, and how often that door has had its turn before."""
    rounds = max(DOORS[door].every for door in doors)
    order = [(door, turn) for turn in range(rounds) for door in doors if turn % DOORS[door].every == 0]
    before, place = divmod(number, len(order))
    door, turn = order[place]
    return door, (before * rounds + turn) // DOORS[door].every


def _retry(folder: Path) -> int:
    now = {file.name: try_case(door, file.read_bytes())[0] for door, file in kept(folder)}
    print(msgspec.json.encode(now).decode())
    return 1 if any(now.values()) else 0


def _sound(doors: list[str]) -> int:
    ends = {door: said for door in doors if (said := dead_end(door, DOORS[door].sound()))}
    print(msgspec.json.encode(ends).decode())
    return 1 if ends else 0


def _warm() -> None:
    """Import once what every fork needs, so that a case costs its own work only. Nothing that starts threads runs."""
    import contextlib
    import io

    from advisor.commands.cli import main as command
    from trainers.foreign import lock

    for module in NEEDED:
        importlib.import_module(module)
    lock.holds()  # looks for its libraries
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        command([*ADVISE, MODEL])
    _hold_the_book()
    gc.freeze()  # a fork then copies no page of what is here already


def _hold_the_book() -> None:
    """Keep the bundled rules, which no case changes, as they were compiled, for all forks."""
    digest, book = "", None
    read = load._read_cache
    for compiled in Path(os.environ["SFT_ADVISOR_HOME"]).rglob("rules-*.msgpack"):
        digest = msgspec.msgpack.decode(compiled.read_bytes()[load._SEAL_BYTES :])["digest"]
        book = read(compiled, digest)
    load._read_cache = lambda path, wanted: book if wanted == digest else read(path, wanted)


def _cause(failure: Failure) -> str:
    """One name for all cases of one fault: the kind, and the last words of the message without its values."""
    found = re.findall(r"bug of sft-advisor: (\w+): .*?(?: in ([\w.<>]+), line (\d+))?$", failure.said, re.MULTILINE)
    if found:
        return f"{failure.kind}: {found[-1][0]} in {found[-1][1]} {found[-1][2]}"
    if failure.kind == "traceback":
        return f"traceback: {failure.said.strip().splitlines()[-1][:60]}"
    return f"{failure.kind} of {' '.join(failure.command[:2])[:40]}"


def _keep(folder: Path, failure: Failure, cause: str, content: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    label = re.sub(r"[^A-Za-z0-9]+", "-", cause)[:60].strip("-")
    for old in folder.glob(f"fuzz-{failure.door}-{label}-*"):
        if old.stat().st_size <= len(content):
            return
        old.unlink()
    digest = hashlib.sha256(content).hexdigest()[:6]
    (folder / f"fuzz-{failure.door}-{label}-{digest}").write_bytes(content)


if __name__ == "__main__":
    sys.exit(main())
