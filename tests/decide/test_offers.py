"""Where to train: five jobs against a calculation by hand, the front, sessions, budget and time."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.decide.decision import Inputs, decide
from advisor.decide.offers import START_HOURS, Offers, PlaceOffer, find_offers, front
from advisor.model.catalog import from_catalog
from advisor.probe import hardware_from_text
from rules.engine import RuleBook
from trainers.method import Method

DATA = {"data.examples": 20_000, "data.total_tokens": 10_000_000, "task.count": 1}


def asked(book: RuleBook, model: str, method: Method | None, *words: str, **options: Any) -> Offers:
    spec = from_catalog(model)
    assert spec is not None
    inputs = Inputs(answers=dict(DATA), hardware=hardware_from_text("cpu"), model=spec, data=None, book=book)
    return find_offers(inputs, method, options.pop("own", ()), words=words, **options)


def at(found: Offers, place: str, gpus: int, nodes: int = 1) -> PlaceOffer:
    (offer,) = [o for o in found.offers if (o.place, o.gpus, o.nodes) == (place, gpus, nodes)]
    return offer


def test_a_slice_of_a_card_is_no_cheaper_for_the_work_than_the_card(book: RuleBook) -> None:
    found = asked(book, "Qwen/Qwen3-0.6B", "lora", "g4-standard")
    whole, quarter = at(found, "GCP g4-standard-48", 1), at(found, "GCP g4-standard-12", 1)
    assert whole.hours is not None and quarter.hours is not None
    assert quarter.hours == pytest.approx(4 * whole.hours, rel=0.6)
    shares = {name: hardware_from_text(name).gpus[0].compute_share for name in ("g6f.4xlarge", "g6.4xlarge")}
    assert shares == {"g6f.4xlarge": pytest.approx(12 * 1024 / 23034, abs=0.001), "g6.4xlarge": None}


FIVE_JOBS: list[tuple[str, Method, str, int, int, float, float | None]] = [
    ("Qwen/Qwen3-8B", "lora", "Lambda gpu_1x_h100_sxm5", 1, 1, 4.29, None),
    ("Qwen/Qwen3-8B", "qlora", "AWS g5.xlarge", 1, 1, 1.006, None),
    ("meta-llama/Llama-3.3-70B-Instruct", "lora", "AWS p5.48xlarge", 8, 1, 55.04, None),
    ("Qwen/Qwen3-4B", "full", "GCP a2-highgpu-8g", 8, 1, 29.3871, 15.4242),
    ("Qwen/Qwen3-0.6B", "lora", "Google Colab T4 (free)", 1, 1, 0.0, None),
]
"""(model, method, place, GPUs, machines, dollars an hour of one, on spot), the prices as they stand in the source."""


@pytest.mark.parametrize(("model", "method", "place", "gpus", "nodes", "usd", "spot"), FIVE_JOBS)
def test_five_jobs_by_hand(
    book: RuleBook, model: str, method: Method, place: str, gpus: int, nodes: int, usd: float, spot: float | None
) -> None:
    offer = at(asked(book, model, method, place.lower()), place, gpus, nodes)
    spec = from_catalog(model)
    assert spec is not None
    hardware = hardware_from_text(place)
    inputs = Inputs(answers=DATA | {"wish.method": method}, hardware=hardware, model=spec, data=None, book=book)
    decision = decide(inputs, traced=False)
    plan = next(c for c in (*decision.ranked, *decision.rejected) if c.method == method)
    assert plan.time is not None and plan.time.num_steps is not None
    # steps x seconds of a step; money: the price of the machines x these hours; in all a quarter of an hour more
    hours = plan.time.num_steps * plan.time.step_seconds / 3600
    assert offer.hours == pytest.approx(hours)
    assert offer.usd == pytest.approx(hours * usd * nodes)
    assert offer.usd_in_all == pytest.approx((hours + 0.25) * usd * nodes)
    assert offer.usd_spot == (None if spot is None else pytest.approx(hours * spot * nodes))
    # tokens of all passes over the tokens a second of the whole machine is the same time, within what padding takes
    passes = plan.plan.num_epochs
    assert plan.time.tokens_per_second * hours * 3600 == pytest.approx(passes * 10_000_000, rel=0.2)


def test_gpus_that_are_sold_singly_cost_their_number_and_read_back(book: RuleBook) -> None:
    found = asked(book, "Qwen/Qwen3-32B", "lora", "runpod", "h100 sxm (secure)")
    assert {offer.gpus for offer in found.offers} > {2, 4}
    assert len({round((offer.usd_per_hour or 0) / offer.gpus / offer.nodes, 6) for offer in found.offers}) == 1
    for offer in found.offers:
        read = hardware_from_text(offer.hardware)
        assert (read.num_nodes, len(read.gpus)) == (offer.nodes, offer.gpus)


def test_a_session_that_ends_before_the_run_is_counted(book: RuleBook) -> None:
    offer = at(asked(book, "Qwen/Qwen3-4B", "qlora", "colab t4 (free)"), "Google Colab T4 (free)", 1)
    assert offer.session_hours == 12 and offer.high_hours > 12
    assert offer.sessions == -(-offer.high_hours // 12)


def test_own_prices_replace_those_of_the_table(book: RuleBook) -> None:
    mine = hardware_from_text("g5.xlarge")
    assert mine.offer is not None
    cheap = msgspec.structs.replace(mine, offer=msgspec.structs.replace(mine.offer, usd_per_hour=0.1, source="mine"))
    offer = at(asked(book, "Qwen/Qwen3-4B", "qlora", "g5.xlarge", own=(cheap,)), "AWS g5.xlarge", 1)
    assert (offer.usd_per_hour, offer.source) == (0.1, "mine")


def test_budget_and_time_hold_against_the_upper_end(book: RuleBook) -> None:
    found = asked(book, "Qwen/Qwen3-8B", "lora", "lambda", budget_usd=4.0, by_hours=2.0)
    assert found.suitable and len(found.suitable) < len(found.offers)
    for offer in found.suitable:
        assert offer.most_usd <= 4.0 and offer.high_hours + START_HOURS <= 2.0
    assert not any(offer.front for offer in found.offers if offer not in found.suitable)
    assert 0 < found.offers[0].part_for(0.9) < 1 and found.offers[0].part_for(100) == 1


def test_what_has_too_little_memory_or_ram_is_left_out_and_counted(book: RuleBook) -> None:
    found = asked(book, "meta-llama/Llama-3.3-70B-Instruct", "full", "aws")
    assert found.left_out.does_not_fit > 10
    assert all(offer.available_bytes is None or offer.need_bytes <= offer.available_bytes for offer in found.offers)


def test_places_that_are_alike_stand_on_the_front_together() -> None:
    assert front([(2.0, 1.0), (2.0, 1.0), (2.0, 1.5), (1.0, 2.0), (None, 0.1)]) == {0, 1, 3}


POINTS = st.lists(st.tuples(st.none() | st.floats(0, 100), st.floats(0.01, 100)), max_size=30)


@given(POINTS)
def test_nothing_beats_the_front_and_the_front_beats_the_rest(points: list[tuple[float | None, float]]) -> None:
    chosen = front(points)
    priced = [(money, hours) for money, hours in points if money is not None]
    for place in chosen:
        money, hours = points[place]
        assert money is not None
        assert not any((m < money and h <= hours) or (m <= money and h < hours) for m, h in priced)
    for place, (money, hours) in enumerate(points):
        if money is not None and place not in chosen:
            assert any((points[c][0] or 0) <= money and points[c][1] <= hours for c in chosen)
