"""One tokenised set as a file, and long texts as several examples of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from trainers.examples.example import Example
from trainers.training.rendering import Encoded

CHUNK_ROWS = 1000


def split(whole: Encoded, limit: int) -> Iterator[Encoded]:
    """A long text as stretches of nearly equal length, none longer than `limit` tokens."""
    count = -(-len(whole.input_ids) // limit)
    size = -(-len(whole.input_ids) // count)
    for start in range(0, len(whole.input_ids), size):
        end = start + size
        # Only the last stretch ends the text; the others go on, and are no answers that were cut.
        yield Encoded(whole.input_ids[start:end], whole.labels[start:end], ends=True)


class SplitFile:
    """Writes one tokenised set as an Arrow stream (and its examples as JSON lines), renamed when it is whole."""

    def __init__(self, folder: Path, name: str, *, pictures: bool = False) -> None:
        self.arrow, self.lines = folder / f"{name}.arrow", folder / f"{name}.jsonl"
        self.rows: list[Encoded] = []
        self.examples, self.pictures = name == "eval", pictures

    def __enter__(self) -> SplitFile:
        import pyarrow as pa

        ids = pa.list_(pa.int32())
        named = [("pictures", pa.list_(pa.string()))] if self.pictures else []
        self.schema = pa.schema([("input_ids", ids), ("labels", ids), ("length", pa.int32()), *named])
        self.writer = pa.ipc.new_stream(str(_part(self.arrow)), self.schema)
        self.file = _part(self.lines).open("wb") if self.examples else None
        return self

    def add(self, encoded: Encoded, example: Example | None = None) -> None:
        """One row; `example` is what it was made from, kept beside an evaluation set."""
        self.rows.append(encoded)
        if self.file is not None:
            self.file.write(msgspec.json.encode(example) + b"\n")
        if len(self.rows) >= CHUNK_ROWS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        columns = [
            pa.array([row.input_ids for row in self.rows], self.schema.field("input_ids").type),
            pa.array([row.labels for row in self.rows], self.schema.field("labels").type),
            pa.array([len(row.input_ids) for row in self.rows], pa.int32()),
        ]
        if self.pictures:
            columns.append(pa.array([list(row.pictures) for row in self.rows], pa.list_(pa.string())))
        self.writer.write_batch(pa.record_batch(columns, schema=self.schema))
        self.rows = []

    def __exit__(self, kind: Any, *_: object) -> None:
        if kind is None and self.rows:
            self._flush()
        self.writer.close()
        if self.file is not None:
            self.file.close()
        if kind is None:
            _part(self.arrow).replace(self.arrow)
            if self.examples:
                _part(self.lines).replace(self.lines)


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")
