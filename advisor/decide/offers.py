"""Where a model can be trained, for how much and how fast (`sft-advisor where`): places, prices, the Pareto front.

Every distinct machine is judged once, by all rules, as `advise` would; a place then adds its price, RAM and session.
Money is price times hours, of training alone and in all: with what a rented machine takes to start. Pauses, storage
and traffic are not counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import msgspec

from advisor.base.errors import InputError
from advisor.decide.candidates import build_candidate, with_time
from advisor.decide.decision import Inputs, decide
from advisor.decide.facts import build_facts, choose_devices
from advisor.decide.fill import Context, plan_frame
from advisor.decide.recommendation import Candidate
from advisor.probe.describe import hardware_at
from advisor.probe.hardware import Hardware, Offer
from advisor.probe.places.table import Place, place_of, places
from trainers.method import Method

SINGLE_COUNTS = (1, 2, 4, 8, 16)
"""How many of a GPU that is sold singly are looked at."""
NODE_COUNTS = (1, 2, 4)
"""How many whole machines of eight GPUs are looked at."""
START_HOURS = 0.25
"""Until a rented machine trains: booting, packages, the download of the model; it is paid for as well."""
USEFUL_HOURS = 0.5
"""More GPUs of a place that takes less than this are not looked at: the start would take longer than the training."""


class PlaceOffer(msgspec.Struct, frozen=True, kw_only=True):
    """One machine, or several alike, at one place."""

    place: str
    """Its name."""
    hardware: str
    """What `--hardware` takes for it."""
    card: str
    """GPU, as its driver prints it."""
    gpus: int
    """GPUs of one machine."""
    nodes: int
    """Machines."""
    method: Method
    """The method that was asked for, or the one that would be recommended there."""
    low_hours: float
    """Lower end of the predicted training time."""
    hours: float
    """Predicted training time."""
    high_hours: float
    """Upper end of the predicted training time."""
    usd: float | None
    """Cost of the training alone on demand: price times hours, of all machines; 0: free; None: no price is known."""
    usd_spot: float | None
    """The same on spot, where machines may be taken away."""
    usd_in_all: float | None
    """Cost on demand with `start_hours` of the document before the training."""
    usd_spot_in_all: float | None
    """The same on spot."""
    usd_per_hour: float | None
    """On-demand price of all machines."""
    usd_per_hour_spot: float | None
    """Spot price of all machines."""
    price_date: str
    """Day on which the prices were read."""
    source: str
    """Where they were read."""
    session_hours: float | None
    """After which the place ends a run."""
    sessions: int
    """Sessions that the upper end of the time takes; from the second one on the run is resumed."""
    need_bytes: int
    """Upper end of the memory that one GPU must have free."""
    available_bytes: int | None
    """Memory that one GPU has free."""
    ram_is_known: bool
    """Whether the RAM of the place is known, and then large enough."""
    front: bool = False
    """Whether no other place is both cheaper on demand and faster."""
    spot_front: bool = False
    """Whether no other place is both cheaper on spot and faster."""
    in_time: bool = True
    """Whether the upper end of the time ends before the date that was asked for."""
    in_budget: bool = True
    """Whether the upper end of the cost, at the lower of its prices, is within the budget that was asked for."""

    @property
    def least_usd(self) -> float | None:
        """Predicted cost in all, at the lower of its prices."""
        return min((usd for usd in (self.usd_in_all, self.usd_spot_in_all) if usd is not None), default=None)

    def part_for(self, usd: float) -> float:
        """Share of the training that so much money pays for surely, 0 to 1, at the lower of its prices."""
        prices = [price for price in (self.usd_per_hour, self.usd_per_hour_spot) if price is not None]
        lowest = min(prices, default=0.0)
        return 1.0 if lowest == 0 else min(1.0, max(0.0, (usd / lowest - START_HOURS) / self.high_hours))

    @property
    def most_usd(self) -> float:
        """Upper end of the cost in all, at the lower of its prices."""
        prices = [price for price in (self.usd_per_hour, self.usd_per_hour_spot) if price is not None]
        return min(prices, default=0.0) * (self.high_hours + START_HOURS)


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """Places that are not named, and why."""

    does_not_fit: int = 0
    """The plan does not fit, or a rule forbids it there."""
    speed_not_known: int = 0
    """The card's speed is not known."""
    too_little_ram: int = 0
    """The RAM of the place is known, and less than the run needs."""
    no_price: int = 0
    """No price is known."""

    @property
    def total(self) -> int:
        """All of them."""
        return self.does_not_fit + self.speed_not_known + self.too_little_ram + self.no_price


