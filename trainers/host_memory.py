"""Host memory that this process could still take, within the limits of its control groups. No torch."""

from __future__ import annotations

from pathlib import Path

from trainers.cgroup import memory_limits


def free_host_bytes(root: Path = Path("/")) -> int:
    """What the machine has available, or what the tightest control group leaves, whichever is less."""
    import psutil

    return min([int(psutil.virtual_memory().available), *(limit.available_bytes for limit in memory_limits(root))])
