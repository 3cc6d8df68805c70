"""Writes a dataset as clean messages, one example a line, and says what was changed on the way.

What the check blocks is not made to look clean: what would be lost is refused, with the way to keep it, to leave the
rows out or to accept it. Chats that a template has rendered are taken apart into their messages.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import IO, Any, Literal

import msgspec

from advisor.base.errors import InputError, Problem
from advisor.base.language import tr
from advisor.data.content.fixes import OVERLAP, SPLITS, drop_for, fix_for, without
from advisor.data.evaluation import read_evaluation
from advisor.data.source import sets_of, told_as_input
from advisor.data.unused import judge_unused
from advisor.data.verdict import BROKEN_BLOCKS, Finding
from trainers.examples.example import Example, RowError, RowExcludedError
from trainers.examples.layouts import turns_of
from trainers.examples.ledger import Ledger
from trainers.examples.reader import Reader
from trainers.examples.rendered import dialect_of, messages_of
from trainers.examples.rows import Row
from trainers.examples.source import reader_of
from trainers.examples.turns import CALL_KEYS, CALLING_ROLES, ROLE_KEYS
from trainers.plan import DatasetRef

ROWS_SHOWN = 3
PROBLEMS_SHOWN = 5
BROKEN, UNUSED = "broken-rows", "unused-content"
"""Findings about the reading of a row, for which the row can be left out."""


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """One row before and after."""

    line: int
    """Its line in the file that was read."""
    before: dict[str, Any]
    """The row as it was."""
    after: dict[str, Any]
    """{} for a row that was left out."""


class Converted(msgspec.Struct, kw_only=True):
    """What was written, and every kind of change with its number."""

    schema: Literal["sft-advisor/data-convert/v1"] = "sft-advisor/data-convert/v1"
    """Name and version of this document."""
    source: str
    """What was read."""
    output: str
    """The file that was written."""
    layout: str
    """The layout in which the rows were read."""
    written: int = 0
    """Rows written."""
    broken: int = 0
    """Rows left out because they could not be read."""
    excluded: int = 0
    """Rows left out by what the data itself says."""
    dropped: int = 0
    """Rows left out by a fix, or because they were to be dropped."""
    problems: list[str] = []
    """The first few broken rows, each with its line."""
    changes: list[str] = []
    """Every kind of change with its number, as sentences."""
    shown: list[Shown] = []
    """Where something was to be mended, rows that were."""


@told_as_input()
def convert_dataset(
    named: DatasetRef,
    output: Path,
    *,
    fixes: Sequence[str] = (),
    drops: Sequence[str] = (),
    allow: Collection[str] = (),
) -> Converted:
    """Write every usable row of `named` to `output`, which must not exist yet.

    `fixes` mend rows that show a finding, `drops` leave them out, each by the finding's code; `allow` accepts what
    would be lost. Raises InputError when the dataset cannot be read, something that matters would be lost, no row of
    it can be used, a code is not known, or `output` is there already.
    """
    if output.exists():
        what = tr("{output} is there already", output=output)
        raise InputError(
            Problem(what=what, why=tr("Nothing is written over."), fix=tr("Give another name."), where="-o")
        )
    steps = {code: fix_for(code) for code in fixes if code not in SPLITS}
    steps |= {code: drop_for(code) for code in drops if code not in (BROKEN, UNUSED, OVERLAP)}
    sets = sets_of(named)
    source = sets.train
    if OVERLAP in drops:
        held = read_evaluation(sets, None)
        if held is None:
            what = tr("no evaluation set is there to compare with")
            raise InputError(
                Problem(what=what, why="", fix=tr("Name it: --eval-dataset DATA."), where=f"--drop {OVERLAP}")
            )
        steps[OVERLAP] = without(held.held)
    reader = reader_of(source, named.format, named.columns)
    work = _Conversion(Converted(source=named.source, output=str(output), layout=reader.layout.name), reader, steps)
    work.drops_unused = UNUSED in drops
    work.splits = [code for code in fixes if code in SPLITS]
    partial = output.with_name(output.name + ".part")
    partial.parent.mkdir(parents=True, exist_ok=True)
    with partial.open("w", encoding="utf-8") as file:
        for row in source.rows():
            work.convert(row, file)
    try:
        work.refuse_losses({*allow, *drops})
    except InputError:
        partial.unlink()
        raise
    partial.replace(output)
    return work.finish()


class _Conversion:
    """Rows on their way, and what is said of them."""

    def __init__(self, made: Converted, reader: Reader, steps: dict[str, Any]) -> None:
        self.made, self.reader, self.steps = made, reader, steps
        self.counts: Counter[str] = Counter()
        self.ledger = Ledger(reader)
        self.drops_unused = False
        self.splits: list[str] = []

    def convert(self, row: Row, file: IO[str]) -> None:
        """Write one row, or count why it is not."""
        made = self.made
        if row.note and row.note.text not in made.changes:
            made.changes.append(row.note.text)
        try:
            example = self.reader.example(row)
            apart = taken_apart(example)
        except RowExcludedError:
            made.excluded += 1
            return
        except RowError as error:
            made.broken += 1
            if len(made.problems) < PROBLEMS_SHOWN:
                made.problems.append(tr("line {line}: {error}", line=row.line, error=error))
            return
        value = row.value or {}
        if self.drops_unused and _loses(row, example, self.reader):
            made.dropped += 1
            self.counts[f"left out for {UNUSED}"] += 1
            return
        self.ledger.add(row, example)
        mended, changed = self._mended(apart)
        if changed and len(made.shown) < ROWS_SHOWN:
            made.shown.append(Shown(line=row.line, before=value, after=mended.as_dict() if mended else {}))
        if mended is None:
            made.dropped += 1
            return
        rows = self._split(mended)
        after = rows[-1].as_dict()
        file.writelines(json.dumps(row.as_dict(), ensure_ascii=False) + "\n" for row in rows)
        made.written += len(rows)
        if apart is not example:
            self.counts["a rendered chat taken apart into messages"] += 1
        elif not changed:
            self.counts.update(_changes(value, after, example, self.reader.of(row)))
        if not self.steps and len(made.shown) < ROWS_SHOWN:
            made.shown.append(Shown(line=row.line, before=value, after=after))

    def _split(self, example: Example) -> list[Example]:
        """The example as the rows that are written of it."""
        rows = [example]
        for code in self.splits:
            rows = [part for row in rows for part in SPLITS[code](row)]
        if len(rows) > 1:
            self.counts[f"split into {len(rows)} for {' and '.join(self.splits)}"] += 1
        return rows

    def _mended(self, example: Example) -> tuple[Example | None, bool]:
        """The example behind all fixes, None for one that is left out; and whether any of them acted."""
        mended, changed = example, False
        for code, step in self.steps.items():
            found = step(mended)
            if found is not mended:
                changed = True
                self.counts[f"{'left out for' if found is None else 'mended for'} {code}"] += 1
            if found is None:
                return None, True
            mended = found
        return mended, changed

    def refuse_losses(self, accepted: set[str]) -> None:
        """Raises InputError where the check would block what was read and the clean file would hide it."""
        made = self.made
        if not made.written:
            why = "; ".join(made.problems) or tr(
                "{excluded:,} excluded, {dropped:,} left out", excluded=made.excluded, dropped=made.dropped
            )
            fix = tr("Repair the rows.")
            if made.dropped:
                named = ", ".join([*self.steps, *([UNUSED] if self.drops_unused else [])])
                fix = tr(
                    "They show {named} and cannot be mended by themselves: repair them where they are from.",
                    named=named,
                )
            raise InputError(Problem(what=tr("no row of {source} can be used", source=made.source), why=why, fix=fix))
        rows = made.written + made.broken + made.dropped
        if made.broken > BROKEN_BLOCKS * rows and BROKEN not in accepted:
            what = tr(
                "{broken:,} of {rows:,} rows of {source} are broken",
                broken=made.broken,
                rows=rows,
                source=made.source,
            )
            fix = tr("Repair them; --drop {code} leaves them out.", code=BROKEN)
            raise InputError(Problem(what=what, why="; ".join(made.problems), fix=fix))
        for finding in _losses(self.ledger, self.reader):
            if finding.code not in accepted:
                ways = tr(
                    "--drop {code} leaves these rows out, --allow {code} loses what is not used.", code=finding.code
                )
                raise InputError(Problem(what=finding.what, why=finding.why, fix=f"{finding.fix} {ways}"))

    def finish(self) -> Converted:
        """What was made, with its changes."""
        made = self.made
        made.changes += [
            tr("{what} in {count:,} rows", what=what, count=count) for what, count in self.counts.most_common()
        ]
        if self.reader.mapping:
            mapping = ", ".join(f"{new} from {old}" for new, old in self.reader.mapping.items())
            made.changes.insert(0, tr("columns: {mapping}", mapping=mapping))
        entries = self.ledger.entries()
        unused = [entry for entry in entries if entry.unused]
        made.changes += [
            tr(
                "{what} {name!r} left out ({unused:,} times)",
                what=tr(entry.what),
                name=entry.name,
                unused=entry.unused,
            )
            for entry in unused
        ]
        for entry in entries:
            for kind, rows in entry.no_text.items():
                made.changes.append(
                    tr(
                        "{kind} in column {name!r} written out as text in {rows:,} rows",
                        kind=tr(kind),
                        name=entry.name,
                        rows=rows,
                    )
                )
        return made


def taken_apart(example: Example) -> Example:
    """A chat that a template has rendered as its messages; any other example as it is. Raises RowError."""
    dialect = dialect_of(example.text) if not example.messages else None
    if dialect is None:
        return example
    messages = messages_of(example.text)
    if not any(message["role"] == "assistant" for message in messages):
        raise RowError(tr("a chat rendered for {family} whose turns cannot be told apart", family=dialect.family))
    return Example(tuple(messages))


def _losses(ledger: Ledger, reader: Reader) -> list[Finding]:
    return [one for one in judge_unused(ledger.entries(), bool(reader.mapping)) if one.level == "block"]


def _loses(row: Row, example: Example, reader: Reader) -> bool:
    """Whether a row holds what the check would block."""
    alone = Ledger(reader)
    alone.add(row, example)
    return bool(_losses(alone, reader))


def _changes(before: dict[str, Any], after: dict[str, Any], example: Example, reader: Reader) -> list[str]:
    """Kinds of change in one row."""
    if before == after:
        return []
    turns = [] if reader.mapping else turns_of(reader.named(before))
    found = [] if turns else [tr("columns of the layout {name} written as messages", name=reader.layout.name)]
    if not example.messages:
        return [tr("a column written as text")]
    said = {
        str(turn.get(key)).lower() for turn in turns if isinstance(turn, dict) for key in ROLE_KEYS if key in turn
    }
    renamed = said - {"system", "user", "assistant", "tool"}
    found += [tr("role {name!r} renamed", name=name) for name in sorted(renamed - CALLING_ROLES)]
    called = renamed & CALLING_ROLES or any(
        isinstance(turn, dict) and turn.get(key) for turn in turns for key in CALL_KEYS
    )
    if called and any("tool_calls" in message for message in example.messages):
        found.append(tr("calls written as tool_calls with arguments as objects"))
    if any(isinstance(turn, dict) and isinstance(turn.get("content"), list) for turn in turns):
        found.append(tr("parts joined into one text"))
    if example.unlearnt:
        found.append(tr("turns that are not to be learnt marked with weight 0"))
    return found or [tr("written with the keys that chat templates read")]
