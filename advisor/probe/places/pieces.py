"""One kind of GPU in a description, as devices: a card by its name, by its memory, a MIG instance, a Mac, a place."""

from __future__ import annotations

import re

import msgspec

from advisor.base.errors import InputError
from advisor.base.language import tr
from advisor.probe.catalogue import MIB, MULTIPROCESSORS, USABLE_SHARE_PERCENT, Card, cards, lookup
from advisor.probe.hardware import GIB, Finding, Gpu
from advisor.probe.places.refusals import disputed, problem, unknown_card, unsupported
from advisor.probe.places.rented import card_at, note_of, share_of_card, with_gpus
from advisor.probe.places.table import Place, place_of, place_with, places, provider_of
from advisor.probe.wording import (
    MOST_GPUS_USUAL,
    SIZE_TOLERANCE,
    AmbiguousCardError,
    card_from_words,
    memory_gib,
    split_count,
    spoken_memory_gib,
)
from trainers.accelerators import ACCELERATORS, Accelerator

APPLE_GPU_SHARE_PERCENT = 67
"""Of unified memory, what Metal recommends to use: 65 to 75 % by machine, near the lower end."""
SHARED_POOL_PERCENT = 75
"""Of unified memory elsewhere: the system, the loader and the page cache live in the same pool."""
MIG_MEMORY_PERCENT = 95
"""Of the size in a MIG profile's name, what the instance has (9728 MiB of "10gb", 39.25 GiB of "40gb")."""
MIG_COMPUTE_PERCENT = 91
"""Of an A100's 108 multiprocessors, those that its seven slices share (98)."""
_MIG_EIGHTHS = {1: (1, 2), 2: (2, 4), 3: (4,), 4: (4, 8), 7: (8,)}
"""Compute slices of a MIG profile -> the eighths of the card's memory that may go with them."""
MAX_GPUS_PER_NODE = 16
MAX_NODES = 4096
_APPLE = re.compile(
    r"^(?:(?:apple|silicon|i?mac\w*|pro|air|mini|studio|(?:1[3-6]|2[147])(?:[\s-]?inch|\")?)\s+)*(m[1-9])\s*(pro|max|ultra)?\b\s*(.*)$"
)
_SIZE_BEFORE_CHIP = re.compile(r"\b(\d+\s*gb?)\s+(m[1-9]\b.*)$")
_MAC_SIZES = ("8", "16", "18", "24", "32", "36", "48", "64", "96", "128", "192", "256", "512")
"""Sizes that Macs are sold with, where the unit is left out: "m4 max 128"."""
_MIG = re.compile(r"^(.*?)[\s-]*(?:mig[\s-]*)?\b([1-7])g\.(\d+)gb$")
_ONE_DIE = re.compile(r"\b(?:one of|gcd|die)\b")
_LAPTOP = re.compile(r"Laptop GPU|Max-Q Design")
_OF_LAPTOP = re.compile(r"\b(?:laptop|notebook|mobile)\b")
LAST_YEAR_OF_ONE_NAME = 2019
_VGPU = re.compile(r"^(.*[a-z].*?)-(\d{1,3})[abcq]$")
"""A slice of a card: "a40-48q" has 48 GiB."""
_SYSTEM = re.compile(r"^(?:nvidia\s+)?(?:hgx|dgx)\s+(\w.*)$|^(.+?)\s+(?:hgx|dgx)$")
_OF_SYSTEM = re.compile(r"\b\d+[\s-]*gpus?\b")
"""Cards of one system are counted, not systems: "hgx a100 4-gpu"."""
_PLURAL = re.compile(r"(?<=\w)s$")
_SUPERCHIP = re.compile(r"g[hb]\d")
_OF_VENDOR = {row.vendor: name for name, row in ACCELERATORS.items()}


class Piece(msgspec.Struct):
    """One kind of GPU in a description."""

    count: int
    """Devices, of one machine where it is a place."""
    gpu: Gpu
    accelerator: Accelerator = "cuda"
    card: Card | None = None
    notes: tuple[Finding, ...] = ()
    place: Place | None = None
    machines: int = 1
    """How many machines with `count` GPUs each; only a place says so."""
    devices_per_card: int = 1


