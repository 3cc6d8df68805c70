"""Values are read one by one, however the text is cut into blocks."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.examples import values
from trainers.examples.values import BrokenTextError, ValueReader

ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


class _Drops(io.StringIO):
    """A file that gives three characters at a time, whatever is asked for."""

    def read(self, size: int | None = -1) -> str:
        return super().read(3)


@settings(deadline=None)
@given(st.lists(ANY, max_size=5), st.sampled_from([None, 2]))
def test_a_list_is_read_item_by_item(items: list[Any], indent: int | None) -> None:
    reader = ValueReader(_Drops(json.dumps(items, indent=indent)))
    assert reader.first() == "["
    assert [one.value for one in reader.items()] == items
    assert reader.first() == ""


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.text(max_size=4), ANY, max_size=3), max_size=4))
def test_documents_behind_each_other_are_read_one_by_one(documents: list[Any]) -> None:
    text = "\n".join(json.dumps(one, indent=2) for one in documents)
    assert [one.value for one in ValueReader(_Drops(text)).documents()] == documents


@pytest.mark.parametrize("text", ['[{"a": 1}', '[{"a": "b', "[[[", '[{"a": nope}]', "[" * 100_000])
def test_what_is_no_json_is_told(text: str) -> None:
    with pytest.raises(BrokenTextError):
        list(ValueReader(io.StringIO(text)).items())


def test_a_value_beyond_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values.limits, "ROW_BYTES", 1000)
    with pytest.raises(BrokenTextError, match="longer than"):
        list(ValueReader(_Drops(json.dumps(["x" * 5000]))).items())


def test_damaged_text_breaks_its_own_item_only() -> None:
    found = list(ValueReader(io.StringIO('["\\ud800", "\udcff", "good", NaN]')).items())
    assert [one.value for one in found] == [None, None, "good", None]
    assert [bool(one.problem) for one in found] == [True, True, False, False]
