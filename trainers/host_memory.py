"""Host memory that this process could still take, within the limit of its control group. No torch."""

from __future__ import annotations

from pathlib import Path


def free_host_bytes(proc: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")) -> int:
    """What the machine has available, or what the control group leaves of its limit, whichever is less."""
    import psutil  # type: ignore[import-untyped]

    free = int(psutil.virtual_memory().available)
    groups = [line.split(":", 2) for line in proc.read_text().splitlines()] if proc.is_file() else []
    own = next((path.lstrip("/") for number, _, path in groups if number == "0"), "")
    for folder in {mount / own, mount}:
        limit, used = _number(folder / "memory.max"), _number(folder / "memory.current")
        if limit is not None and used is not None:
            free = min(free, max(0, limit - used + _cached(folder / "memory.stat")))
    return free


def _number(file: Path) -> int | None:
    text = file.read_text().strip() if file.is_file() else ""
    return int(text) if text.isdigit() else None


def _cached(file: Path) -> int:
    """Bytes of files that are only cached: the kernel gives them up before it ends a process."""
    lines = file.read_text().splitlines() if file.is_file() else []
    return next((int(line.split()[1]) for line in lines if line.startswith("inactive_file ")), 0)
