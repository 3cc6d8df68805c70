"""Doors of a dataset: each format that is read, and the columns that are said to be what."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fuzz import mutate
from tests.fuzz.doors.base import FIXTURES, Commands, Door, Feed, as_argument, as_json, of_text, of_tree

ROWS: list[dict[str, Any]] = [
    {"messages": [{"role": "user", "content": f"what is {n}"}, {"role": "assistant", "content": f"it is {n}"}]}
    for n in range(60)
]
CALLS: dict[str, Any] = {
    "messages": [
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "w", "arguments": '{"city": "Bonn"}'}}]},
        {"role": "tool", "tool_call_id": "1", "content": "rain"},
        {"role": "assistant", "content": "it rains"},
    ],
    "tools": [{"type": "function", "function": {"name": "w", "parameters": {"type": "object", "properties": {}}}}],
}  # fmt: skip
OTHER_ROWS: list[dict[str, Any]] = [
    {"instruction": "say", "input": "a", "output": "b"},
    {"prompt": "a", "completion": "b"},
    {"text": "once upon a time"},
    {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
]
SAVED: dict[str, Any] = {
    "_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_fingerprint": "a", "_split": "train",
}  # fmt: skip
MAPS = ("prompt=prompt,completion=completion", "text=prompt", "messages=prompt")


def _check(path: Path) -> list[str]:
    return ["data", "check", str(path)]


def _fed_as(name: str) -> Feed:
    def feed(folder: Path, content: bytes) -> Commands:
        (folder / name).write_bytes(content)
        convert = ["data", "convert", str(folder / name), "-o", str(folder / "out.jsonl")]
        return [_check(folder / name), ["vet", str(folder / name)], convert]

    return feed


def _lines(rng: random.Random) -> bytes:
    rows = [*ROWS[:6], CALLS, CALLS] if rng.random() < 0.6 else [rng.choice(OTHER_ROWS)] * 4
    changed = [mutate.tree(rng, row) if rng.random() < 0.5 else row for row in rows]
    whole = b"\n".join(map(as_json, changed))
    return mutate.raw(rng, whole) if rng.random() < 0.2 else whole


def _document(rng: random.Random) -> bytes:
    whole = rng.choice(
        (
            ROWS[:6],
            {"train": ROWS[:6], "test": ROWS[:2]},
            {"prompt": ["a", "b"], "completion": ["c", "d"]},
            OTHER_ROWS,
        )
    )
    return as_json(mutate.tree(rng, whole))


def _table(delimiter: str) -> str:
    rows = "".join(f"question {n}{delimiter}answer {n}\r\n" for n in range(60))
    return f"prompt{delimiter}completion\r\n{rows}"


def _gzip(rng: random.Random) -> bytes:
    packed = gzip.compress(_lines(rng), mtime=0)
    return mutate.raw(rng, packed) if rng.random() < 0.7 else packed


def _changed_file(name: str) -> Callable[[random.Random], bytes]:
    # files, not polars: its threads do not live through a fork
    return lambda rng: mutate.raw(rng, (FIXTURES / "security" / name).read_bytes())


def _file(name: str, ending: str) -> Door:
    return Door((FIXTURES / "security" / name).read_bytes, _changed_file(name), _fed_as(f"data.{ending}"))


def _feed_saved(folder: Path, content: bytes) -> Commands:
    saved = folder / "saved"
    saved.mkdir()
    (saved / "data-00000-of-00001.arrow").write_bytes((FIXTURES / "security" / "sound.arrow").read_bytes())
    (saved / "state.json").write_bytes(content)
    return [_check(saved), ["vet", str(saved)]]


def _feed_map(folder: Path, content: bytes) -> Commands:
    (folder / "data.csv").write_text(_table(","))
    return [[*_check(folder / "data.csv"), f"--map={as_argument(content)}"]]


SOUND_LINES = "\n".join(map(json.dumps, ROWS))
PROSE = "\n\n".join(
    f"Paragraph {n} tells of the rain that fell on day {n}, and of nothing else at all." for n in range(400)
)

DOORS = {
    "dataset": Door(SOUND_LINES.encode, _lines, _fed_as("data.jsonl")),
    "document": Door(lambda: as_json(ROWS), _document, _fed_as("data.json")),
    "table": of_text((_table(","), _table("\t"), _table(";")), _fed_as("data.csv")),
    "gzip": Door(lambda: gzip.compress(SOUND_LINES.encode(), mtime=0), _gzip, _fed_as("data.jsonl.gz")),
    "prose": of_text((PROSE,), _fed_as("data.md")),
    "parquet": _file("sound.parquet", "parquet"),
    "arrow": _file("sound.arrow", "arrow"),
    "saved": of_tree(SAVED, _feed_saved),
    "map": of_text(MAPS, _feed_map),
}
