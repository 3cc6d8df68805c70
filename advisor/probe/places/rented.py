"""A place as devices, and what is said about it: what the name was taken for, what it brings, what it costs."""

from __future__ import annotations

import msgspec

from advisor.base.language import later, tr
from advisor.probe.catalogue import MIB, Card, lookup
from advisor.probe.hardware import GIB, VGPU_NAME, Disk, Finding, Host, Offer
from advisor.probe.places.table import Place

SAME_SIZE_SHARE = 0.02
"""Totals of one card by host and driver differ by less; more is another size, or a slice of the card."""
_SHARED_MEMORY = {
    "half_of_ram": later("/dev/shm has half of the RAM"),
    "container": later("/dev/shm is what the platform gives: look with df -h /dev/shm"),
    "pod": later("/dev/shm has 64 MB unless a memory volume is mounted there"),
}


def card_at(place: Place) -> Card | None:
    """The place's card, of the memory that it has there."""
    card = lookup(place.gpu)
    if card is None or card.memory_mib is None or place.gpu_memory_gib is None:
        return card
    mib = round(place.gpu_memory_gib * GIB / MIB)
    differs = abs(mib - card.memory_mib) > card.memory_mib * SAME_SIZE_SHARE
    return card.of_size(mib) if differs else card


def share_of_card(place: Place) -> float | None:
    """The part of its card with which a place computes, by the memory that it has of it; None for whole cards.

    A slice may get more while its neighbours rest; what is paid for is the share.
    """
    card = lookup(place.gpu)
    is_part = place.is_slice or VGPU_NAME.search(place.gpu) is not None
    if not is_part or card is None or card.memory_mib is None or place.gpu_memory_gib is None:
        return None
    share = place.gpu_memory_gib * GIB / (card.memory_mib * MIB)
    return round(share, 3) if share < 1 - SAME_SIZE_SHARE else None


def with_gpus(place: Place, gpus: int) -> Place:
    """A place that sells single GPUs, with `gpus` of them in one machine; RAM and cores come with each."""
    return msgspec.structs.replace(
        place,
        gpus=gpus,
        ram_gib=place.ram_gib and place.ram_gib * gpus,
        cores=place.cores and place.cores * gpus,
    )


def host_at(place: Place, host: Host) -> Host:
    """`host` with what the place brings where nothing else was said."""
    ram_bytes = host.ram_total_bytes or (int(place.ram_gib * GIB) if place.ram_gib else None)
    disk_bytes = int(place.disk_gib * GIB) if place.disk_gib else None
    disk = (
        Disk(path=place.name, total_bytes=disk_bytes, free_bytes=disk_bytes, filesystem_id=0) if disk_bytes else None
    )
    shared = ram_bytes // 2 if ram_bytes and place.shared_memory == "half_of_ram" else None
    return msgspec.structs.replace(
        host,
        ram_total_bytes=ram_bytes,
        ram_available_bytes=ram_bytes,
        cpu_cores=host.cpu_cores or place.cores,
        shm_bytes=shared,
        output=disk,
        cache=disk,
    )


def offer_of(place: Place) -> Offer:
    """What one such machine costs, and for how long one has it."""
    times = place.gpus if place.priced_per_gpu else 1
    return Offer(
        place=place.name,
        session_hours=place.session_hours,
        usd_per_hour=None if place.usd_per_hour is None else place.usd_per_hour * times,
        usd_per_hour_spot=None if place.usd_per_hour_spot is None else place.usd_per_hour_spot * times,
        price_date=place.price_date,
        source=place.source,
    )


def note_of(words: str, place: Place) -> Finding:
    """What the words were taken for."""
    nodes = tr("{nodes} nodes of ", nodes=place.nodes) if place.nodes > 1 else ""
    memory = tr(" ({gpu_memory_gib:g} GiB)", gpu_memory_gib=place.gpu_memory_gib) if place.gpu_memory_gib else ""
    brought = [
        tr("{ram_gib:g} GiB of RAM", ram_gib=place.ram_gib) if place.ram_gib else tr("RAM not known"),
        tr("{disk_gib:g} GiB of disk", disk_gib=place.disk_gib) if place.disk_gib else tr("disk not known"),
        *([tr(_SHARED_MEMORY[place.shared_memory])] if place.shared_memory else []),
        *(
            [tr("a session ends after {session_hours:g} h", session_hours=place.session_hours)]
            if place.session_hours
            else []
        ),
    ]
    return Finding(
        code="place-read",
        severity="note",
        what=tr(
            "`{words}` was taken for {name}: {nodes}{gpus}x {gpu}{memory}; {brought}.",
            words=words,
            name=place.name,
            nodes=nodes,
            gpus=place.gpus,
            gpu=place.gpu,
            memory=memory,
            brought=", ".join(brought),
        ),
        why=tr("{price_of} Source: {source}.", price_of=price_of(place), source=place.source)
        + (f" {place.note}." if place.note else ""),
        fix=tr('Say what differs behind a comma: "..., 64GB RAM"; or name the card alone.'),
    )


def price_of(place: Place) -> str:
    """The price as a sentence, with its day; what is not known is said."""
    if place.usd_per_hour is None:
        return tr("Its price is not known here.")
    if place.usd_per_hour == 0:
        return tr("Free of charge ({price_date}).", price_date=place.price_date or tr("undated"))
    spot = (
        tr(", {usd_per_hour_spot:.2f} on spot", usd_per_hour_spot=place.usd_per_hour_spot)
        if place.usd_per_hour_spot
        else ""
    )
    each = tr(" a GPU") if place.priced_per_gpu else ""
    day = place.price_date if place.price_date[:1].isdigit() else tr("on an unknown day")
    return tr(
        "{usd_per_hour:.2f} US dollars an hour{each}{spot} ({day}; prices move by a third within months).",
        usd_per_hour=place.usd_per_hour,
        each=each,
        spot=spot,
        day=day,
    )