def gpu_piece(words: str) -> Piece:
    """The devices that the words name. Raises InputError with the nearest names for what nobody sells."""
    refused = unsupported(words) or disputed(words)
    if refused is not None:
        raise InputError(refused)
    place = place_of(words)
    if place is not None:
        return place_piece(words, 1, place)
    count, name = split_count(words)
    if not 1 <= count <= MAX_NODES * MAX_GPUS_PER_NODE:
        raise InputError(problem(words, tr("{count} is not a number of GPUs that can be planned for", count=count)))
    place = place_of(name) or (place_of(_PLURAL.sub("", name)) if count > 1 else None)
    if place is not None and _OF_SYSTEM.search(words):
        return place_piece(words, 1, place) if place.gpus == count else _system_piece(words, count, name)
    if place is not None:
        return place_piece(words, count, place)
    provider, rest = ("", words) if lookup(words) else provider_of(words)
    if not provider and count > 1:
        provider, rest = provider_of(name)
        rest = f"{count}x {rest}"
    try:
        return _at_provider(words, provider, rest) if provider else _system_piece(words, count, name)
    except AmbiguousCardError as error:
        raise InputError(problem(words, str(error), error.choices)) from None


def place_piece(words: str, count: int, place: Place) -> Piece:
    """`count` machines; of a place that sells single GPUs, one machine with `count` of them, of eight several."""
    card = card_at(place)
    if card is None:
        raise InputError(
            problem(
                words, tr("{name} has a card that is not in the catalogue: {gpu}", name=place.name, gpu=place.gpu)
            )
        )
    machines = count
    if place.priced_per_gpu:
        machines = count // MOST_GPUS_USUAL if count > MOST_GPUS_USUAL and count % MOST_GPUS_USUAL == 0 else 1
        place = with_gpus(place, count // machines)
    return Piece(
        count=place.gpus,
        gpu=msgspec.structs.replace(
            _whole_gpu(words, card, place.ram_gib), name=place.gpu, compute_share=share_of_card(place)
        ),
        accelerator=_OF_VENDOR[card.vendor],
        card=card,
        notes=(note_of(words, place),),
        place=place,
        machines=machines * place.nodes,
    )


def _at_provider(words: str, provider: str, rest: str) -> Piece:
    """ "runpod 4090", "2x l4 on aws": the place where there is just one with it, else the cards alone."""
    place = place_of(rest)
    if place is not None:
        return place_piece(words, 1, place)
    if not rest:
        choices = tuple(place.name for place in places() if place.name.startswith(provider))[:4]
        raise InputError(
            problem(
                words,
                tr("which machine of {provider} is not said", provider=provider),
                choices or (f"{provider} A100",),
            )
        )
    count, name = split_count(rest)
    piece = _system_piece(words, count, name)
    place = place_with(provider, piece.gpu.name, piece.count)
    if place is not None:
        return place_piece(words, piece.count if place.priced_per_gpu else 1, place)
    note = Finding(
        code="place-read",
        severity="note",
        what=tr(
            "`{words}` was taken for {count}x {name}; RAM, disk and price are not known.",
            words=words,
            count=piece.count,
            name=piece.gpu.name,
        ),
        why=tr("Several machines at {provider} have this card, or none that is known here.", provider=provider),
        fix=tr('Name the machine type, or say the RAM behind a comma: "..., 64GB RAM".'),
    )
    return msgspec.structs.replace(piece, notes=(*piece.notes, note))


def _system_piece(words: str, count: int, name: str) -> Piece:
    """ "hgx h800" is eight cards, "hgx a100 4-gpu" four: a system's name without a count means the usual eight."""
    match = None if card_from_words(name)[0] else _SYSTEM.match(name)
    if match is None:
        return _card_piece(words, count, name)
    own_count, card = split_count((match[1] or match[2]).strip())
    if _SUPERCHIP.match(card):
        choices = (f"32 nodes of 1x {card.upper()}",)
        raise InputError(problem(words, tr("such a system has many sizes; say how many nodes of it"), choices))
    said = max(count, own_count)
    return _card_piece(words, said if said > 1 else MOST_GPUS_USUAL, card)


def _card_piece(words: str, count: int, name: str) -> Piece:
    if match := _APPLE.match(_SIZE_BEFORE_CHIP.sub(r"\2 \1", name)):
        return _apple_piece(words, count, match)
    if match := _MIG.match(name):
        return _mig_piece(words, count, match)
    gib = memory_gib(name)
    if gib is not None:
        notes = _own_memory_assumed(words, gib) if _OF_LAPTOP.search(name) else ()
        return Piece(count=count, gpu=_card_of_memory(words, gib), notes=notes)
    if match := _VGPU.match(name):
        return _vgpu_piece(words, count, match)
    card, assumption = card_from_words(name)
    if card is None and (desktop := _of_older_laptop(name)) is not None:
        card, assumption = (
            desktop,
            tr(
                "`{words}` was read as {label}: laptops carry the same name, and are slower",
                words=words,
                label=desktop.label,
            ),
        )
    if card is None:
        raise InputError(unknown_card(words, name))
    devices = 1 if _ONE_DIE.search(name) else card.devices
    return Piece(
        count=devices if card.is_computer else count * devices,
        machines=count if card.is_computer else 1,
        gpu=_whole_gpu(words, card, spoken_memory_gib(name)),
        accelerator=_OF_VENDOR[card.vendor],
        card=card,
        notes=_card_notes(card, assumption, count, devices),
        devices_per_card=devices,
    )


def _of_older_laptop(name: str) -> Card | None:
    """Up to 2019 the driver called a laptop's chip like the desktop's."""
    if not _OF_LAPTOP.search(name):
        return None
    card, _ = card_from_words(" ".join(_OF_LAPTOP.sub(" ", name).split()))
    return card if card is not None and card.year <= LAST_YEAR_OF_ONE_NAME else None


def _card_notes(card: Card, assumption: str, count: int, devices: int) -> tuple[Finding, ...]:
    notes = []
    if assumption:
        fix = tr("Name the exact card to change it.")
        notes.append(Finding(code="card-assumed", severity="note", what=assumption, fix=fix))
    if devices > 1:
        each = tr(", each with {memory_mib:.1f} GiB", memory_mib=(card.memory_mib or 0) / 1024)
        notes.append(
            Finding(
                code="card-of-several-devices",
                severity="note",
                what=tr(
                    "One {family} shows as {devices} devices{each}: {count} are planned on.",
                    family=card.family,
                    devices=devices,
                    each=each,
                    count=count * devices,
                ),
                fix=tr(
                    "Where you counted devices, write {count:g}x {family}.", count=count / devices, family=card.family
                )
                if count > 1
                else "",
            )
        )
    if _LAPTOP.search(card.name):
        notes.append(
            Finding(
                code="laptop-power",
                severity="note",
                what=tr("A laptop's card is as fast as the power that the laptop gives it."),
                why=tr("The time is for the usual boost clock; a thin laptop takes longer."),
            )
        )
    return tuple(notes)


def _own_memory_assumed(words: str, gib: float) -> tuple[Finding, ...]:
    what = tr("`{words}` was taken for a graphics card with {gib:g} GiB of its own memory.", words=words, gib=gib)
    fix = tr('Where that is the RAM, name the card: "RTX 4060 Laptop, 16GB RAM", or "cpu, 16GB RAM" without one.')
    return (Finding(code="card-assumed", severity="note", what=what, fix=fix),)


def _whole_gpu(words: str, card: Card, memory_gib: float | None) -> Gpu:
    """The card as its driver shows it; one that shares the system's memory has `memory_gib` of it."""
    if card.unified:
        return _unified_gpu(words, card, memory_gib)
    total, usable = card.total_bytes or 0, card.usable_bytes or 0
    return _gpu(card.name, total, min(usable, total), card)


def _card_of_memory(words: str, gib: float) -> Gpu:
    if not 1 <= gib <= 1024:
        raise InputError(problem(words, tr("the memory of one GPU must be between 1 and 1024 GiB")))
    total = int(gib * GIB)
    return _gpu(f"GPU with {gib:g} GiB", total, total * USABLE_SHARE_PERCENT // 100)


def _unified_gpu(words: str, card: Card, gib: float | None) -> Gpu:
    measured = card.total_bytes
    is_said_otherwise = gib and not (measured and abs(measured - gib * GIB) <= measured * SIZE_TOLERANCE)
    total = int(gib * GIB) if gib and is_said_otherwise else measured
    if total is None:
        raise InputError(
            problem(
                words,
                tr("{label} shares the system's memory, whose size is not said", label=card.label),
                (f"{card.label} 128GB",),
            )
        )
    return _gpu(card.name, total, total * SHARED_POOL_PERCENT // 100, card)


def _apple_piece(words: str, count: int, match: re.Match[str]) -> Piece:
    chip = " ".join(part.capitalize() for part in match.groups()[:2] if part)
    gib = spoken_memory_gib(match[3]) or memory_gib(match[3])
    if gib is None and match[3] in _MAC_SIZES:
        gib = float(match[3])
    if count > 1:
        raise InputError(problem(words, tr("Apple GPUs do not train together; describe one")))
    if gib is None or not 4 <= gib <= 1024:
        raise InputError(
            problem(words, tr("the chip shares the Mac's memory, whose size is not said"), (f"{chip} 64GB",))
        )
    total = int(gib * GIB)
    cores = re.search(r"(\d+)[- ]core", match[3])
    exact = lookup(f"Apple {chip} ({cores[1]}-core GPU)") if cores else None
    gpu = _gpu(exact.name if exact else f"Apple {chip}", total, total * APPLE_GPU_SHARE_PERCENT // 100, unified=True)
    return Piece(count=1, gpu=gpu, accelerator="mps")


def _vgpu_piece(words: str, count: int, match: re.Match[str]) -> Piece:
    card, _ = card_from_words(match[1].removeprefix("grid "))
    if card is None or card.memory_mib is None:
        raise InputError(unknown_card(words, match[1]))
    total = min(int(match[2]) * GIB, card.memory_mib * MIB)
    usable = total * USABLE_SHARE_PERCENT // 100
    gpu = msgspec.structs.replace(_gpu(card.name, total, usable, card), kind="vgpu")
    return Piece(count=count, gpu=gpu, accelerator=_OF_VENDOR[card.vendor], card=card)


def _mig_piece(words: str, count: int, match: re.Match[str]) -> Piece:
    """ "A100 MIG 3g.40gb": first the sevenths of the multiprocessors, then the memory."""
    sevenths, label_gb = int(match[2]), int(match[3])
    named, _ = card_from_words(match[1]) if match[1] else (None, "")
    siblings = [card for card in cards() if named and card.family == named.family in MULTIPROCESSORS]
    if named and spoken_memory_gib(match[1]):
        siblings = [card for card in siblings if card.memory_mib == named.memory_mib]
    eighths = _MIG_EIGHTHS.get(sevenths, ())
    fitting = [
        (part, position)
        for position, card in enumerate(siblings)
        for part in eighths
        if abs((card.memory_mib or 0) / 1024 * part / 8 - label_gb) <= label_gb * SIZE_TOLERANCE
    ]
    if not fitting:
        raise InputError(
            problem(words, tr("no card is cut into such instances"), ("A100 MIG 3g.40gb", "H100 MIG 1g.10gb"))
        )
    card = siblings[min(fitting)[1]]
    total = label_gb * GIB * MIG_MEMORY_PERCENT // 100
    gpu = msgspec.structs.replace(
        _gpu(card.name, total, total, card),
        kind="mig",
        mig_profile=f"{sevenths}g.{label_gb}gb",
        compute_share=round(sevenths / 7 * MIG_COMPUTE_PERCENT / 100, 3),
    )
    return Piece(count=count, gpu=gpu, card=card)


def _gpu(name: str, total: int, usable: int, card: Card | None = None, *, unified: bool = False) -> Gpu:
    return Gpu(
        index=0,
        name=name,
        kind="unified" if unified or (card and card.unified) else "gpu",
        total_bytes=total,
        reserved_bytes=total - usable,
        used_bytes=0,
        free_bytes=usable,
        compute_capability=card.compute_capability if card else None,
        architecture=card.architecture if card else None,
        catalogue_name=card.name if card else None,
    )
