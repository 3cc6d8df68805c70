"""What the rows of one dataset mean: its layout by looking at several rows, and each row as one Example."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from string import ascii_uppercase
from typing import Any

from trainers.errors import ExamplesError
from trainers.examples.conversation import listed
from trainers.examples.example import Example, RowError, RowExcludedError
from trainers.examples.layouts import (
    BY_NAME,
    JUDGED,
    LAYOUTS,
    Layout,
    layout_of,
    turns_of,
)
from trainers.examples.mapping import (
    EXAMPLE,
    SPEAKER,
    TARGETS,
    as_flag,
    columns_in,
    columns_of,
    folded,
    holds,
    mapped,
)
from trainers.examples.pairs import PAIRS
from trainers.examples.people import speakers_of
from trainers.examples.preferences import tells_classes
from trainers.examples.proposals import completed, left_out, media_column, proposal, proposed
from trainers.examples.rewrites import rewrite
from trainers.examples.row_flags import with_row_flags
from trainers.examples.rows import Row, as_row, without_comments
from trainers.examples.splits import same_split, split_of
from trainers.examples.turn_columns import TURN_COLUMNS
from trainers.examples.turns import ROLE_KEYS, ROLES
from trainers.foreign.text import shell
from trainers.language import tr

LOOKED_AT = 200
"""Rows that decide the layout."""
SHOWN_NAMES = 8
_SHAPES_KEPT = 1000
_LONGEST_NAME = 60
_OF_HEADERS = frozenset({"id", "index", "date", "time", "timestamp", "email_address"})
"""Names that forms and surveys give their first columns, beside the questions that they ask."""
_FEWEST_CHOICES = 2


class Reader:
    """Reads the rows of one dataset by one layout; those of a mixture each by the layout of its part.

    `split`: of rows that say themselves which split they belong to, those of another one are left out.
    """

    def __init__(
        self,
        layout: Layout,
        mapping: Mapping[str, str] | None = None,
        *,
        split: str | None = None,
        parts: tuple[Reader, ...] = (),
    ) -> None:
        self.layout, self.mapping, self.split, self.parts = layout, dict(mapping or {}), split, parts
        self.columns = columns_in(self.mapping)
        self._others: dict[str, Reader] = {}
        """Read the rows of other layouts that stand among those of this one, by the layout's name."""
        self._is_own: dict[tuple[Any, ...], bool] = {}
        self._names: dict[tuple[Any, ...], dict[Any, str] | None] = {}

    def example(self, row: Row) -> Example:
        """A row of a file as an Example. Raises RowError as `read` does, and for what a file could not give."""
        reader = self.of(row)
        if reader.split is not None and (said := split_of(row)) and not same_split(said, reader.split):
            raise RowExcludedError(tr("the row belongs to the split {said!r}", said=said))
        if row.value is None:
            raise RowError(row.problem)
        return reader.read(row.value)

    def of(self, row: Row) -> Reader:
        """The reader of the row's part of a mixture, and in it of the row's own layout."""
        if self.parts:
            return self.parts[row.part].of(row)
        if self.columns or row.value is None:
            return self
        shape = tuple(row.value)
        is_own = self._is_own.get(shape)
        if is_own is None:
            if len(self._is_own) > _SHAPES_KEPT:
                self._is_own.clear()
            is_own = self._is_own[shape] = self._has_own_columns(self.named(row.value))
        return self if is_own else self._other(self.named(row.value))

    def _has_own_columns(self, row: dict[str, Any]) -> bool:
        if self.layout.name in PAIRS:
            return self.layout.fits(row)
        return any(name in row for group in self.layout.learnt for name in group)

    def _other(self, row: dict[str, Any]) -> Reader:
        """The reader of a row that has none of this layout's columns; itself where its columns say nothing."""
        layout = layout_of(row)
        if layout is None or layout is self.layout:
            return self
        return self._others.setdefault(layout.name, Reader(layout, self.mapping, split=self.split))

    def read(self, row: dict[str, Any]) -> Example:
        """The row as an Example. Raises RowError saying what is wrong with it, RowExcludedError for one left out."""
        opened = self.opened(row)
        example = self.layout.read(opened)
        return with_row_flags(example, opened) if len(opened) > 1 else example

    def opened(self, row: dict[str, Any]) -> dict[str, Any]:
        """The row under the names that layouts know."""
        opened = mapped(row, self.columns) if self.columns else self.named(row)
        return with_speaker(opened, self.mapping[SPEAKER]) if SPEAKER in self.mapping else opened

    def named(self, row: dict[str, Any]) -> dict[str, Any]:
        """The row with the names of its columns in lower case, and those in Chinese in English."""
        shape = tuple(row)
        if shape not in self._names:
            if len(self._names) > _SHAPES_KEPT:
                self._names.clear()
            self._names[shape] = _renamed(shape)
        names = self._names[shape]
        return row if names is None else {names[name]: value for name, value in row.items()}


