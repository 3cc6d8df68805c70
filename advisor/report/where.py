"""Where to train, for the terminal: the answer in a line or two, then places by money, the Pareto front marked."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from advisor.base.language import tr
from advisor.decide.offers import START_HOURS, Offers, PlaceOffer
from advisor.probe import lookup
from advisor.report.model_map import short_duration
from trainers.amounts import count

FRONT, SPOT_FRONT = "*", "s"
SHOWN = 15
"""Places of the list by money, beside all of the front."""


def where(found: Offers, *, everything: bool = False) -> RenderableType:
    """The whole answer."""
    shown = list(found.suitable) if everything else _shown(found.suitable)
    parts: list[RenderableType] = [*(Text(line, style="bold") for line in answers(found)), Text("")]
    if shown:
        parts += [_table(shown), Text("")]
    return Group(*parts, *map(Text, _legend(found, shown)))


def answers(found: Offers) -> list[str]:
    """What it comes down to: the cheapest, the fastest, what the budget does."""
    suitable = found.suitable
    if not suitable:
        return _nothing(found)
    cheapest = suitable[0]
    fastest = min(suitable, key=lambda offer: (offer.hours, offer.least_usd or 0.0))
    lines = [tr("Cheapest: {offer}", offer=_in_words(cheapest))]
    if fastest is not cheapest:
        lines.append(tr("Fastest: {offer}", offer=_in_words(fastest)))
    if found.budget_usd:
        passes = found.budget_usd / cheapest.most_usd if cheapest.most_usd else None
        if passes is not None and passes >= 2:
            lines.append(
                tr(
                    "The budget pays the cheapest {times} times over: try several rates",
                    times=f"{passes:.0f}",
                )
            )
    return lines


def _nothing(found: Offers) -> list[str]:
    if not found.offers:
        return [tr("It fits nowhere at a known price.")]
    lines = [tr("No place does it within what was asked.")]
    in_time = [offer for offer in found.offers if offer.in_time]
    if found.budget_usd is not None and in_time:
        best = max(in_time, key=lambda offer: offer.part_for(found.budget_usd or 0.0))
        part = best.part_for(found.budget_usd)
        lines.append(
            tr(
                "{usd} US dollars pay {part} of the run at {place}: {examples} of the examples. Or take QLoRA, a "
                "smaller model or a shorter sequence.",
                usd=f"{found.budget_usd:,.2f}",
                part=f"{part:.0%}",
                place=best.place,
                examples=f"{part:.0%}" if found.examples is None else f"{int(found.examples * part):,}",
            )
        )
    elif not in_time:
        fastest = min(found.offers, key=lambda offer: offer.high_hours)
        lines.append(tr("The fastest: {offer}", offer=_in_words(fastest)))
    return lines


def _in_words(offer: PlaceOffer) -> str:
    return tr(
        "{place}, {machine}, {method}: {usd}, {low} to {high}",
        place=offer.place,
        machine=_machine(offer),
        method=offer.method,
        usd=_usd(offer.least_usd) if offer.least_usd else tr("free of charge"),
        low=short_duration(offer.low_hours * 3600),
        high=short_duration(offer.high_hours * 3600),
    )


def _machine(offer: PlaceOffer) -> str:
    nodes = f"{offer.nodes} x " if offer.nodes > 1 else ""
    card = lookup(offer.card)
    return f"{nodes}{offer.gpus}x {card.label if card else offer.card}"


def _usd(amount: float | None) -> str:
    if amount is None:
        return "-"
    return f"${amount:,.2f}" if amount < 1000 else f"${amount:,.0f}"


def _shown(suitable: tuple[PlaceOffer, ...]) -> list[PlaceOffer]:
    """The front, and the cheapest of what is alike: one machine of each provider, card and number."""
    seen: set[tuple[str, str, int, int]] = set()
    listed = []
    for offer in suitable:
        kind = (offer.place.split()[0], offer.card, offer.gpus, offer.nodes)
        if kind not in seen or offer.front or offer.spot_front:
            listed.append(offer)
        seen.add(kind)
    return [offer for number, offer in enumerate(listed) if number < SHOWN or offer.front or offer.spot_front]


def _table(shown: list[PlaceOffer]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0, show_edge=False)
    table.add_column("", no_wrap=True, width=5)
    # these two give way on a narrow screen, and the figures do not
    table.add_column(tr("place"), min_width=14, max_width=36)
    table.add_column(tr("GPUs"), min_width=8, max_width=22)
    columns = (tr("method"), 6), (tr("time"), 5), (tr("on demand"), 9), (tr("spot"), 7), (tr("prices of"), 10)
    for title, width in (*columns, (tr("behind"), 6)):
        table.add_column(title, justify="right", no_wrap=True, min_width=width)
    for number, offer in enumerate(shown, 1):
        mark = (FRONT if offer.front else "") + (SPOT_FRONT if offer.spot_front else "")
        table.add_row(
            Text.assemble(f"{number:2} ", (mark, "green")),
            Text(offer.place + _sessions(offer), no_wrap=True, overflow="ellipsis"),
            Text(_machine(offer), no_wrap=True, overflow="ellipsis"),
            offer.method,
            short_duration(offer.hours * 3600),
            Text(tr("free") if offer.usd == 0 else _usd(offer.usd_in_all), style="green" if offer.front else ""),
            _usd(offer.usd_spot_in_all),
            offer.price_date or tr("unknown"),
            _behind(offer, shown),
        )
    return table


def _behind(offer: PlaceOffer, shown: list[PlaceOffer]) -> str:
    """Number of the cheapest marked row that costs no more and takes no longer; "" for a marked one."""
    if offer.front or offer.spot_front:
        return ""
    ahead = (
        str(number)
        for number, other in enumerate(shown, 1)
        if other.spot_front and (other.least_usd or 0.0) <= (offer.least_usd or 0.0) and other.hours <= offer.hours
    )
    return next(ahead, "")


def _sessions(offer: PlaceOffer) -> str:
    return f" ({tr('{number} sessions', number=offer.sessions)})" if offer.sessions > 1 else ""


def _legend(found: Offers, shown: list[PlaceOffer]) -> list[str]:
    lines = []
    if shown:
        lines.append(
            tr(
                "{front} no place is cheaper on demand and faster; {spot} none is at its lower price; every other "
                "one is behind the row named last: no cheaper and no faster. Money is price times hours, with "
                "{minutes} minutes for the start of a machine; time is the training alone.",
                front=FRONT,
                spot=SPOT_FRONT,
                minutes=f"{START_HOURS * 60:.0f}",
            )
        )
        lines.append(tr("Divide and multiply by 1.5 what is predicted; prices move by a third within months."))
    if any(offer.sessions > 1 for offer in shown):
        lines.append(
            tr(
                "Where a session ends before the run: keep the run folder on a disk that outlives it; "
                "`sft-advisor runs resume RUN_DIR` goes on from the last checkpoint."
            )
        )
    if any(offer.usd_spot is not None for offer in shown):
        lines.append(
            tr("Spot machines may be taken away: `sft-advisor runs resume RUN_DIR` goes on from the last checkpoint.")
        )
    left = found.left_out
    lines.append(
        tr(
            "{suitable} of {offers} offers are meant; left out: {fit} where it does not fit, {ram} with too little "
            "RAM, {price} without a price, {speed} of unknown speed. `sft-advisor where --all` lists all; own "
            "prices: `sft-advisor where --prices FILE`",
            suitable=count(len(found.suitable)),
            offers=count(len(found.offers)),
            fit=left.does_not_fit,
            ram=left.too_little_ram,
            price=left.no_price,
            speed=left.speed_not_known,
        )
    )
    return lines