class Offers(msgspec.Struct, frozen=True, kw_only=True):
    """The whole answer."""

    schema: Literal["sft-advisor/where/v1"] = "sft-advisor/where/v1"
    """Name and version of this document."""
    model: str
    """The base model."""
    method: Method | None
    """The method that was asked for; None: the recommended one of each place."""
    examples: int | None
    """Training examples."""
    start_hours: float = START_HOURS
    """What a machine takes until it trains."""
    offers: tuple[PlaceOffer, ...]
    """Those within budget and time first, of them the cheapest first, by the lower of its prices."""
    left_out: LeftOut
    """What is not named, and why."""
    budget_usd: float | None = None
    """The budget that was asked for."""
    by_hours: float | None = None
    """Hours from now to the date that was asked for."""

    @property
    def suitable(self) -> tuple[PlaceOffer, ...]:
        """Those that end in time and within the budget."""
        return tuple(offer for offer in self.offers if offer.in_time and offer.in_budget)


def find_offers(
    inputs: Inputs,
    method: Method | None,
    own: Sequence[Hardware] = (),
    *,
    words: Sequence[str] = (),
    budget_usd: float | None = None,
    by_hours: float | None = None,
) -> Offers:
    """Every place where the plan fits, for `inputs` without their machine.

    `own` are machines with prices of one's own, which replace the places of the same name. `words`: only places and
    GPUs that have each of them in their names. The front is that of the places within budget and time.
    """
    left = {"does_not_fit": 0, "speed_not_known": 0, "too_little_ram": 0, "no_price": 0}
    judged: dict[tuple[Any, ...], Candidate | None] = {}
    offers = []
    for sizes in _machines(own):
        for hardware in sizes:
            if not _is_meant(hardware, words):
                break
            key = _key(hardware)
            if key not in judged and _is_priced(hardware.offer):
                judged[key] = _best_plan(inputs, method, hardware)
            reason, offer = _offered(judged.get(key), hardware)
            if offer is None:
                left[reason] += 1
                continue
            offers.append(_bounded(offer, budget_usd, by_hours))
            if offer.hours < USEFUL_HOURS:
                break
    offers.sort(key=lambda offer: (not (offer.in_time and offer.in_budget), offer.least_usd or 0.0, offer.hours))
    return Offers(
        model=inputs.model.name,
        method=method,
        examples=inputs.answers.get("data.examples") or (inputs.data.num_examples if inputs.data else None),
        offers=tuple(_with_front(offers)),
        left_out=LeftOut(**left),
        budget_usd=budget_usd,
        by_hours=by_hours,
    )


def _with_front(found: Sequence[PlaceOffer]) -> Iterator[PlaceOffer]:
    suitable = [offer.in_time and offer.in_budget for offer in found]
    on_demand = front(
        [(offer.usd_in_all if fine else None, offer.hours) for offer, fine in zip(found, suitable, strict=True)]
    )
    on_spot = front(
        [(offer.least_usd if fine else None, offer.hours) for offer, fine in zip(found, suitable, strict=True)]
    )
    for place, offer in enumerate(found):
        yield msgspec.structs.replace(offer, front=place in on_demand, spot_front=place in on_spot)


def _is_meant(hardware: Hardware, words: Sequence[str]) -> bool:
    place = hardware.offer.place if hardware.offer else ""
    name = f"{place} {hardware.gpus[0].name if hardware.gpus else 'cpu'}".lower()
    return all(word.lower() in name for word in words)


def _is_priced(offer: Offer | None) -> bool:
    return offer is not None and (offer.usd_per_hour is not None or offer.usd_per_hour_spot is not None)


def front(points: Sequence[tuple[float | None, float]]) -> set[int]:
    """Places of the points (money, hours) that no other point beats in one and equals in the other."""
    last, chosen = (math.inf, math.inf), set()
    ordered = sorted((money, hours, place) for place, (money, hours) in enumerate(points) if money is not None)
    for money, hours, place in ordered:
        if hours < last[1] or (money, hours) == last:
            chosen.add(place)
            last = money, hours
    return chosen


def _machines(own: Sequence[Hardware]) -> Iterator[Iterator[Hardware]]:
    """Own machines, then every place, each as one machine and as larger ones."""
    for hardware in own:
        yield iter((hardware,))
    named = {hardware.offer.place for hardware in own if hardware.offer is not None}
    for place in places():
        if place.name not in named:
            yield _sizes(place)