def joined_reader(parts: tuple[Reader, ...]) -> Reader:
    """The reader of a mixture: what it calls its layout is that of all parts, else the one that all become."""
    names = {part.layout.name for part in parts}
    layout = parts[0].layout if len(names) == 1 else BY_NAME["messages"]
    return Reader(layout, next((part.mapping for part in parts if part.mapping), None), parts=parts)


def reader_for(
    rows: Sequence[Row],
    source: str,
    name: str | None = None,
    mapping: Mapping[str, str] | None = None,
    split: str | None = None,
) -> Reader:
    """The reader for a dataset that begins with these rows; `name` and `mapping` are what a plan states.

    `split` is the one that is wanted of rows that name theirs; None takes all.

    Rows of other layouts among them are each read by their own. Raises ExamplesError when no row can be read, or
    when the columns are of no known layout.
    """
    if name is not None and name not in BY_NAME:
        layout_names = ", ".join(layout.name for layout in LAYOUTS)
        raise ExamplesError(
            tr("there is no layout {name!r}", name=name),
            why=tr("known are {known}", known=layout_names),
            fix=tr("leave dataset.format out"),
        )
    names = {split_of(row) for row in rows}
    if not any(names):
        split = None
    if split is not None:
        # Rows of the other splits say nothing about these.
        rows = [row for row in rows if not split_of(row) or same_split(split_of(row), split)] or rows
    readable = [row.value for row in rows if row.value is not None]
    if not readable:
        raise _unreadable(rows, source)
    _require_speaker(readable, mapping or {}, source)
    if mapping:
        _require_columns(readable, mapping, source)
    if name is not None:
        return Reader(BY_NAME[name], mapping, split=split)
    probe = Reader(LAYOUTS[-1], mapping)
    opened = [probe.opened(value) for value in readable]
    layouts = [layout_of(row) for row in opened]
    if any(layout and layout.name == JUDGED for layout in layouts) and any(map(tells_classes, opened)):
        layouts = [layout_of(row, without=JUDGED) for row in opened]
    votes = Counter(layout.name for layout in layouts if layout)
    if not votes:
        raise _unknown_layout(readable[0], source, mapping)
    # Text among rows with an answer is the lesser part whatever its number: its layout says nothing of answers.
    best = next((one for one, _ in votes.most_common() if one != "text"), "text")
    return Reader(BY_NAME[best], mapping, split=split)


def _renamed(shape: tuple[Any, ...]) -> dict[Any, str] | None:
    names = {name: folded(str(name)) for name in shape}
    if len(set(names.values())) < len(names):
        # Two columns that differ in case alone stay as they are.
        return {name: str(name) for name in shape}
    return None if all(name == new for name, new in names.items()) else names


def _require_speaker(rows: Sequence[dict[str, Any]], mapping: Mapping[str, str], source: str) -> None:
    """Raises ExamplesError where people speak and nothing says whose words are answers, or one who is not there."""
    probe = Reader(LAYOUTS[-1], columns_in(mapping))
    talks = [turns_of(probe.opened(row)) for row in rows]
    speakers_of_rows = [speakers_of(turns, ROLE_KEYS) for turns in talks]
    names = list(dict.fromkeys(name for speakers in speakers_of_rows for name in speakers))
    speaker = mapping.get(SPEAKER, "")
    is_told = any(ROLES.get(name.strip().lower()) == "assistant" for name in names)
    if not names or (is_told and not speaker) or speaker in names:
        return
    if not speaker and all(name.strip().lower() in ROLES for name in names):
        answering = next((name for name in names if ROLES[name.strip().lower()] == "system"), "")
        if not answering or not any(_follows(turns, answering) for turns in talks):
            return  # a conversation without an answer: each row says so
        names = [*(name for name in names if name != answering), answering]
    if not speaker and not all(len(speakers) > 1 for speakers in speakers_of_rows):
        return
    listed = _first_of(names, SHOWN_NAMES)
    what = tr("{source} does not say whose words are answers", source=source)
    what = tr("nobody called {wanted} speaks in {source}", wanted=speaker, source=source) if speaker else what
    flag = as_flag({SPEAKER: names[-1]})
    raise ExamplesError(
        what,
        why=tr("those who speak are {listed}", listed=listed),
        fix=tr("name the one whose words are learnt: {flag}", flag=flag),
    )


def _follows(turns: list[Any], name: str) -> bool:
    """Whether this one speaks behind somebody else: in logs of dialogue systems the system is who answers."""
    speakers = [speakers_of([turn], ROLE_KEYS) for turn in turns]
    return any(before != [name] and behind == [name] for before, behind in pairwise(speakers))


def with_speaker(row: dict[str, Any], speaker: str) -> dict[str, Any]:
    """The row whose turns have roles: what this one says are answers, what other people say are questions."""
    made = dict(row)
    for column in TURN_COLUMNS:
        if turns := listed(row.get(column)):
            made[column] = [_with_role(turn, speaker) for turn in turns]
    return made


