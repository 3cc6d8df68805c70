"""The row ledger: what became of every column, turn and key of a turn: learnt, shown, left out, or unused.

Nothing in a row may vanish without a word. Rows are counted by their shape (which columns are filled), so a million
rows cost little; the lines of the first few rows with something unused are kept.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import msgspec

from trainers.examples.conversation import PAIR_KEYS, SYSTEM_COLUMNS, is_turn
from trainers.examples.declared import TOOL_COLUMNS
from trainers.examples.example import Example
from trainers.examples.items import are_items
from trainers.examples.layouts import TEXT_COLUMNS, turns_of
from trainers.examples.mapping import folded, sources
from trainers.examples.pairs import ASKING_COLUMNS, HISTORY_COLUMNS, PAIRS, REASONING_COLUMNS, is_extracted, is_switch
from trainers.examples.pictures import IMAGE_COLUMNS
from trainers.examples.preferences import leaves_question
from trainers.examples.reader import Reader
from trainers.examples.repeated import is_followed, stands_in
from trainers.examples.row_flags import FLAG_COLUMNS, is_obeyed
from trainers.examples.rows import Row, json_name
from trainers.examples.turn_columns import TURN_COLUMNS
from trainers.examples.turns import FLAGS, KNOWN_KEYS, REASONING_KEYS, ROLE_KEYS, decoded, known_keys
from trainers.plan import LossOn

Fate = Literal["learnt", "shown", "excluded", "unused"]
What = Literal["column", "key", "turn", "part"]
LINES_KEPT = 5
SHAPES_KEPT = 5000
INNER_KEPT = 50
"""Places inside unused columns that are counted apart."""
_EMPTY: tuple[Any, ...] = (None, "", [], {})
_READ_KEYS = KNOWN_KEYS | PAIR_KEYS
_PLAIN_KEYS = _READ_KEYS - {*FLAGS, "name"}
"""Keys that are read whatever they hold."""
_OF_TEXT = frozenset({"prompt", "completion", "input", "context", "text"})


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of thing in the rows, and in how many rows (turns: how many turns) it met which fate."""

    what: What
    """Column, turn or key."""
    name: str
    """As it stands in the file; `metadata.system` is a place inside a column."""
    learnt: int = 0
    """Where it is learnt."""
    shown: int = 0
    """Where the model reads it and does not learn it."""
    excluded: int = 0
    """Left out because the data says so: rejected answers, turns with weight 0."""
    unused: int = 0
    """Where it never reaches the model."""
    lines: tuple[int, ...] = ()
    """The first few lines where it is unused, or not text."""
    read: dict[str, str] = {}
    """The columns that are read in the rows where it is unused, as a mapping would name them; {}: none would."""
    no_text: dict[str, int] = {}
    """What stands in rows where a text is expected (true or false, object, number) -> rows. It is written out."""


class _Shape(NamedTuple):
    """Which columns of a row are filled, in which part of a mixture; what becomes of them is known by it."""

    fates: dict[str, Fate]
    unused: tuple[str, ...]
    texts: tuple[str, ...]
    """Columns that are expected to hold a text."""
    read: dict[str, str]
    lines: list[int]
    layout: str
    flags: tuple[str, ...]
    """Columns that may decide what of the row is learnt; their values say whether they do."""