def _sizes(place: Place) -> Iterator[Hardware]:
    for count in _counts(place):
        try:
            yield hardware_at(place, count)
        except InputError:
            return  # a card that nothing here trains on


def _counts(place: Place) -> Iterable[int]:
    if place.usd_per_hour is None and place.usd_per_hour_spot is None:
        return (1,)
    if place.priced_per_gpu:
        return SINGLE_COUNTS
    return NODE_COUNTS if place.gpus >= 8 and place.nodes == 1 else (1,)


def _key(hardware: Hardware) -> tuple[Any, ...]:
    gpus = hardware.gpus
    return (hardware.num_nodes, len(gpus), gpus[0].name, gpus[0].total_bytes, hardware.link) if gpus else ("cpu",)


def _best_plan(inputs: Inputs, method: Method | None, hardware: Hardware) -> Candidate | None:
    """The plan there, RAM and disk left open; None where nothing fits or the rules forbid it."""
    host = msgspec.structs.replace(
        hardware.host, ram_total_bytes=None, ram_available_bytes=None, shm_bytes=None, output=None, cache=None
    )
    here = msgspec.structs.replace(inputs, hardware=msgspec.structs.replace(hardware, host=host), software=None)
    if method is None:
        return decide(here, traced=False).best
    devices = choose_devices(here.hardware)
    context = Context(
        facts=build_facts(here.answers, here.hardware, devices, here.model, here.data, None),
        devices=devices,
        model=here.model,
        frame=plan_frame(here.model, devices, here.dataset, here.output_dir),
        book=here.book,
        overrides=here.overrides,
    )
    candidate = with_time(build_candidate(method, context, traced=False), context)
    return candidate if candidate.fits and not candidate.vetoes else None


def _offered(plan: Candidate | None, hardware: Hardware) -> tuple[str, PlaceOffer | None]:
    """(why it is left out, None), or ("", the offer)."""
    offer, ram = hardware.offer, hardware.host.ram_total_bytes
    if offer is None or not _is_priced(offer):
        return "no_price", None
    if plan is None:
        return "does_not_fit", None
    time = plan.time
    if time is None or time.total_seconds is None or time.low_seconds is None or time.high_seconds is None:
        return "speed_not_known", None
    if ram is not None and plan.memory.host_bytes > ram:
        return "too_little_ram", None
    hours = time.total_seconds / 3600
    high = time.high_seconds / 3600
    return "", PlaceOffer(
        place=offer.place,
        hardware=_words_for(hardware, offer),
        card=hardware.gpus[0].name,
        gpus=len(hardware.gpus),
        nodes=hardware.num_nodes,
        method=plan.method,
        low_hours=time.low_seconds / 3600,
        hours=hours,
        high_hours=high,
        usd=_times(offer.usd_per_hour, hours * hardware.num_nodes),
        usd_spot=_times(offer.usd_per_hour_spot, hours * hardware.num_nodes),
        usd_in_all=_times(offer.usd_per_hour, (hours + START_HOURS) * hardware.num_nodes),
        usd_spot_in_all=_times(offer.usd_per_hour_spot, (hours + START_HOURS) * hardware.num_nodes),
        usd_per_hour=_times(offer.usd_per_hour, hardware.num_nodes),
        usd_per_hour_spot=_times(offer.usd_per_hour_spot, hardware.num_nodes),
        price_date=offer.price_date,
        source=offer.source,
        session_hours=offer.session_hours,
        sessions=_sessions(offer, high),
        need_bytes=plan.memory.device.high,
        available_bytes=plan.available_bytes,
        ram_is_known=ram is not None,
    )


def _words_for(hardware: Hardware, offer: Offer) -> str:
    place = place_of(offer.place)
    if place is None:
        return offer.place
    machines = hardware.num_nodes // place.nodes
    times = machines * len(hardware.gpus) if place.priced_per_gpu else machines
    return offer.place if times == 1 else f"{times}x {offer.place}"


def _times(price: float | None, factor: float) -> float | None:
    return None if price is None else price * factor


def _sessions(offer: Offer, hours: float) -> int:
    return max(1, math.ceil(hours / offer.session_hours)) if offer.session_hours else 1


def _bounded(offer: PlaceOffer, budget_usd: float | None, by_hours: float | None) -> PlaceOffer:
    """With what the date and the budget say of it, each held against the upper end of the prediction."""
    return msgspec.structs.replace(
        offer,
        in_time=by_hours is None or offer.high_hours + START_HOURS <= by_hours,
        in_budget=budget_usd is None or offer.most_usd <= budget_usd,
    )
