"""`--hardware`: a saved profile, or a machine in a few words, so that you can plan for a machine you do not have.

    hardware_from_text("RTX 4090")                     one card of the catalogue
    hardware_from_text("2x 24GiB")                     cards of which only the memory is known
    hardware_from_text("2 nodes of 8x H100-80GB")      per node; "16x H100" is the same machine
    hardware_from_text("1x RTX 3090 + 1x RTX 5090, 64GB RAM")
    hardware_from_text("Colab T4")    hardware_from_text("g5.12xlarge")    hardware_from_text("RunPod 4090")
    hardware_from_text("M3 Max 64GB")    hardware_from_text("cpu")    hardware_from_text("machine.json")
    hardware_from_text("this machine")                 what the probe measures here

A described machine is empty (free = usable), and what the description leaves out (RAM, disk, driver) is None.
A place (advisor/probe/places/machines.toml) brings its RAM, disk, session limit and price.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import msgspec

from advisor.base.errors import InputError, Problem
from advisor.base.language import current, tr
from advisor.probe.catalogue import lookup
from advisor.probe.hardware import GIB, Disk, Finding, Gpu, Hardware, Host, Link
from advisor.probe.places.context import (
    bare_size_gib,
    halves,
    host_beside_processor,
    host_words,
    names_no_card,
    without_context,
    without_processor,
)
from advisor.probe.places.pieces import MAX_GPUS_PER_NODE, MAX_NODES, Piece, gpu_piece, place_piece
from advisor.probe.places.refusals import disputed, problem, unsupported
from advisor.probe.places.rented import host_at, offer_of
from advisor.probe.places.spelling import MAX_CHARACTERS, has_control_characters, plain, without_unread
from advisor.probe.places.table import Place, place_of
from advisor.probe.profile import load_profile
from advisor.probe.wording import MOST_GPUS_USUAL, SIZE_TOLERANCE, split_nodes

_USUAL_GPUS_PER_NODE = {"GB200": 4, "GB300": 4}
_JOINTS = re.compile(
    r"\s*(?:[+,;&]|\b(?:and|plus|with(?! max-q)"
    r"(?!\s+\d+\s*g(?:i?b)?\b(?!\s*(?:of\s+)?(?:system |host |cpu )?(?:ram|memory))))\b)\s*"
)
"""Between two kinds of thing: not before a card's own memory, as in "RTX 4090 with 24GB"."""
_NVLINK = re.compile(r"^(?:an?\s+)?(?:nvlinks?(?:ed)?|nvswitch)(?:\s+bridges?)?$")
_BRIDGED = re.compile(r"[\s(]+(?:an?\s+)?(?:nvlink(?:s|ed)?|nvswitch)(?:\s+bridges?)?\)?$")
_HERE = re.compile(r"^(?:(?:this|my|the local) (?:machine|computer)|here|local|localhost|auto)$")


class _Parts(msgspec.Struct):
    """What the pieces of one description add up to."""

    pieces: list[Piece] = []
    sizes: list[str] = []
    """Sizes of which nothing is said: "32gb"."""
    ram_bytes: int | None = None
    disk_bytes: int | None = None
    cores: int | None = None
    is_cpu: bool = False
    has_processor: bool = False
    """Whether the words name one, so that a size beside it is RAM."""
    is_bridged: bool = False
    """Whether the words say that the cards have NVLink."""

    @property
    def gpus(self) -> list[Gpu]:
        return [piece.gpu for piece in self.pieces for _ in range(piece.count)]


def hardware_from_text(text: str) -> Hardware:
    """The machine that `text` names: a profile file, a folder of profiles (one per node), or a short form.

    Raises InputError for anything that is neither, with the nearest names that are known.
    """
    text = text.strip()
    if _looks_like_path(text):
        return load_profile(Path(text).expanduser())
    words = _words(text)
    if _HERE.match(words):
        from advisor.probe.machine import probe  # a described machine needs nothing of the driver's side

        return probe()
    return _described(text, words, current())


