"""The plan's examples as JSON lines of `messages`, the one form that every tool reads the same way.

ShareGPT rows keep the roles human and gpt in TRL, and stock templates then render an empty conversation; Alpaca rows
are refused there. Converting once, here, spares each tool's own guess.
"""

from __future__ import annotations

import json
from pathlib import Path

from trainers.conversations import RowError, format_of, normalise, require_format
from trainers.errors import PlanRefused
from trainers.plan import DatasetRef
from trainers.rows import read_rows


def as_messages(dataset: DatasetRef, target: Path) -> int:
    """Write one line an example to `target`; gives their number. Broken rows are left out.

    Raises PlanRefused when the rows are in no known format or none can be used.
    """
    kind, written = dataset.format, 0
    partial = target.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as file:
        for _, row in read_rows(dataset.source, dataset.split):
            if isinstance(row, str):
                continue
            if kind is None:
                kind = require_format(format_of(row), list(row), dataset.source)
            try:
                example = normalise(row, kind)
            except RowError:
                continue
            file.write(json.dumps(example, ensure_ascii=False) + "\n")
            written += 1
    if not written:
        partial.unlink()
        raise PlanRefused(f"no row of {dataset.source} can be used", fix="sft-advisor data check shows why")
    partial.replace(target)
    return written