class Ledger:
    """Counts usable rows; `entries` sums them up."""

    def __init__(self, reader: Reader, loss_on: LossOn = "assistant") -> None:
        self.reader, self.loss_on = reader, loss_on
        self._shapes: dict[tuple[Any, ...], _Shape] = {}
        self._rows: Counter[tuple[Any, ...]] = Counter()
        self._turns: Counter[tuple[str, Fate]] = Counter()
        self._speakers: Counter[tuple[tuple[str, ...], frozenset[int]]] = Counter()
        """Who speaks in a row, and which answers are not learnt, of rows not yet summed up."""
        self._pictures = 0
        self._kept: dict[tuple[What, str], list[int]] = {}
        self._keys: Counter[str] = Counter()
        self._inner: Counter[str] = Counter()
        self._inner_read: dict[str, dict[str, str]] = {}
        self._no_text: dict[str, Counter[str]] = {}
        self._repeated: Counter[str] = Counter()
        """Unused columns whose text stands in the example all the same, or that are read with others -> rows."""
        self._obeyed: Counter[str] = Counter()
        """Unused columns that decided what of the row is learnt -> rows."""

    def add(self, row: Row, example: Example) -> None:
        """One usable row and the example that was read from it."""
        value = row.value or {}
        key: tuple[Any, ...] = (row.part, *value)
        if not all(value.values()):
            key = (row.part, *[name for name, held in value.items() if held or held not in _EMPTY])
        shape = self._shapes.get(key)
        if shape is None and len(self._shapes) < SHAPES_KEPT:
            shape = self._shapes[key] = _shape(key[1:], value, self.reader.of(row))
        if shape:
            self._rows[key] += 1
            if len(shape.lines) < LINES_KEPT:
                shape.lines.append(row.line)
            if shape.unused:
                self._add_inner(row.line, value, shape)
                self._repeated.update(
                    name for name in shape.unused if stands_in(example, value[name]) or is_followed(name, value[name])
                )
                self._obeyed.update(name for name in shape.flags if is_obeyed(folded(name), value[name], example))
            for name in shape.texts:
                if type(value[name]) is not str:
                    self._add_no_text(row.line, name, value[name])
        self._speakers[tuple([message["role"] for message in example.messages]), example.unlearnt] += 1
        if len(self._speakers) > SHAPES_KEPT:
            self._sum_up_turns()
        if not _is_as_it_was(value, example):
            self._add_parts(row.line, self.reader.of(row), value, example)

    def _add_parts(self, line: int, reader: Reader, value: dict[str, Any], example: Example) -> None:
        """What stands in and beside the turns of a row that was not taken as it is."""
        self._pictures += len(example.images)
        if example.messages and not reader.columns:
            self._add_keys(line, reader.named(value))

    def _sum_up_turns(self) -> None:
        for (roles, unlearnt), rows in self._speakers.items():
            last = len(roles) - 1
            for place, role in enumerate(roles):
                if role != "assistant" or (self.loss_on == "completion" and place != last):
                    fate: Fate = "learnt" if self.loss_on == "all" else "shown"
                else:
                    fate = "excluded" if place in unlearnt else "learnt"
                self._turns[role, fate] += rows
            if not roles:
                self._turns["text", "learnt"] += rows
        self._speakers.clear()

    def _add_keys(self, line: int, row: dict[str, Any]) -> None:
        for turn in turns_of(row):
            if not isinstance(turn, dict) or (turn.keys() <= _PLAIN_KEYS and not _holds_parts(turn)):
                continue
            for key in _unread(turn):
                self._keys[key] += 1
                self._keep("key", key, line)

    def _add_inner(self, line: int, row: dict[str, Any], shape: _Shape) -> None:
        """What an unused column holds inside, where it is an object: a system prompt may stand there."""
        for name in shape.unused:
            held = row[name]
            held = decoded(held) if type(held) is str and held[:1] == "{" else held
            if type(held) is dict:
                for key in (str(key) for key, value in held.items() if value not in _EMPTY):
                    place = f"{name}.{key}"
                    if place in self._inner or len(self._inner) < INNER_KEPT:
                        self._inner[place] += 1
                        self._inner_read.setdefault(place, shape.read)
                        self._keep("column", place, line)

    def _add_no_text(self, line: int, name: str, value: Any) -> None:
        if _is_said(value):
            return
        self._no_text.setdefault(name, Counter())[json_name(value)] += 1
        if not isinstance(value, int | float) or isinstance(value, bool):
            self._keep("column", name, line)

    def _keep(self, what: What, name: str, line: int) -> None:
        lines = self._kept.setdefault((what, name), [])
        if len(lines) < LINES_KEPT and line not in lines:
            lines.append(line)

    def entries(self) -> tuple[Entry, ...]:
        """The sums: columns, then places inside unused ones, turns, parts, and keys that no reader knows."""
        self._sum_up_turns()
        counts: dict[str, Counter[Fate]] = {}
        lines: dict[str, list[int]] = {}
        read: dict[str, dict[str, str]] = {}
        for key, shape in self._shapes.items():
            for column, fate in shape.fates.items():
                counts.setdefault(column, Counter())[fate] += self._rows[key]
                if fate == "unused":
                    lines.setdefault(column, []).extend(shape.lines)
                    read.setdefault(column, shape.read)
        for column, count in counts.items():
            if count["unused"] and count["unused"] == self._repeated[column]:
                count["shown"] += count.pop("unused")
            if self._obeyed[column]:
                count["excluded"] += self._obeyed[column]
                count["unused"] -= self._obeyed[column]
        found = [
            _entry(
                "column",
                name,
                count,
                lines=tuple(sorted(lines.get(name, ()))[:LINES_KEPT]) or self._lines("column", name),
                read=read.get(name, {}),
                no_text=dict(self._no_text.get(name, {})),
            )
            for name, count in counts.items()
        ]
        found += [
            Entry(
                what="column", name=name, unused=count, lines=self._lines("column", name), read=self._inner_read[name]
            )
            for name, count in self._inner.items()
        ]
        for role in dict.fromkeys(role for role, _ in self._turns):
            count = Counter({fate: turns for (one, fate), turns in self._turns.items() if one == role})
            found.append(_entry("turn", role, count))
        if self._pictures:
            found.append(Entry(what="part", name="image", shown=self._pictures))
        found += [
            Entry(what="key", name=name, unused=count, lines=self._lines("key", name))
            for name, count in self._keys.items()
        ]
        return tuple(found)

    def layouts(self) -> Counter[str]:
        """How many usable rows were read by each layout."""
        found: Counter[str] = Counter()
        for key, shape in self._shapes.items():
            found[shape.layout] += self._rows[key]
        return found

    def _lines(self, what: What, name: str) -> tuple[int, ...]:
        return tuple(self._kept.get((what, name), ()))


