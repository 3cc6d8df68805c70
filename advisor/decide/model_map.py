"""What can be trained on a machine: the models of the catalogue by method and sequence length (`sft-advisor map`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from advisor.decide.known_models import KnownModel, described
from advisor.decide.outline import Outline, Reach
from advisor.estimate.runtime import Calibration
from advisor.model.catalog import Entry, entries, from_catalog
from advisor.model.use import refusal
from advisor.probe.hardware import Hardware
from rules.engine import RuleBook
from trainers.method import Method

MAPPED: tuple[Method, ...] = ("full", "lora", "qlora")
LENGTHS = (2048, 8192, 32768)
EXAMPLES, TOKENS_OF_AN_EXAMPLE = 5000, 500
"""Where the amount of data is not stated: a usual set of instructions."""
YEARS_SHOWN = 2
"""Models that came out earlier, counted from the newest one, are named only where they are asked for."""


class MapRow(msgspec.Struct, frozen=True, kw_only=True):
    """One model."""

    model: KnownModel
    """What the catalogue says of it."""
    cells: tuple[Reach, ...]
    """Each method at each length, in the order of `methods` and `lengths` of the map."""

    @property
    def fits(self) -> bool:
        """Whether any method fits at any length."""
        return any(cell.verdict in ("fits", "tight") for cell in self.cells)


class ModelMap(msgspec.Struct, frozen=True, kw_only=True):
    """The whole map."""

    schema: Literal["sft-advisor/map/v1"] = "sft-advisor/map/v1"
    """Name and version of this document."""
    machine: str
    """The machine in words."""
    available_bytes: int | None
    """Free memory of the tightest device used; None: not known."""
    examples: int
    """Training examples that the hours are for."""
    tokens: int
    """Tokens of all these examples, once through."""
    methods: tuple[Method, ...]
    """Methods of the columns."""
    lengths: tuple[int, ...]
    """Sequence lengths of the columns of each method."""
    rows: tuple[MapRow, ...]
    """Models that can be trained with one method at least, the largest first; others too where they are asked for."""
    num_models: int
    """Models that were looked at."""
    num_older: int
    """Models left out because a newer one of their kind came out."""
    notes: tuple[str, ...] = ()
    """What was assumed of the machine."""

    @property
    def knows_time(self) -> bool:
        """Whether the speed of the device is known."""
        return any(cell.total_seconds is not None for row in self.rows for cell in row.cells)


def model_map(
    hardware: Hardware,
    machine: str,
    answers: Mapping[str, Any],
    book: RuleBook,
    *,
    words: Sequence[str] = (),
    methods: tuple[Method, ...] = MAPPED,
    lengths: tuple[int, ...] = LENGTHS,
    everything: bool = False,
    unfit: bool = False,
    calibrations: Mapping[str, Calibration] | None = None,
) -> ModelMap:
    """The map of `hardware` for the models whose name, family, licence or kind holds every one of `words`.

    `answers` holds the amount of data. `unfit`: models that do not fit as well; `everything`: older ones too.
    """
    facts = {"data.examples": EXAMPLES} | {key: value for key, value in answers.items() if value is not None}
    facts.setdefault("data.total_tokens", facts["data.examples"] * TOKENS_OF_AN_EXAMPLE)
    outline = Outline(hardware, facts | {"wish.max_seq_len": min(lengths)}, book, calibrations)
    asked = [entry for entry in entries().values() if "(" not in entry.hub and _is_meant(entry, words)]
    shown = asked if everything or words else list(recent(asked))
    rows = [row for entry in shown if (row := _map_row(entry, outline, methods, lengths)) is not None]
    return ModelMap(
        machine=machine,
        available_bytes=outline.available_bytes,
        examples=facts["data.examples"],
        tokens=facts["data.total_tokens"],
        methods=methods,
        lengths=lengths,
        rows=tuple(sorted((row for row in rows if everything or unfit or row.fits), key=_by_size)),
        num_models=len(rows),
        num_older=len(asked) - len(shown),
        notes=outline.context.devices.notes,
    )


def _is_meant(entry: Entry, words: Sequence[str]) -> bool:
    text = f"{entry.hub} {entry.family} {entry.licence} {entry.released} {' '.join(entry.names)}".lower()
    return all(word.lower() in text for word in words)


def recent(chosen: Sequence[Entry]) -> Iterator[Entry]:
    """Those that came out in the last YEARS_SHOWN years before the newest of the catalogue."""
    newest = max((entry.released for entry in entries().values()), default="")
    oldest = f"{int(newest[:4]) - YEARS_SHOWN}{newest[4:]}" if newest else ""
    return (entry for entry in chosen if entry.released >= oldest)


def _map_row(entry: Entry, outline: Outline, methods: tuple[Method, ...], lengths: tuple[int, ...]) -> MapRow | None:
    """The row of a model that can be trained here at all; None for another."""
    spec = from_catalog(entry.hub)
    if spec is None or refusal(spec) is not None:
        return None
    return MapRow(model=described(entry, spec), cells=tuple(outline.row(spec, methods, lengths)))


def _by_size(row: MapRow) -> tuple[int, str]:
    return -row.model.params, row.model.name
