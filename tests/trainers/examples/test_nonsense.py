"""Whatever bytes or rows come in: a profile or an InputError, never anything else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.base.errors import InputError
from advisor.data import profile_dataset
from trainers.examples.example import RowError
from trainers.examples.layouts import LAYOUTS
from trainers.examples.ledger import Ledger
from trainers.examples.reader import Reader
from trainers.examples.rows import Row

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6)
WORDS = st.sampled_from(["user", "assistant", "function_call", "[", "{}", '[{"role": "user"}]', "[{'role': 'user'}]"])
_KEYS = "role content from value type text tool_calls function name arguments weight parts image thinking input"
KEYS = st.sampled_from(_KEYS.split())
VALUES = st.recursive(
    SCALARS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=10,
)
TURN = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool", "function_call"]) | VALUES},
    optional={"content": st.text(max_size=5) | VALUES, "tool_calls": VALUES, "weight": VALUES, "thinking": VALUES},
)
COLUMNS = sorted({name for layout in LAYOUTS for group in (*layout.learnt, *layout.shown) for name in group})
ROWS = st.dictionaries(
    st.sampled_from([*COLUMNS, "label", "rejected"]), VALUES | st.lists(TURN, max_size=4), max_size=4
)


@settings(max_examples=500, deadline=None)
@given(ROWS, st.sampled_from(LAYOUTS))
def test_any_row_is_an_example_or_a_row_error(row: dict[str, Any], layout: Any) -> None:
    reader = Reader(layout if not any(one.fits(row) for one in LAYOUTS) else next(o for o in LAYOUTS if o.fits(row)))
    try:
        example = reader.read(row)
    except RowError as error:
        assert str(error)
    else:
        assert all(isinstance(message["content"], str) for message in example.messages)
        assert example.messages or example.text.strip()
        assert all(example.messages[place]["role"] == "assistant" for place in example.unlearnt)
        ledger = Ledger(reader)
        ledger.add(Row(1, row), example)
        assert all(entry.learnt + entry.shown + entry.excluded + entry.unused for entry in ledger.entries())


@settings(max_examples=60, deadline=None)
@given(
    content=st.binary(max_size=300),
    ending=st.sampled_from([".jsonl", ".json", ".csv", ".tsv", ".parquet", ".jsonl.gz"]),
)
def test_any_bytes_as_a_dataset(content: bytes, ending: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("any") / f"data{ending}"
    path.write_bytes(content)
    try:
        profile = profile_dataset(str(path))
    except InputError as error:
        assert all(problem.what and problem.fix for problem in error.problems)
    else:
        assert profile.num_examples >= 2


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(ROWS, min_size=1, max_size=6))
def test_any_rows_as_a_dataset(rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("any") / "data.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    try:
        profile = profile_dataset(str(path))
    except InputError as error:
        assert all(problem.what and problem.fix for problem in error.problems)
    else:
        assert profile.num_examples + profile.num_broken + profile.num_excluded == len(rows)
