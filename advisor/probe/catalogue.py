"""The catalogue of known cards (gpus.toml): figures for planning, found by exact name, never by resemblance.

    lookup("NVIDIA GeForce RTX 3060", total_bytes=8585740288)   -> Card, of the 8 GB size
    lookup("NVIDIA H100 CNX")                                   -> None: an unknown card: NVML's figures serve

Memory of one name comes in several sizes (RTX 3060, 4060 Ti, modified RTX 4090), so a measured total decides, and
replaces what the catalogue says.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec

from advisor.probe.hardware import GIB
from advisor.probe.kept import rows
from trainers.accelerators import ACCELERATORS, Vendor

MIB = 1024**2

NvLink = Literal["all", "bridge", "none"]

USABLE_SHARE_PERCENT = 98
"""Part of the printed total that torch can allocate, where no measured capacity is known."""

MULTIPROCESSORS = {"A100": 108, "A800": 108, "A30": 56, "H100": 132, "H800": 132, "H20": 78, "H200": 132, "B200": 148}
"""Multiprocessors of whole cards that can be cut into MIG instances (H100 PCIe has 114)."""

_CATALOGUE_FILE = Path(__file__).with_name("gpus.toml")
_VGPU_PROFILE = re.compile(r"-\d+[abcq]\w?$", re.I)
_BRANDS = [word for row in ACCELERATORS.values() for word in row.brands]
_VENDOR_WORDS = re.compile(rf"\b({'|'.join(_BRANDS)})\b|\((?:r|tm)\)|[®™]", re.I)


class Card(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One card of the catalogue. Rates are dense (no sparsity); None means "not known"."""

    name: str
    """As the driver prints it."""
    label: str
    """As people say it."""
    family: str
    aliases: tuple[str, ...] = ()
    vendor: Vendor = "nvidia"
    memory_mib: int | None = None
    """Total that NVML reports, MiB; None for unified memory."""
    other_memory_mib: tuple[int, ...] = ()
    unified: bool = False
    socketed: bool = False
    """Whether a server has several of them although each shares its memory with a CPU."""
    devices: int = 1
    """How many devices one card shows as; every other figure is of one of them."""
    usable_gib: float | None = None
    memory_bandwidth_gbs: float | None = None
    other_memory_bandwidth_gbs: float | None = None
    """Bandwidth of the size in `other_memory_mib`, where it differs."""
    bf16_dense_tflops: float | None = None
    fp16_dense_tflops: float | None = None
    compute_capability: str | None = None
    architecture: str | None = None
    year: int
    nvlink_gbs: float | None = None
    nvlink: NvLink = "none"
    memory_evidence: Literal["log", "spec", "none"]
    source: str
    note: str = ""

    @property
    def total_bytes(self) -> int | None:
        """What the driver reports as the total."""
        return None if self.memory_mib is None else self.memory_mib * MIB

    @property
    def usable_bytes(self) -> int | None:
        """What torch can allocate on an empty card: measured where known, else 98 % of the total."""
        if self.usable_gib is not None:
            return int(self.usable_gib * GIB)
        return None if self.total_bytes is None else self.total_bytes * USABLE_SHARE_PERCENT // 100

    @property
    def is_computer(self) -> bool:
        """Whether several of them are several machines: an APU, a Jetson, a DGX Spark."""
        return self.unified and not self.socketed

    @property
    def sizes_mib(self) -> tuple[int, ...]:
        """Every memory size that carries this name."""
        return () if self.memory_mib is None else (self.memory_mib, *self.other_memory_mib)

    def of_size(self, memory_mib: int) -> Card:
        """The same card with another of its sizes, or with a measured total that is in no table."""
        if memory_mib == self.memory_mib:
            return self
        other = nearest_size(memory_mib, self.sizes_mib) in self.other_memory_mib
        bandwidth = self.other_memory_bandwidth_gbs if other else None
        return msgspec.structs.replace(
            self,
            memory_mib=memory_mib,
            usable_gib=None,
            memory_bandwidth_gbs=bandwidth or self.memory_bandwidth_gbs,
        )


@cache
def cards() -> tuple[Card, ...]:
    """Every card, in the order of the file."""
    return rows(_CATALOGUE_FILE, "gpu", Card, kept_as="cards")


def lookup(name: str, total_bytes: int | None = None) -> Card | None:
    """The card of exactly this driver name, alias, or name without its vendor; None for an unknown card.

    `total_bytes` is the measured total: it picks among sizes sold under one name and replaces the catalogue's. A
    vGPU ("NVIDIA A40-48Q") is found by its physical card.
    """
    index = _by_name()
    physical = _VGPU_PROFILE.sub("", name)
    spellings = (_spelling(name), without_vendor(name), _spelling(physical), without_vendor(physical))
    card = next((index[spelling] for spelling in spellings if spelling in index), None)
    if card is None or not total_bytes:
        return card
    return card.of_size(round(total_bytes / MIB))


def without_vendor(name: str) -> str:
    """`name` in lower case without vendor and brand words: "NVIDIA GeForce RTX 4090" -> "rtx 4090"."""
    return _spelling(_VENDOR_WORDS.sub(" ", name))


def nearest_size(memory_mib: float, sizes_mib: tuple[int, ...]) -> int | None:
    """The catalogue size closest to a measured or a spoken one; None without sizes."""
    return min(sizes_mib, key=lambda size: abs(size - memory_mib), default=None)


@cache
def _by_name() -> dict[str, Card]:
    """Exact names win over aliases, aliases over names without a vendor; the first card of a spelling keeps it."""
    index: dict[str, Card] = {}
    for spellings in (
        lambda card: (card.name,),
        lambda card: card.aliases,
        lambda card: (card.label, without_vendor(card.name)),
    ):
        for card in cards():
            for text in spellings(card):
                index.setdefault(_spelling(text), card)
    return index


def _spelling(text: str) -> str:
    return " ".join(text.lower().split())
