"""Amounts as people read them: bytes, seconds and counts in words. Sizes are powers of 1024: KiB, MiB, GiB."""

from __future__ import annotations

from trainers.language import tr

KIB = 1024
MIB = 1024**2
GIB = 1024**3
SECONDS_A_DAY = 86_400


def size(num_bytes: float | None) -> str:
    """ "15.3 GiB", "84 MiB", "512 bytes", or "unknown"."""
    if num_bytes is None:
        return tr("unknown")
    if abs(num_bytes) >= 0.95 * GIB:
        return gib(num_bytes)
    return mib(num_bytes) if abs(num_bytes) >= MIB else f"{num_bytes:,.0f} bytes"


def gib(num_bytes: float, decimals: int = 1) -> str:
    """ "0.3 GiB": always in GiB, for sizes that are read side by side."""
    return f"{num_bytes / GIB:,.{decimals}f} GiB"


def mib(num_bytes: float) -> str:
    """ "1,250 MiB": always in MiB, for sizes that are read side by side."""
    return f"{num_bytes / MIB:,.0f} MiB"


def kib(num_bytes: float) -> str:
    """ "64 KiB": always in KiB."""
    return f"{num_bytes / KIB:,.0f} KiB"


def size_of_flag(num_bytes: int) -> str:
    """ "3GiB", "1250MiB": a size as a flag takes it, in whole MiB, rounded up."""
    whole = -(-num_bytes // MIB)
    return f"{whole}MiB" if whole % 1024 else f"{whole // 1024}GiB"


def whole_gib(num_bytes: int) -> int:
    """Whole GiB, rounded down: as the description of a machine takes them."""
    return num_bytes // GIB


def percent(share: float) -> str:
    """ "97%"; "99.5%" where whole figures would say that nothing or everything is meant."""
    whole = f"{share:.0%}"
    return f"{share:.1%}" if whole in ("0%", "100%") and share not in (0, 1) else whole


def duration(seconds: float | None) -> str:
    """ "40 s", "2 h 36 min", "3.2 days", or "unknown"."""
    if seconds is None:
        return tr("unknown")
    if seconds >= 3 * SECONDS_A_DAY:
        return tr("{days:,.1f} days", days=seconds / SECONDS_A_DAY)
    if seconds < 90:
        return tr("{seconds:.0f} s", seconds=seconds)
    minutes = round(seconds / 60)
    if minutes < 90:
        return tr("{minutes} min", minutes=minutes)
    return tr("{hours} h {minutes} min", hours=minutes // 60, minutes=minutes % 60)


def clock(seconds: float) -> str:
    """ "1:02:05", or "0:59" under an hour: time left, in a line that is written again and again."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def count(number: float | None) -> str:
    """ "5,000", "8.19B" from a million on, or "unknown"."""
    if number is None:
        return tr("unknown")
    for least, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if abs(number) >= least:
            return f"{number / least:.3g}{letter}"
    return f"{number:,.0f}"
