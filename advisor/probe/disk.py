"""Where a run writes and how much room is there: output folder, hub cache, temporary folder."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from advisor.base.language import tr
from advisor.probe.hardware import Disk, Finding

NETWORK_FILESYSTEMS = (
    "nfs",
    "nfs4",
    "lustre",
    "gpfs",
    "cifs",
    "smb3",
    "beegfs",
    "ceph",
    "fuse.",
    "9p",
    "afs",
    "wekafs",
)
_TRUE = ("1", "on", "yes", "true")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


def hub_cache(env: Mapping[str, str]) -> Path:
    """Folder in which `huggingface_hub` keeps models, by the rules of that library (2.4)."""
    explicit = env.get("HF_HUB_CACHE") or env.get("HUGGINGFACE_HUB_CACHE")
    if explicit:
        return _expanded(explicit, env)
    return _expanded(env.get("HF_HOME") or _xdg_cache(env) + "/huggingface", env) / "hub"


def hub_token(env: Mapping[str, str]) -> bool:
    """Whether a token of the hub is set, by the rules of `huggingface_hub` (2.4); its text is not read."""
    if any(env.get(name, "").strip() for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")):
        return True
    home = env.get("HF_HOME") or _xdg_cache(env) + "/huggingface"
    file = _expanded(env.get("HF_TOKEN_PATH") or f"{home}/token", env)
    try:
        return file.stat().st_size > 0
    except OSError:
        return False


def hub_offline(env: Mapping[str, str]) -> bool:
    """Whether access to the hub is switched off."""
    return any(env.get(name, "").lower() in _TRUE for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))


def temp_folder(env: Mapping[str, str]) -> Path:
    """Folder for temporary files."""
    return Path(env.get("TMPDIR") or env.get("TEMP") or env.get("TMP") or "/tmp")


def read_disk(path: Path, root: Path) -> Disk:
    """Space on the file system that holds `path`, which need not exist yet. Unknown figures are None."""
    there = _nearest_existing(_under(root, path))
    try:
        usage, number = shutil.disk_usage(there), there.stat().st_dev
    except OSError:
        return Disk(path=str(path))
    return Disk(
        path=str(path),
        total_bytes=usage.total,
        free_bytes=usage.free,
        filesystem_id=number,
        filesystem=_filesystem(path, root),
    )


def disk_findings(disks: Mapping[str, Disk]) -> list[Finding]:
    """What the figures do not show: quotas of network file systems, folders that cannot be read."""
    findings = []
    network = [name for name, disk in disks.items() if (disk.filesystem or "").startswith(NETWORK_FILESYSTEMS)]
    if network:
        findings.append(
            Finding(
                code="disk-network",
                severity="note",
                what=tr("The {network} folder lies on a network file system.", network=tr(" and ").join(network)),
                why=tr("A quota there may be tighter than the free space that the system reports."),
                fix=tr("Ask for the quota (quota -s, lfs quota) and give it as the storage budget."),
            )
        )
    findings += [
        Finding(
            code="disk-unknown",
            severity="warning",
            what=tr("The free space of the {name} folder cannot be read.", name=name),
            why=tr("The folder or one above it is not accessible to this user."),
            fix=tr("Choose a folder you may read and write."),
        )
        for name, disk in disks.items()
        if disk.free_bytes is None
    ]
    return findings


def _xdg_cache(env: Mapping[str, str]) -> str:
    return env.get("XDG_CACHE_HOME") or "~/.cache"


def _expanded(text: str, env: Mapping[str, str]) -> Path:
    text = _VARIABLE.sub(lambda match: env.get(match[1] or match[2], match[0]), text)
    home = env.get("HOME") or env.get("USERPROFILE")
    if home and (text == "~" or text.startswith("~/")):
        return Path(home + text[1:])
    return Path(text)


def _under(root: Path, path: Path) -> Path:
    if root == Path("/"):
        return _absolute(path)
    return root / str(path).lstrip("/") if path.is_absolute() else root / path


def _absolute(path: Path) -> Path:
    try:
        return Path.cwd() / path
    except OSError:  # the working folder was deleted
        return path


def _nearest_existing(path: Path) -> Path:
    for folder in (path, *path.parents):
        if os.path.lexists(folder) and folder.exists():
            return folder
    return path


def _filesystem(path: Path, root: Path) -> str | None:
    """Type of the mount that holds `path`: the one with the longest mount point above it."""
    absolute = str(_absolute(path))
    best, kind = "", None
    try:
        lines = (root / "proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = fields[1].replace("\\040", " ")
        inside = absolute == point or absolute.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, fields[2]
    return kind
