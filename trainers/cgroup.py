"""What a container or a scheduler allows this process and did to it, for cgroup v1, v2 and both at once. No torch.

Memory and CPU limits count on every group from this process's own up to the root, for each of them binds.

Every function takes `root`, the folder that stands for "/", so that a test can lay out any machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import msgspec

from trainers.foreign.text import whole_number

UNLIMITED_BYTES = 1 << 60
"""A v1 limit above this is the kernel's way to write "none" (it prints 2^63 rounded down to a page)."""


class MemoryLimit(msgspec.Struct, frozen=True, kw_only=True):
    """One memory limit on the way from this process to the root; bytes."""

    limit_bytes: int
    used_bytes: int | None = None
    reclaimable_bytes: int = 0
    """Page cache inside the group that the kernel gives back under pressure (inactive_file)."""

    @property
    def available_bytes(self) -> int:
        """What this process may still take under this limit."""
        if self.used_bytes is None:
            return self.limit_bytes
        return max(0, min(self.limit_bytes, self.limit_bytes - self.used_bytes + self.reclaimable_bytes))


class _Names(msgspec.Struct, frozen=True):
    limits: tuple[str, ...]
    used: str
    reclaimable: str


_MEMORY_V2 = _Names(("memory.max", "memory.high"), "memory.current", "inactive_file")
_MEMORY_V1 = _Names(("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file")


def memory_limits(root: Path) -> tuple[MemoryLimit, ...]:
    """Every memory limit of this process's group and of all its ancestors; () when there is none."""
    found = []
    for controller, names in (("", _MEMORY_V2), ("memory", _MEMORY_V1)):
        for folder in _folders(root, controller):
            limits = [value for name in names.limits if (value := _amount(folder / name)) is not None]
            if limits:
                found.append(
                    MemoryLimit(
                        limit_bytes=min(limits),
                        used_bytes=_amount(folder / names.used),
                        reclaimable_bytes=_stat(folder / "memory.stat", names.reclaimable),
                    )
                )
    return tuple(found)


def cpu_quota(root: Path) -> int | None:
    """CPU cores that the tightest quota allows, rounded up, at least 1; None without a quota."""
    quotas = []
    for folder in _folders(root, ""):
        quota, _, period = _text(folder / "cpu.max").partition(" ")
        quotas.append(_cores(quota, period))
    for folder in _folders(root, "cpu"):
        quotas.append(_cores(_text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")))
    known = [quota for quota in quotas if quota is not None]
    return min(known) if known else None


def out_of_memory_kills(root: Path) -> int:
    """How often the kernel has killed a process of this group for lack of memory; 0 where it does not say.

    Counted since the group was made, in v2 with the groups inside it: compare a figure with an earlier one.
    """
    for controller, name in (("", "memory.events"), ("memory", "memory.oom_control")):
        for folder in _folders(root, controller):
            if "oom_kill " in _text(folder / name):
                return _stat(folder / name, "oom_kill")
    return 0


def _folders(root: Path, controller: str) -> Iterator[Path]:
    """The group of this process under one controller ("" is v2), then each ancestor up to the mount.

    Inside a container the path is often "/" or names a folder that only the host has, while the mount already is
    the container's own group: the mount itself is always read.
    """
    path = _group_path(root, controller)
    for mount in _mounts(root, controller):
        for parent in (path, *path.parents):
            folder = mount / str(parent).lstrip("/")
            if folder.is_dir():
                yield folder


def _group_path(root: Path, controller: str) -> PurePosixPath:
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        matches = controller in controllers.split(",") if controller else number == "0" and not controllers
        if matches and ".." not in path:
            return PurePosixPath("/" + path.lstrip("/"))
    return PurePosixPath("/")


def _mounts(root: Path, controller: str) -> Iterator[Path]:
    base = root / "sys/fs/cgroup"
    if not controller:
        yield from (folder for folder in (base, base / "unified") if (folder / "cgroup.controllers").exists())
        if not (base / "cgroup.controllers").exists() and (base / "memory.max").exists():
            yield base
        return
    if not base.is_dir():
        return
    for folder in sorted(base.iterdir()):
        if controller in folder.name.split(",") and folder.is_dir():
            yield folder
            return


def _cores(quota: str, period: str) -> int | None:
    try:
        amount, length = int(quota), int(period or 100_000)
    except ValueError:
        return None
    return max(1, math.ceil(amount / length)) if amount > 0 and length > 0 else None


def _amount(file: Path) -> int | None:
    """Bytes in the file; None for "max", for no limit and for a file that is not there."""
    try:
        value = int(_text(file))
    except ValueError:
        return None
    return value if 0 <= value < UNLIMITED_BYTES else None


def _stat(file: Path, key: str) -> int:
    for line in _text(file).splitlines():
        name, _, value = line.partition(" ")
        if name == key:
            return whole_number(value.strip()) or 0
    return 0


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