def _entry(what: What, name: str, count: Counter[Fate], **more: Any) -> Entry:
    return Entry(
        what=what,
        name=name,
        learnt=count["learnt"],
        shown=count["shown"],
        excluded=count["excluded"],
        unused=count["unused"],
        **more,
    )


def _is_as_it_was(row: dict[str, Any], example: Example) -> bool:
    """Whether the messages are the very turns of the row, which then hold nothing but a role and a content."""
    turns = row.get("messages")
    return (
        type(turns) is list
        and len(turns) == len(example.messages)
        and all(map(operator.is_, turns, example.messages))
    )


def _unread(turn: dict[str, Any]) -> Iterator[str]:
    """Keys of a turn that hold something and are not read, or not as they are meant."""
    for key, value in turn.items():
        if value in _EMPTY or (key in _PLAIN_KEYS and key not in ("content", "parts")):
            continue
        if key in FLAGS:
            # A turn is learnt or not; nothing between trains.
            if isinstance(value, float) and not value.is_integer():
                yield key
        elif key == "name":
            said = next((turn[one] for one in ROLE_KEYS if one in turn), None)
            if said in ("user", "assistant", "system"):
                yield key
        elif key == "reasoning_details" and any(turn.get(one) for one in REASONING_KEYS):
            continue  # OpenRouter's, the same in pieces
        elif key in ("content", "parts"):
            yield from _unread_parts(value)
        elif key not in known_keys(turn) and not (key in ("functions", "tools") and _says_system(turn)):
            yield str(key)


def _holds_parts(turn: dict[str, Any]) -> bool:
    return isinstance(turn.get("content", turn.get("parts")), list | dict)


def _says_system(turn: dict[str, Any]) -> bool:
    return next((turn[one] for one in ROLE_KEYS if one in turn), None) == "system"


_NAMES_OF_PARTS = """
type text value content thinking reasoning reasoning_content output input name id tool_use_id call_id arguments args
signature cache_control index annotations image_url image image_path path url source parts is_error role functionCall
function_call functionResponse function_response toolUse toolResult answer_start messages thought
"""
_PART_KEYS = frozenset(_NAMES_OF_PARTS.split())


