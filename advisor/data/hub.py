"""A dataset on the Hugging Face hub: its data files, from the local cache or over the network."""

from __future__ import annotations

from pathlib import Path

from advisor.base.errors import InputError, MachineError, Problem
from advisor.base.language import tr
from advisor.model.hub import ask_hub, cache_folder, is_offline
from trainers import amounts
from trainers.examples.files import kind_of
from trainers.examples.hub import PATTERNS

_MAX_BYTES = 2 << 30
_TIMEOUT_SECONDS = 5.0
_DOWNLOAD_SECONDS = 1800.0


def fetch_dataset(repo: str) -> Path:
    """The local folder with the data files of `repo` ("owner/name"), downloaded when the cache lacks it.

    Raises InputError (no such dataset, more than 2 GiB) and MachineError (offline, gated, no network).
    """
    cached = _cached(repo)
    if cached is not None:
        return cached
    if is_offline():
        why = tr("HF_HUB_OFFLINE is set and it is not in the local cache.")
        raise MachineError(
            Problem(
                what=tr("cannot read the dataset '{repo}'", repo=repo), why=why, fix=_fix(repo), where="--dataset"
            )
        )
    from huggingface_hub import HfApi, snapshot_download

    info = ask_hub(
        repo, "data", "dataset", lambda: HfApi().dataset_info(repo, files_metadata=True, timeout=_TIMEOUT_SECONDS)
    )
    size = sum(file.size or 0 for file in info.siblings or () if Path(file.rfilename).match("*.*"))
    if size > _MAX_BYTES:
        what = tr("the dataset '{repo}' is {size}", repo=repo, size=amounts.size(size))
        why = tr("The advisor downloads at most 2 GiB by itself.")
        raise InputError(Problem(what=what, why=why, fix=_fix(repo), where="--dataset"))
    return Path(
        ask_hub(
            repo,
            "data",
            "dataset",
            lambda: snapshot_download(repo, repo_type="dataset", allow_patterns=PATTERNS),
            seconds=_DOWNLOAD_SECONDS,
        )
    )


def _cached(repo: str) -> Path | None:
    folder = cache_folder() / f"datasets--{repo.replace('/', '--')}"
    try:
        revision = (folder / "refs" / "main").read_text().strip()
    except OSError:
        return None
    snapshot = folder / "snapshots" / revision
    # Text alone may be the description of a dataset whose files were not fetched.
    has_data = snapshot.is_dir() and any(kind_of(path) not in ("", "document") for path in snapshot.rglob("*.*"))
    return snapshot if has_data else None


def _fix(repo: str) -> str:
    command = f"hf download --repo-type dataset {repo} --local-dir data"
    return tr("Download it where there is a network ({command}) and name the folder `data` instead.", command=command)
