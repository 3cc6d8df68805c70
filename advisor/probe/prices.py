"""Own prices of machines, from a TOML file (`sft-advisor where --prices FILE`).

date = "2026-11-29"

[prices]                                    # US dollars an hour, of the whole machine
"g5.xlarge" = 0.95                          # any name that --hardware takes
"8x H100" = { usd_per_hour = 16, usd_per_hour_spot = 9.5, session_hours = 72 }
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from advisor.base.errors import InputError, Problem
from advisor.base.language import tr
from advisor.probe.describe import hardware_from_text
from advisor.probe.hardware import Hardware, Offer
from trainers.foreign.files import read_small_file

MAX_FILE_BYTES = 1 << 20
HIGHEST_USD = 1e6


class _Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    usd_per_hour: float | None = None
    usd_per_hour_spot: float | None = None
    session_hours: float | None = None


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    prices: dict[str, Any]
    date: Any = ""


def read_prices(path: Path) -> list[Hardware]:
    """The machines of the file, each with its price. Raises InputError with everything that is wrong in it."""
    try:
        text = read_small_file(path, MAX_FILE_BYTES)
        found = msgspec.toml.decode(text, type=_File)
        day = found.date and str(msgspec.convert(found.date, datetime.date, strict=False))
    except OSError as error:
        raise InputError(_wrong(path, error.strerror or str(error))) from error
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # a number of thousands of digits is one
        raise InputError(_wrong(path, str(error))) from error
    if not found.prices:
        raise InputError(_wrong(path, tr("its table [prices] is empty")))
    machines: list[Hardware] = []
    problems: list[Problem] = []
    for name, stated in found.prices.items():
        try:
            machines.append(_priced(name, _price(path, name, stated), day, path))
        except InputError as error:
            problems += (replace(problem, where=f"where --prices {path}") for problem in error.problems)
    if problems:
        raise InputError(*problems)
    return machines


def _price(path: Path, name: str, stated: Any) -> _Price:
    try:
        price = msgspec.convert(stated if isinstance(stated, dict) else {"usd_per_hour": stated}, _Price)
    except msgspec.MsgspecError as error:
        raise InputError(_wrong(path, f"{name!r}: {error}")) from error
    figures = (price.usd_per_hour, price.usd_per_hour_spot, price.session_hours)
    has_price = price.usd_per_hour is not None or price.usd_per_hour_spot is not None
    if not has_price or any(figure is not None and not 0 <= figure <= HIGHEST_USD for figure in figures):
        raise InputError(_wrong(path, tr("the price of {name!r} is not a number of dollars an hour", name=name)))
    return price


def _priced(name: str, price: _Price, date: str, path: Path) -> Hardware:
    hardware = hardware_from_text(name)
    known = hardware.offer
    nodes = hardware.num_nodes
    return replace(
        hardware,
        offer=Offer(
            place=known.place if known else name,
            session_hours=price.session_hours or (known.session_hours if known else None),
            usd_per_hour=None if price.usd_per_hour is None else price.usd_per_hour / nodes,
            usd_per_hour_spot=None if price.usd_per_hour_spot is None else price.usd_per_hour_spot / nodes,
            price_date=date,
            source=str(path),
        ),
    )


def _wrong(path: Path, why: str) -> Problem:
    return Problem(
        what=tr("{path} holds no prices that can be read", path=path),
        why=why,
        fix=tr('Write a table [prices] with lines like "g5.xlarge" = 0.95 (US dollars an hour).'),
        where="--prices",
    )