def _unread_parts(content: Any) -> Iterator[str]:
    """Keys beside the text of a part, which nothing reads."""
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            yield from (f"content.{key}" for key in part if key not in _PART_KEYS and part[key] not in _EMPTY)


def _is_said(value: Any) -> bool:
    """Whether a value that is no text is one all the same: turns, texts in a list, an extracted answer."""
    if isinstance(value, list) and not is_extracted(value):
        return all(isinstance(one, str) or is_turn(one) for one in value) or are_items(value)
    return is_turn(value) or is_extracted(value) or (isinstance(value, dict) and "messages" in value)


def _shape(filled: tuple[str, ...], row: dict[str, Any], reader: Reader) -> _Shape:
    names = dict(zip(row, reader.named(row), strict=True)) if not reader.columns else {name: name for name in row}
    raw = {names[name]: str(name) for name in filled}
    met = {raw[name]: fate for name, fate in fates(tuple(raw), reader).items()}
    if not reader.columns and leaves_question(reader.named(row)):
        met |= {raw[name]: "unused" for name in (*TURN_COLUMNS, *ASKING_COLUMNS) if name in raw}
    unused = tuple(name for name in filled if met[str(name)] == "unused")
    read = _as_mapping(raw, reader)
    is_pair = reader.layout.name in PAIRS
    for name in REASONING_COLUMNS:
        if name in raw and is_switch(row[raw[name]]):
            met[raw[name]] = "excluded"
    texts = (
        {column for target, column in read.items() if target in _OF_TEXT} if is_pair and not reader.columns else ()
    )
    flags = tuple(name for name in unused if folded(str(name)) in FLAG_COLUMNS and not reader.columns)
    return _Shape(met, unused, tuple(name for name in filled if name in texts), read, [], reader.layout.name, flags)


def _as_mapping(raw: dict[str, str], reader: Reader) -> dict[str, str]:
    """The columns that are read as a mapping would name them; {} for a layout that no mapping can say."""
    layout = reader.layout
    if reader.columns:
        return dict(reader.columns)
    if layout.name in PAIRS:
        questions, answers = PAIRS[layout.name]
        rest = [group for group in (*layout.learnt[1:], *layout.shown) if group is not questions]
        groups = [("prompt", questions), ("completion", answers), *((_target(group), group) for group in rest)]
    elif layout.learnt[0] in (TURN_COLUMNS, TEXT_COLUMNS):
        first = "messages" if layout.learnt[0] is TURN_COLUMNS else "text"
        groups = [(first, layout.learnt[0]), *((_target(group), group) for group in layout.shown)]
    else:
        return {}
    found: dict[str, str] = {}
    for target, group in groups:
        column = next((raw[name] for name in group if name in raw), None)
        if column is not None:
            found[target] = f"{found[target]}+{column}" if target in found else column
    return found


def _target(group: tuple[str, ...]) -> str:
    """What a mapping calls the columns of a group beside the question."""
    named = {
        TOOL_COLUMNS: "tools",
        SYSTEM_COLUMNS: "system",
        REASONING_COLUMNS: "reasoning_content",
        IMAGE_COLUMNS: "images",
    }
    return named.get(group) or ("history" if group[0] in HISTORY_COLUMNS else "context")


def fates(filled: tuple[str, ...], reader: Reader) -> dict[str, Fate]:
    """What becomes of each filled column of a row of this shape."""
    if reader.columns:
        used = sources(reader.columns)
        return {name: _fate_of_target(used.get(folded(str(name)))) for name in filled}
    layout, found = reader.layout, dict.fromkeys(filled, "unused")
    for group in layout.shown:
        _mark(found, group, "shown")
    for group in layout.learnt:
        _mark(found, group, "learnt")
    for name in layout.excluded:
        if name in found:
            found[name] = "excluded"
    return found  # type: ignore[return-value]


def _mark(found: dict[str, Any], group: tuple[str, ...], fate: Fate) -> None:
    first = next((name for name in group if name in found), None)
    if first:
        found[first] = fate


def _fate_of_target(target: str | None) -> Fate:
    if target is None:
        return "unused"
    return "learnt" if target in ("completion", "messages", "text", "reasoning_content") else "shown"