@lru_cache(maxsize=1024)
def _described(text: str, words: str, _language: str) -> Hardware:
    """The machine of these words, read once: a search for what would change an answer comes back to the same ones."""
    if refused := unsupported(words) or disputed(words):
        raise InputError(refused)
    words, unread = without_unread(words)
    known = place_of(words) or lookup(words)
    words = words if known else without_context(words)
    num_nodes, per_node, rest = (None, True, words) if place_of(words) else split_nodes(words)
    parts = _read(rest)
    contradiction = _contradiction(parts, num_nodes)
    if contradiction:
        raise InputError(problem(text, contradiction))
    gpus, machines = _spread(text, parts, num_nodes, per_node)
    machine = _machine(text, parts, gpus, machines, assumed_nodes=num_nodes is None or not per_node)
    return msgspec.structs.replace(machine, findings=machine.findings + _left_out(unread))


def _left_out(unread: tuple[str, ...]) -> tuple[Finding, ...]:
    if not unread:
        return ()
    what = tr("`{words}` in the description was not read.", words=" ".join(unread))
    return (Finding(code="words-left-out", severity="note", what=what),)


def hardware_at(place: Place, count: int = 1) -> Hardware:
    """`count` machines of a place, or GPUs where it sells them singly. Raises InputError for an unsupported card."""
    parts = _Parts(pieces=[place_piece(place.name, count, place)])
    gpus, machines = _spread(place.name, parts, None, True)
    return _machine(place.name, parts, gpus, machines, assumed_nodes=False)


def _words(text: str) -> str:
    """What was typed, in plain lower-case letters. Raises InputError for text that cannot describe a machine."""
    if not text:
        raise InputError(problem(text, tr("it is empty")))
    if len(text) > MAX_CHARACTERS:
        raise InputError(
            problem(
                text,
                tr(
                    "it has {num_text} characters, and no machine needs {max_characters}",
                    num_text=len(text),
                    max_characters=MAX_CHARACTERS,
                ),
            )
        )
    if has_control_characters(text):
        raise InputError(problem(text, tr("it holds control characters")))
    words = plain(text).lower()
    if re.search(r"\d{10}", words):
        raise InputError(problem(text, tr("it holds a number that no machine has")))
    return words


def _looks_like_path(text: str) -> bool:
    if not text:
        return False
    if text.lower().endswith(".json") or "/" in text or "\\" in text:
        return True
    try:
        return Path(text).exists()
    except (OSError, ValueError):
        return False


def _read(text: str) -> _Parts:
    parts = _Parts()
    problems: list[Problem] = []
    for piece in [text] if place_of(text) or lookup(text) else _JOINTS.split(text):
        try:
            if piece:
                parts = _with(parts, piece)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(*problems)
    _settle_sizes(parts)
    return parts


def _with(parts: _Parts, words: str) -> _Parts:
    """`parts` and what the words say, whole or, where nobody understands them so, in halves."""
    try:
        return _added(parts, words)
    except InputError as error:
        for pair in halves(words):
            try:
                both = _added(_added(parts, pair[0]), pair[1])
            except InputError:
                continue
            if all(piece.card is not None for piece in both.pieces):
                return both
        raise error


def _added(parts: _Parts, words: str) -> _Parts:
    parts = msgspec.structs.replace(parts, pieces=[*parts.pieces], sizes=[*parts.sizes])
    _add(parts, words)
    return parts


