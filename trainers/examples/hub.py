"""Datasets of the Hugging Face hub: the files of one, brought onto this machine."""

from __future__ import annotations

from pathlib import Path

from trainers.errors import EnvironmentLacking
from trainers.examples.files import KINDS
from trainers.examples.stream import UNPACKED
from trainers.language import tr

PATTERNS = [f"*{ending}{packed}" for ending in KINDS for packed in ("", *UNPACKED)]
"""Files of a hub dataset that can be read."""


def fetch_dataset(repo: str) -> Path:
    """The local folder with the data files of `repo`, from the cache when the network is away.

    Raises EnvironmentLacking when neither has it.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repo, repo_type="dataset", allow_patterns=PATTERNS))
    except (OSError, ValueError, HfHubHTTPError, LocalEntryNotFoundError) as error:
        raise EnvironmentLacking(
            tr("the dataset {repo} is neither a file here nor readable from the hub", repo=repo),
            why=str(error).splitlines()[0],
            fix=tr("check the name and the network, or download it and give the file"),
        ) from error