def _with_role(turn: Any, speaker: str) -> Any:
    key = next((key for key in ROLE_KEYS if isinstance(turn, dict) and key in turn), None)
    names = speakers_of([turn], ROLE_KEYS)
    if key is None or not names:
        return turn
    role_named = ROLES.get(names[0].strip().lower())
    role = "assistant" if names[0] == speaker else role_named if role_named in ("system", "tool") else "user"
    rest = {name: value for name, value in turn.items() if name not in ROLE_KEYS}
    return {"role": role, **rest}


def _first_of(names: Sequence[str], shown: int = 40) -> str:
    """Names in a sentence, as many as anybody reads."""
    return ", ".join(names[:shown]) + (", ..." if len(names) > shown else "")


def _require_columns(rows: Sequence[dict[str, Any]], mapping: Mapping[str, str], source: str) -> None:
    for place in missing_columns(rows, mapping):
        listed = _first_of([str(name) for name in rows[0]]) or "none"
        is_read_as_it_is = bool(rows) and layout_of(rows[0]) is not None
        fix = tr("leave --map out: these columns are read as they are") if is_read_as_it_is else ""
        raise ExamplesError(
            tr("{source} has no column {place!r} to map", source=source, place=place),
            why=tr("the columns are {listed}", listed=listed),
            fix=fix or (proposal(rows[0]) if rows else "") or EXAMPLE,
        )


def missing_columns(rows: Sequence[dict[str, Any]], mapping: Mapping[str, str]) -> list[str]:
    """The places that a mapping names and that none of these rows has."""
    places = [place for column in columns_in(mapping).values() for place in columns_of(column)]
    return [place for place in places if not any(holds(row, place) for row in rows)]


def _unreadable(rows: Sequence[Row], source: str) -> ExamplesError:
    if not rows:
        return ExamplesError(
            tr("{source} holds no rows", source=source), fix=tr("give a file with at least two examples")
        )
    shown = "; ".join(f"line {row.line}: {row.problem}" for row in rows[:3])
    fix = tr("write one JSON object a line, in UTF-8 (.jsonl)")
    if any("trailing comma" in row.problem for row in rows):
        fix = without_comments(source)
    if all(row.problem == as_row([], row.line).problem for row in rows):
        named = "jq -c '.[] | {prompt: .[0], completion: .[1]}' rows.json > rows.jsonl"
        fix = tr(
            "the values stand there without the names of their columns; give them, such as: {named}", named=named
        )
    return ExamplesError(tr("no row of {source} can be read", source=source), why=shown, fix=fix)


def _look_like_data(row: dict[str, Any]) -> bool:
    """Whether names of columns are a row of data: one is a sentence, and none what only a header says."""
    is_sentence = any(len(name) > _LONGEST_NAME or name.rstrip().endswith(("?", ".", "!")) for name in map(str, row))
    return is_sentence and _OF_HEADERS.isdisjoint(folded(str(name)) for name in row)


def _header(columns: list[str]) -> str:
    """A header for as many columns: a question with lettered choices where the last names one (MMLU), else a pair."""
    if len(columns) > _FEWEST_CHOICES + 1 and columns[-1] in ascii_uppercase[: len(columns) - 2]:
        return ",".join(("question", *ascii_uppercase[: len(columns) - 2], "answer"))
    return ",".join(("prompt", "completion", *(f"column{number}" for number in range(3, len(columns) + 1))))


def _unknown_layout(row: dict[str, Any], source: str, mapping: Mapping[str, str] | None) -> ExamplesError:
    columns = [str(name) for name in row]
    why = tr("the columns are {columns}", columns=_first_of(columns) or tr("none"))
    if columns_in(mapping or {}):
        fix = tr(
            "map a prompt and a completion, messages, or text: {example} (targets: {targets})",
            example=EXAMPLE,
            targets=", ".join(TARGETS),
        )
    elif other := rewrite(row, source):
        why, fix = why + other.why, other.fix
    elif _look_like_data(row):
        why += tr("; they look like a first row of data")
        named = f"(echo {_header(columns)}; cat {shell(source)}) > named.csv"
        fix = tr("give the file a header line that names its columns: {named}", named=named)
    elif "input_ids" in columns:
        fix = tr("it is tokenised already; give the text it was made from")
    elif media := media_column(row):
        why += tr("; {media} holds pictures, films or sounds", media=media)
        fix = tr(
            "pictures are trained on beside a question and its answer: write these into columns of their own "
            "(question, answer); films and sounds cannot be trained on yet"
        )
    else:
        fix = _proposed(row)
    return ExamplesError(tr("{source} is in no known format", source=source), why=why, fix=fix)


def _proposed(row: dict[str, Any]) -> str:
    """The mapping to begin with, where one reads all the words of the row."""
    mapping = proposed(row)
    if not mapping:
        return tr("no column holds one text a row; write a question and its answer into columns of their own")
    complete = completed(row, mapping)
    if not complete:
        return tr(
            "several places hold words ({places}), and nothing says what they are; write all that matters into a "
            "question and its answer, columns of their own",
            places=", ".join(left_out(row, mapping)[:SHOWN_NAMES]),
        )
    return tr(
        "say which column is what: {named} (a guess from names and contents; look at the rows shown then)",
        named=as_flag(complete),
    )