def _add(parts: _Parts, words: str) -> None:
    if place_of(words) or lookup(words):
        parts.pieces.append(gpu_piece(words))
    elif _NVLINK.match(words):
        parts.is_bridged = True
    elif host := host_words(words) or host_beside_processor(words):
        parts.has_processor = parts.has_processor or not host_words(words)
        parts.is_cpu = parts.is_cpu or host.is_cpu
        parts.cores = host.cores or parts.cores
        parts.ram_bytes = _bytes(host.ram_gib) or parts.ram_bytes
        parts.disk_bytes = _bytes(host.disk_gib) or parts.disk_bytes
    elif bare_size_gib(words) is not None:
        parts.sizes.append(words)
    elif names_no_card(words):
        parts.has_processor = parts.has_processor or not without_processor(words)
    else:
        bridged = _BRIDGED.sub("", words)
        parts.is_bridged = parts.is_bridged or bridged != words
        rest = without_processor(bridged)
        parts.has_processor = parts.has_processor or rest != bridged
        if rest != bridged and bare_size_gib(rest) is not None:
            parts.sizes.append(rest)
        else:
            parts.pieces.append(gpu_piece(rest))


def _settle_sizes(parts: _Parts) -> None:
    """A size alone is a card; beside a card or "cpu" it is the RAM, or the card's own size said once more."""
    named = [piece.gpu.total_bytes or 0 for piece in parts.pieces]
    for words in parts.sizes:
        size_bytes = _bytes(bare_size_gib(words)) or 0
        if not named and not parts.is_cpu and not parts.has_processor:
            parts.pieces.append(gpu_piece(words))
        elif not any(abs(size_bytes - own) <= own * SIZE_TOLERANCE for own in named):
            parts.ram_bytes = parts.ram_bytes or size_bytes


def _bytes(gib: float | None) -> int | None:
    return None if gib is None else int(gib * GIB)


def _contradiction(parts: _Parts, num_nodes: int | None) -> str:
    if not parts.pieces and not parts.is_cpu:
        return tr('it names no GPU; a machine without one is written `cpu`, or "cpu, 64GB RAM"')
    if parts.pieces and parts.is_cpu:
        return tr("it names a GPU and says `cpu` as well")
    return _count_contradiction(parts, num_nodes) or _mixture_contradiction(parts)


def _count_contradiction(parts: _Parts, num_nodes: int | None) -> str:
    if num_nodes is not None and not 1 <= num_nodes <= MAX_NODES:
        return tr("the number of machines must be between 1 and {max_nodes}", max_nodes=MAX_NODES)
    if parts.is_cpu and (num_nodes or 1) > 1:
        return tr("plans for several machines without a GPU are not supported")
    return ""


def _mixture_contradiction(parts: _Parts) -> str:
    if len(parts.pieces) > 1 and any(piece.place for piece in parts.pieces):
        return tr("it names a whole machine and something beside it; describe one kind of machine")
    if len({piece.accelerator for piece in parts.pieces}) > 1:
        return tr("cards of different makers cannot train together; describe one kind")
    return ""


