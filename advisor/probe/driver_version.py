"""Versions of the NVIDIA driver, compared part by part."""

from __future__ import annotations

from trainers.foreign.text import whole_number


def driver_between(driver: str | None, first: tuple[int, ...], last: tuple[int, ...]) -> bool:
    """Whether a driver version lies in first .. last, by as many parts as they have."""
    version = driver_tuple(driver)
    return bool(version) and first <= version[: len(first)] and version[: len(last)] <= last


def driver_tuple(driver: str | None) -> tuple[int, ...]:
    """ "550.54.15" -> (550, 54, 15); () when it is unknown or not a version."""
    parts = [whole_number(part) for part in (driver or "").split(".")]
    known = tuple(part for part in parts if part is not None)
    return known if len(known) == len(parts) else ()
