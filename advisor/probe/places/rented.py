"""A place as devices, and what is said about it: what the name was taken for, what it brings, what it costs."""

from __future__ import annotations

import msgspec

from advisor.probe.catalogue import MIB, Card, lookup
from advisor.probe.hardware import GIB, Disk, Finding, Host, Offer
from advisor.probe.places.table import Place

SAME_SIZE_SHARE = 0.02
"""Totals of one card by host and driver differ by less; more is another size, or a slice of the card."""
_SHARED_MEMORY = {
    "half_of_ram": "/dev/shm has half of the RAM",
    "container": "/dev/shm is what the platform gives: look with df -h /dev/shm",
    "pod": "/dev/shm has 64 MB unless a memory volume is mounted there",
}


def card_at(place: Place) -> Card | None:
    """The place's card, of the memory that it has there."""
    card = lookup(place.gpu)
    if card is None or card.memory_mib is None or place.gpu_memory_gib is None:
        return card
    mib = round(place.gpu_memory_gib * GIB / MIB)
    differs = abs(mib - card.memory_mib) > card.memory_mib * SAME_SIZE_SHARE
    return card.of_size(mib) if differs else card


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
    nodes = f"{place.nodes} nodes of " if place.nodes > 1 else ""
    memory = f" ({place.gpu_memory_gib:g} GiB)" if place.gpu_memory_gib else ""
    brought = [
        f"{place.ram_gib:g} GiB of RAM" if place.ram_gib else "RAM not known",
        f"{place.disk_gib:g} GiB of disk" if place.disk_gib else "disk not known",
        *([_SHARED_MEMORY[place.shared_memory]] if place.shared_memory else []),
        *([f"a session ends after {place.session_hours:g} h"] if place.session_hours else []),
    ]
    return Finding(
        code="place-read",
        severity="note",
        what=f"`{words}` was taken for {place.name}: {nodes}{place.gpus}x {place.gpu}{memory}; {', '.join(brought)}.",
        why=f"{price_of(place)} Source: {place.source}." + (f" {place.note}." if place.note else ""),
        fix='Say what differs behind a comma: "..., 64GB RAM"; or name the card alone.',
    )


def price_of(place: Place) -> str:
    """The price as a sentence, with its day; what is not known is said."""
    if place.usd_per_hour is None:
        return "Its price is not known here."
    if place.usd_per_hour == 0:
        return f"Free of charge ({place.price_date or 'undated'})."
    spot = f", {place.usd_per_hour_spot:.2f} on spot" if place.usd_per_hour_spot else ""
    each = " a GPU" if place.priced_per_gpu else ""
    day = place.price_date if place.price_date[:1].isdigit() else "on an unknown day"
    return f"{place.usd_per_hour:.2f} US dollars an hour{each}{spot} ({day}; prices move by a third within months)."