def _spread(text: str, parts: _Parts, num_nodes: int | None, per_node: bool) -> tuple[list[Gpu], int]:
    """(GPUs of one node, number of nodes). "16x H100" is two nodes of the usual eight."""
    gpus, first = parts.gpus, parts.pieces[0] if parts.pieces else None
    if first is not None and (first.place is not None or first.machines > 1):
        num_nodes = (num_nodes or 1) * first.machines
        if num_nodes > MAX_NODES:
            raise InputError(
                problem(text, tr("the number of machines must be between 1 and {max_nodes}", max_nodes=MAX_NODES))
            )
    elif num_nodes is not None and not per_node and len(gpus) > 1:
        if len(gpus) % num_nodes or len(parts.pieces) > 1:
            raise InputError(
                problem(
                    text,
                    tr(
                        "{num_gpus} GPUs cannot be split evenly over {num_nodes} machines",
                        num_gpus=len(gpus),
                        num_nodes=num_nodes,
                    ),
                )
            )
        gpus = gpus[: len(gpus) // num_nodes]
    elif num_nodes is None:
        num_nodes = 1
        usual = _usual_gpus(first)
        if len(parts.pieces) == 1 and len(gpus) > usual and len(gpus) % usual == 0:
            num_nodes, gpus = len(gpus) // usual, gpus[:usual]
    if len(gpus) > MAX_GPUS_PER_NODE:
        example = f"2 nodes of 8x {first.card.label}" if first and first.card else "2 nodes of 8x 24GiB"
        raise InputError(
            problem(text, tr("{num_gpus} GPUs in one machine; say how many machines", num_gpus=len(gpus)), (example,))
        )
    return [msgspec.structs.replace(gpu, index=index) for index, gpu in enumerate(gpus)], num_nodes


def _usual_gpus(piece: Piece | None) -> int:
    """Devices of a usual machine with such cards."""
    if piece is None or piece.card is None:
        return MOST_GPUS_USUAL
    return min(
        _USUAL_GPUS_PER_NODE.get(piece.card.family, MOST_GPUS_USUAL) * piece.devices_per_card, MAX_GPUS_PER_NODE
    )


def _machine(text: str, parts: _Parts, gpus: list[Gpu], num_nodes: int, *, assumed_nodes: bool) -> Hardware:
    link, findings = _link(parts, gpus)
    findings += [note for piece in parts.pieces for note in piece.notes]
    place = parts.pieces[0].place if parts.pieces else None
    if assumed_nodes and place is None and not any(piece.machines > 1 for piece in parts.pieces):
        findings += _nodes_assumed(len(gpus), num_nodes)
    host = _host(parts, gpus)
    return Hardware(
        origin="described",
        description=text,
        state="ok" if gpus else "absent",
        accelerator=parts.pieces[0].accelerator if parts.pieces else "cpu",
        gpus=tuple(gpus),
        host=host_at(place, host) if place else host,
        num_nodes=num_nodes,
        link=link,
        findings=tuple(findings),
        offer=offer_of(place) if place else None,
    )


def _host(parts: _Parts, gpus: list[Gpu]) -> Host:
    unified = next((gpu for gpu in gpus if gpu.kind == "unified"), None)
    disk = parts.disk_bytes and Disk(
        path="described", total_bytes=parts.disk_bytes, free_bytes=parts.disk_bytes, filesystem_id=0
    )
    return Host(
        ram_total_bytes=unified.total_bytes if unified else parts.ram_bytes,
        ram_available_bytes=unified.free_bytes if unified else parts.ram_bytes,
        cpu_cores=parts.cores,
        output=disk or None,
        cache=disk or None,
        platform="darwin" if parts.pieces and parts.pieces[0].accelerator == "mps" else "linux",
    )


def _nodes_assumed(num_gpus: int, num_nodes: int) -> list[Finding]:
    if num_nodes > 1:
        what = tr(
            "This was read as {num_nodes} machines with {num_gpus} GPUs each.", num_nodes=num_nodes, num_gpus=num_gpus
        )
        return [
            Finding(
                code="nodes-assumed",
                severity="note",
                what=what,
                fix=tr("Say it otherwise: 4 nodes of {num_gpus}x ...", num_gpus=num_gpus),
            )
        ]
    if num_gpus > MOST_GPUS_USUAL:
        what = tr("This was read as one machine with {num_gpus} GPUs.", num_gpus=num_gpus)
        fix = tr("Say it otherwise: 2 nodes of 6x ...")
        return [Finding(code="nodes-assumed", severity="note", what=what, fix=fix)]
    return []


def _link(parts: _Parts, gpus: list[Gpu]) -> tuple[Link, list[Finding]]:
    cards = [piece.card for piece in parts.pieces]
    if len(gpus) < 2 or any(card is None for card in cards):
        return "unknown", []
    kinds = {card.nvlink for card in cards if card is not None}
    if len(parts.pieces) == 1 and (kinds == {"all"} or (parts.is_bridged and "none" not in kinds)):
        return "nvlink", []
    if "bridge" in kinds and len(parts.pieces) == 1:
        note = Finding(
            code="link-assumed",
            severity="note",
            what=tr("The cards are taken to be connected by PCIe only."),
            why=tr(
                "This card has NVLink only where a bridge joins two of them, and the description does not say so."
            ),
            fix=tr("Probe the real machine: sft-advisor probe"),
        )
        return "pcie", [note]
    return "pcie", []
