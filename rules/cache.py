"""Where parsed copies of bundled files are kept between runs. Losing them costs time and nothing else."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/sft-advisor, else ~/.cache/sft-advisor; it need not exist. RuntimeError without a home."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sft-advisor"
