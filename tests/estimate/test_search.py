"""The largest that fits: right at the edge, and fast."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.estimate import Estimator, largest_micro_batch, largest_model, largest_rank, largest_seq_len
from advisor.estimate.search import largest
from tests.estimate.shapes import MODELS, model, plan

GIB = 1024**3


@given(st.integers(0, 3000), st.integers(1, 2000))
def test_bisection_finds_the_edge(edge, ceiling):
    assert largest(lambda size: size <= edge, ceiling) == min(edge, ceiling)


@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_one_more_would_not_fit(method):
    spec, chosen, free = model("Llama-3.1-8B"), plan(method), 22 * GIB
    size = largest_micro_batch(spec, chosen, free)
    estimator = Estimator(spec, chosen)
    assert size >= 1
    assert estimator.need_bytes(size) <= free < estimator.need_bytes(size + 1)
    length = largest_seq_len(spec, chosen, free)
    assert length % 64 == 0
    assert estimator.need_bytes(None, length) <= free


def test_rank_and_model():
    spec, free = model("Llama-3.1-8B"), 24 * GIB
    rank = largest_rank(spec, plan("lora"), free)
    assert rank > 16
    assert largest_rank(spec, plan("full"), free) == 0
    chosen = largest_model([model(name) for name in MODELS], plan("qlora"), 10 * GIB)
    assert chosen is not None
    assert chosen.name.endswith(("Llama-3.1-8B", "Qwen2.5-7B"))
    assert largest_model([model("Mixtral-8x7B-Instruct-v0.1")], plan("lora"), 10 * GIB) is None


def test_nothing_fits_is_zero():
    assert largest_micro_batch(model("Llama-3.1-8B"), plan("full"), 2 * GIB) == 0
    assert largest_seq_len(model("Llama-3.1-8B"), plan("full"), 2 * GIB) == 0
