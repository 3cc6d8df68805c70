"""The plan's examples as JSON lines of `messages`, the one form that every tool reads the same way.

ShareGPT rows keep the roles human and gpt in TRL, and stock templates then render an empty conversation; Alpaca rows
are refused there. Converting once, here, spares each tool's own guess.
"""

from __future__ import annotations

import json
from pathlib import Path

from trainers.errors import PlanRefused
from trainers.examples.example import RowError
from trainers.examples.sets import sets_of
from trainers.examples.source import reader_of
from trainers.export.pictures import Form, Rows
from trainers.language import tr
from trainers.pictures.opening import folder_of
from trainers.plan import DatasetRef


def as_messages(dataset: DatasetRef, target: Path, pictures: Form | None = None) -> int:
    """Write one line an example to `target`. Return their number. Broken rows are left out. `pictures`: how the tool
    that reads them shows pictures; None for words alone.

    Raises ExamplesError when the data cannot be read, PlanRefused when no row of it can be used.
    """
    source = sets_of(dataset).train
    reader = reader_of(source, dataset.format, dataset.columns)
    rows = Rows(pictures, folder_of(source), target.parent) if pictures else None
    written = 0
    partial = target.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as file:
        for row in source.rows():
            try:
                example = reader.example(row)
                plain = rows.row(example) if rows else example.as_dict()
            except RowError:
                continue
            file.write(json.dumps(plain, ensure_ascii=False) + "\n")
            written += 1
    if not written:
        partial.unlink()
        raise PlanRefused(
            tr("no row of {source} can be used", source=dataset.source), fix=tr("`sft-advisor data check` shows why")
        )
    partial.replace(target)
    return written
