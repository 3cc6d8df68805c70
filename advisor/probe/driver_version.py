"""Versions of the NVIDIA driver, compared part by part."""

from __future__ import annotations


def driver_between(driver: str | None, first: tuple[int, ...], last: tuple[int, ...]) -> bool:
    """Whether a driver version lies in first .. last, by as many parts as they have."""
    version = driver_tuple(driver)
    return bool(version) and first <= version[: len(first)] and version[: len(last)] <= last


def driver_tuple(driver: str | None) -> tuple[int, ...]:
    """ "550.54.15" -> (550, 54, 15); () when it is unknown or not a version."""
    parts = (driver or "").split(".")
    return tuple(int(part) for part in parts) if all(part.isdecimal() for part in parts) else ()
