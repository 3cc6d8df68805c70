"""`--hardware`: a saved profile, or a machine in a few words, so that one can plan for a machine one does not have.

    hardware_from_text("RTX 4090")                     one card of the catalogue
    hardware_from_text("2x 24GiB")                     cards of which only the memory is known
    hardware_from_text("2 nodes of 8x H100-80GB")      per node; "16x H100" is the same machine
    hardware_from_text("1x RTX 3090 + 1x RTX 5090, 64GB RAM")
    hardware_from_text("M3 Max 64GB")    hardware_from_text("cpu")    hardware_from_text("machine.json")

A described machine is empty (free = usable), and what nobody said about it (RAM, disk, driver) is None.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from advisor.errors import InputError, Problem
from advisor.probe.catalogue import MULTIPROCESSORS, USABLE_SHARE_PERCENT, Card, cards
from advisor.probe.hardware import GIB, Accelerator, Finding, Gpu, Hardware, Host, Link
from advisor.probe.profile import load_profile
from advisor.probe.wording import (
    SIZE_TOLERANCE,
    AmbiguousCardError,
    card_from_words,
    closest_labels,
    memory_gib,
    split_count,
    split_nodes,
    spoken_memory_gib,
)

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
_USUAL_GPUS_PER_NODE = {"GB200": 4, "GB300": 4}
_FORMS = (
    '"RTX 4090", "8x H100-80GB", "2x 24GiB", "2 nodes of 8x A100-80GB", "cpu", '
    "or a file that `sft-advisor probe --json` wrote"
)

_RAM = re.compile(
    r"^(?:with\s+)?(\d+(?:\.\d+)?)\s*(gib|gb|g|tib|tb)\s*(?:of\s+)?(?:system |host |cpu )?(?:ram|memory)$"
)
_CORES = re.compile(r"^(\d{1,4})\s*(?:x\s*)?(?:cpu\s+)?(?:cores?|v?cpus?)$")
_CPU = re.compile(r"^(?:a\s+)?(?:cpu|cpu[- ]only|no gpu)$")
_APPLE = re.compile(r"^(?:(?:apple|mac\w*|pro|air|mini|studio)\s+)*(m[1-9])\s*(pro|max|ultra)?\b\s*(.*)$")
_MIG = re.compile(r"^(.*?)[\s-]*(?:mig[\s-]*)?\b([1-7])g\.(\d+)gb$")
_MAC = re.compile(r"\b(?:mac|apple|imac)")
_ACCELERATOR: dict[str, Accelerator] = {"nvidia": "cuda", "amd": "rocm", "intel": "xpu", "apple": "mps"}


class _Piece(msgspec.Struct):
    """One kind of GPU in a description."""

    count: int
    gpu: Gpu
    accelerator: Accelerator = "cuda"
    card: Card | None = None
    assumption: str = ""


class _Parts(msgspec.Struct):
    """What the pieces of one description add up to."""

    pieces: list[_Piece] = []
    ram_bytes: int | None = None
    cores: int | None = None
    is_cpu: bool = False

    @property
    def gpus(self) -> list[Gpu]:
        return [piece.gpu for piece in self.pieces for _ in range(piece.count)]


def hardware_from_text(text: str) -> Hardware:
    """The machine that `text` names: a profile file, a folder of profiles (one per node), or a short form.

    Raises InputError for anything that is neither, with the nearest names that are known.
    """
    text = text.strip()
    if not text:
        raise InputError(_problem(text, "it is empty"))
    if _looks_like_path(text):
        return load_profile(Path(text).expanduser())
    num_nodes, per_node, rest = split_nodes(text)
    parts = _read(rest)
    problem = _contradiction(parts, num_nodes)
    if problem:
        raise InputError(_problem(text, problem))
    gpus, machines = _spread(text, parts, num_nodes, per_node)
    hardware = _machine(text, parts, gpus, machines)
    if num_nodes is None and machines > 1:
        note = Finding(
            code="nodes-assumed",
            severity="note",
            what=f"This was read as {machines} machines with {len(gpus)} GPUs each.",
            fix=f"Say it otherwise: 4 nodes of {len(gpus)}x ...",
        )
        return msgspec.structs.replace(hardware, findings=(*hardware.findings, note))
    return hardware


def _looks_like_path(text: str) -> bool:
    if text.lower().endswith(".json") or "/" in text or "\\" in text:
        return True
    try:
        return Path(text).exists()
    except (OSError, ValueError):
        return False


def _read(text: str) -> _Parts:
    parts = _Parts()
    problems: list[Problem] = []
    for piece in re.split(r"\s*(?:[+,;&]|\b(?:and|plus|with)\b)\s*", text):
        try:
            if piece:
                _add(parts, piece)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(*problems)
    return parts


def _add(parts: _Parts, words: str) -> None:
    if match := _RAM.match(words):
        parts.ram_bytes = int(float(match[1]) * GIB * (1024 if match[2].startswith("t") else 1))
    elif _CPU.match(words):
        parts.is_cpu = True
    elif match := _CORES.match(words):
        parts.cores = int(match[1])
        parts.is_cpu = parts.is_cpu or "cpu" in words
    else:
        parts.pieces.append(_gpu_piece(words))


def _gpu_piece(words: str) -> _Piece:
    count, name = split_count(words)
    if not 1 <= count <= MAX_NODES * MAX_GPUS_PER_NODE:
        raise InputError(_problem(words, f"{count} is not a number of GPUs that can be planned for"))
    try:
        return _piece_of(words, count, name)
    except AmbiguousCardError as error:
        raise InputError(_problem(words, str(error), error.choices)) from None


def _piece_of(words: str, count: int, name: str) -> _Piece:
    if match := _APPLE.match(name):
        return _apple_piece(words, count, match)
    if match := _MIG.match(name):
        return _mig_piece(words, count, match)
    gib = memory_gib(name)
    if gib is not None:
        return _Piece(count=count, gpu=_card_of_memory(words, gib))
    card, assumption = card_from_words(name)
    if card is None:
        raise InputError(_unknown_card(words, name))
    gpu = _unified_gpu(words, card, name) if card.unified else _catalogue_gpu(card)
    return _Piece(count=count, gpu=gpu, accelerator=_ACCELERATOR[card.vendor], card=card, assumption=assumption)


def _catalogue_gpu(card: Card) -> Gpu:
    total, usable = card.total_bytes or 0, card.usable_bytes or 0
    return _gpu(card.name, total, min(usable, total), card)


def _card_of_memory(words: str, gib: float) -> Gpu:
    if not 1 <= gib <= 1024:
        raise InputError(_problem(words, "the memory of one GPU must be between 1 and 1024 GiB"))
    total = int(gib * GIB)
    return _gpu(f"GPU with {gib:g} GiB", total, total * USABLE_SHARE_PERCENT // 100)


def _unified_gpu(words: str, card: Card, name: str) -> Gpu:
    gib = spoken_memory_gib(name)
    total = int(gib * GIB) if gib else card.total_bytes
    if total is None:
        raise InputError(
            _problem(
                words, f"{card.label} shares the system's memory, whose size is not said", (f"{card.label} 128GB",)
            )
        )
    return _gpu(card.name, total, total * SHARED_POOL_PERCENT // 100, card)


def _apple_piece(words: str, count: int, match: re.Match[str]) -> _Piece:
    chip = " ".join(part.capitalize() for part in match.groups()[:2] if part)
    gib = spoken_memory_gib(match[3]) or memory_gib(match[3])
    if count > 1:
        raise InputError(_problem(words, "Apple GPUs do not train together; describe one"))
    if gib is None or not 4 <= gib <= 1024:
        raise InputError(
            _problem(words, "the chip shares the Mac's memory, whose size is not said", (f"{chip} 64GB",))
        )
    total = int(gib * GIB)
    gpu = _gpu(f"Apple {chip}", total, total * APPLE_GPU_SHARE_PERCENT // 100, unified=True)
    return _Piece(count=1, gpu=gpu, accelerator="mps")


def _mig_piece(words: str, count: int, match: re.Match[str]) -> _Piece:
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
            _problem(words, "no card is cut into such instances", ("A100 MIG 3g.40gb", "H100 MIG 1g.10gb"))
        )
    card = siblings[min(fitting)[1]]
    total = label_gb * GIB * MIG_MEMORY_PERCENT // 100
    gpu = msgspec.structs.replace(
        _gpu(card.name, total, total, card),
        kind="mig",
        mig_profile=f"{sevenths}g.{label_gb}gb",
        compute_share=round(sevenths / 7 * MIG_COMPUTE_PERCENT / 100, 3),
    )
    return _Piece(count=count, gpu=gpu, card=card)


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


def _contradiction(parts: _Parts, num_nodes: int | None) -> str:
    if not parts.pieces and not parts.is_cpu:
        return "it names no GPU; a machine without one is written `cpu`"
    if parts.pieces and parts.is_cpu:
        return "it names a GPU and says `cpu` as well"
    if num_nodes is not None and not 1 <= num_nodes <= MAX_NODES:
        return f"the number of machines must be between 1 and {MAX_NODES}"
    if parts.is_cpu and (num_nodes or 1) > 1:
        return "several machines without a GPU are not planned for"
    if len({piece.accelerator for piece in parts.pieces}) > 1:
        return "cards of different makers cannot train together; describe one kind"
    return ""


def _spread(text: str, parts: _Parts, num_nodes: int | None, per_node: bool) -> tuple[list[Gpu], int]:
    """(GPUs of one node, number of nodes). "16x H100" is two nodes of the usual eight."""
    gpus = parts.gpus
    usual = _USUAL_GPUS_PER_NODE.get(parts.pieces[0].card.family, 8) if parts.pieces and parts.pieces[0].card else 8
    if num_nodes is not None and not per_node:
        if len(gpus) % num_nodes or len(parts.pieces) > 1:
            raise InputError(_problem(text, f"{len(gpus)} GPUs cannot be split evenly over {num_nodes} machines"))
        gpus = gpus[: len(gpus) // num_nodes]
    elif num_nodes is None:
        num_nodes = 1
        if len(parts.pieces) == 1 and len(gpus) > usual and len(gpus) % usual == 0:
            num_nodes, gpus = len(gpus) // usual, gpus[:usual]
    if len(gpus) > MAX_GPUS_PER_NODE:
        example = f"2 nodes of 8x {parts.pieces[0].card.label}" if parts.pieces[0].card else "2 nodes of 8x 24GiB"
        raise InputError(_problem(text, f"{len(gpus)} GPUs in one machine; say how many machines", (example,)))
    return [msgspec.structs.replace(gpu, index=index) for index, gpu in enumerate(gpus)], num_nodes


def _machine(text: str, parts: _Parts, gpus: list[Gpu], num_nodes: int) -> Hardware:
    unified = next((gpu for gpu in gpus if gpu.kind == "unified"), None)
    link, findings = _link(parts, gpus)
    findings += [
        Finding(code="card-assumed", severity="note", what=piece.assumption, fix="Name the exact card to change it.")
        for piece in parts.pieces
        if piece.assumption
    ]
    return Hardware(
        origin="described",
        description=text,
        state="ok" if gpus else "absent",
        accelerator=parts.pieces[0].accelerator if parts.pieces else "cpu",
        gpus=tuple(gpus),
        host=Host(
            ram_total_bytes=unified.total_bytes if unified else parts.ram_bytes,
            ram_available_bytes=unified.free_bytes if unified else parts.ram_bytes,
            cpu_cores=parts.cores,
            platform="darwin" if parts.pieces and parts.pieces[0].accelerator == "mps" else "linux",
        ),
        num_nodes=num_nodes,
        link=link,
        findings=tuple(findings),
    )


def _link(parts: _Parts, gpus: list[Gpu]) -> tuple[Link, list[Finding]]:
    cards = [piece.card for piece in parts.pieces]
    if len(gpus) < 2 or any(card is None for card in cards):
        return "unknown", []
    kinds = {card.nvlink for card in cards if card is not None}
    if len(parts.pieces) == 1 and kinds == {"all"}:
        return "nvlink", []
    if "bridge" in kinds and len(parts.pieces) == 1:
        note = Finding(
            code="link-assumed",
            severity="note",
            what="The cards are taken to be connected by PCIe only.",
            why="This card has NVLink only where a bridge joins two of them, and the description does not say so.",
            fix="Probe the real machine: sft-advisor probe",
        )
        return "pcie", [note]
    return "pcie", []


def _unknown_card(words: str, name: str) -> Problem:
    if _MAC.search(name):
        return _problem(words, "a Mac is named by its chip and memory", ("M3 Max 64GB",))
    return _problem(words, "no such card is in the catalogue", closest_labels(name))


def _problem(text: str, why: str, choices: tuple[str, ...] = ()) -> Problem:
    nearest = f"Nearest: {', '.join(choices)}. " if choices else ""
    return Problem(
        what=f"`--hardware {text[:120]!r}` is not understood",
        why=why,
        fix=f"{nearest}Write {_FORMS}. A card that is not in the catalogue can be given by its memory.",
        where="--hardware",
    )
