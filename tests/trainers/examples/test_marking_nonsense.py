"""Whatever a row holds, marking it gives spans that are in order, or one broken row with a reason."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainers.examples import templates
from tests.trainers.examples.templates import marker_of
from trainers.examples.example import Example, RowError
from trainers.examples.tally import Proof
from trainers.examples.toolcalls import call_faults

PIECES = ["hi ", "<think>a</think>", "\n", "Xq00001qX", "<|im_end|>", "good", "{%", "é\ud800", "</think>", "{}", '"']
WORDS = st.lists(st.sampled_from(PIECES), max_size=4).map("".join)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.floats(allow_nan=False), WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(WORDS, inner, max_size=2)),
    max_leaves=4,
)
CALLS = st.lists(
    st.fixed_dictionaries(
        {
            "type": st.just("function"),
            "function": st.fixed_dictionaries({"name": st.sampled_from(["f", "g x", "é"]), "arguments": VALUES}),
        },
        optional={"id": st.just("i")},
    ),
    min_size=1,
    max_size=2,
)
MESSAGES = st.one_of(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "system", "tool"]), "content": WORDS}),
    st.fixed_dictionaries(
        {"role": st.just("assistant"), "content": WORDS}, optional={"tool_calls": CALLS, "reasoning_content": WORDS}
    ),
)
TOOLS = st.one_of(VALUES, st.just(templates.TOOLS), VALUES.map(lambda schema: [{"name": "f", "parameters": schema}]))
ALL = [*templates.base_templates(), *templates.family_templates()]


@settings(max_examples=300, deadline=None)
@given(path=st.sampled_from(ALL), messages=st.lists(MESSAGES, min_size=1, max_size=4), tools=TOOLS)
def test_any_row_is_marked_or_broken(path: Path, messages: list[dict[str, Any]], tools: Any) -> None:
    example, proof = Example(tuple(messages), tools=tools), Proof()
    list(call_faults(example))
    try:
        rendered = marker_of(path).mark(example)
    except RowError as error:
        assert str(error)
        proof.refuse(error, 1)
        assert proof.proven == 0
        return
    proof.add(example, rendered)
    assert all(0 <= start < end <= len(rendered.text) for start, end in rendered.spans)
    assert all(before[1] <= after[0] for before, after in pairwise(rendered.spans))
    assert proof.learnt + proof.excluded + proof.without_reasoning == example.num_answers
    assert proof.summed_up().line.startswith("1 of 1 rows")
