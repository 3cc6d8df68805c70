"""A folder held against what the hub publishes under a name: by digest, file by file.

files = published_files("org/model", "model")          one request
unlike(Path("./model"), files)                          ["model.safetensors differs", ...]
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from advisor.base.errors import MachineError, Problem
from advisor.base.language import tr
from advisor.model.hub import Kind, ask_hub, is_offline
from trainers.foreign.files import read_small_file

_TIMEOUT_SECONDS = 10.0
_SMALL_BYTES = 64 << 20
"""Larger files of a repository have a SHA-256; git objects of this size are not kept there."""
_LOCAL = frozenset({".cache", ".git", ".gitattributes", ".DS_Store"})
"""What downloading leaves beside the files of a repository."""


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a repository: large ones by the digest of their bytes, small ones by that of their git object."""

    sha256: str | None = None
    git_sha1: str | None = None


def published_files(repo: str, kind: Kind) -> dict[str, Published]:
    """Every file of the main revision by its name. Raises InputError and MachineError as other requests do."""
    if is_offline():
        why = tr("the hub is switched off (HF_HUB_OFFLINE or --network none)")
        raise MachineError(
            Problem(
                what=tr("cannot ask the hub for {repo}", repo=repo),
                why=why,
                fix=tr("let `sft-advisor doctor vet` look at the folder alone, without --against"),
            )
        )
    from huggingface_hub import HfApi

    api = HfApi()
    ask = api.dataset_info if kind == "dataset" else api.model_info
    info = ask_hub(repo, "data", kind, lambda: ask(repo, files_metadata=True, timeout=_TIMEOUT_SECONDS))
    return {
        one.rfilename: Published(sha256=one.lfs.sha256 if one.lfs else None, git_sha1=one.blob_id)
        for one in info.siblings or ()
    }


def unlike(folder: Path, files: dict[str, Published]) -> list[str]:
    """What of `folder` is not what is published; files that are published and not here are no difference."""
    found = []
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if not path.is_file() or _LOCAL & set(inside.parts):
            continue
        published = files.get(inside.as_posix())
        if published is None:
            found.append(tr("{inside} is not among them", inside=inside))
        elif not _is(path, published):
            found.append(tr("{inside} differs", inside=inside))
    return found


def _is(path: Path, published: Published) -> bool:
    if published.sha256:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == published.sha256
    try:
        content = read_small_file(path, _SMALL_BYTES)
    except OSError:
        return False
    header = f"blob {len(content)}\0".encode()
    return hashlib.sha1(header + content, usedforsecurity=False).hexdigest() == published.git_sha1
