"""Whatever bytes or rows come in: a profile or an InputError, never anything else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.data import profile_dataset
from advisor.data.formats import RowError, format_of, normalise
from advisor.errors import InputError

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6)
VALUES = st.recursive(
    SCALARS | st.sampled_from(["user", "assistant", "[", "{}", '[{"role": "user"}]']),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "from", "value", "type", "text", "tool_calls"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)
COLUMNS = [
    "messages",
    "conversations",
    "prompt",
    "completion",
    "instruction",
    "input",
    "output",
    "text",
    "tools",
    "system",
]
ROWS = st.dictionaries(st.sampled_from(COLUMNS), VALUES, max_size=4)


@settings(max_examples=300, deadline=None)
@given(ROWS, st.sampled_from(["messages", "sharegpt", "prompt_completion", "alpaca", "text"]))
def test_any_row_is_an_example_or_a_row_error(row: dict[str, Any], kind: Any) -> None:
    try:
        example = normalise(row, format_of(row) or kind)
    except RowError as error:
        assert str(error)
    else:
        assert all(isinstance(message["content"], str) for message in example.messages)
        assert example.messages or example.text.strip()


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
        assert profile.num_examples + profile.num_broken == len(rows)
