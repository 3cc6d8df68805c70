"""JSON out is the record, whole: it decodes to the same record again, unknown is null."""

from __future__ import annotations

import json

import msgspec

from advisor.decide.recommendation import Recommendation
from tests.report import made_by_hand as made
from trainers.foreign.records import encode


def test_a_recommendation_survives_the_round_trip():
    result = made.recommendation()
    assert msgspec.json.decode(encode(result), type=Recommendation) == result


def test_unknown_is_null_and_bytes_are_integers():
    document = json.loads(encode(made.nothing_fits()))
    assert document["best"] is None
    peak = document["rejected"][0]["memory"]["device"]
    assert all(isinstance(peak[name], int) for name in ("low", "likely", "high"))
