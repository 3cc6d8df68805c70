"""Where this user's files outside a run folder are kept; none of these folders need exist. No torch.

    data_folder()       what is worth keeping: what earlier runs measured
    state_folder()      what the next command may ask for: the last answer
    cache_folder()      what can be made again: parsed rules and cards, the converted demo model

All three are $SFT_ADVISOR_HOME where it is set, else what the system says: on Linux ~/.local/share/sft-advisor,
~/.local/state/sft-advisor and ~/.cache/sft-advisor, or their XDG variables. Each raises RuntimeError for a user
without a home folder.
"""

from __future__ import annotations

import os
from pathlib import Path

APP = "sft-advisor"


def data_folder() -> Path:
    """What is worth keeping."""
    from platformdirs import user_data_path

    return _own() or user_data_path(APP, appauthor=False)


def state_folder() -> Path:
    """What the next command may ask for."""
    from platformdirs import user_state_path

    return _own() or user_state_path(APP, appauthor=False)


def cache_folder() -> Path:
    """What can be made again: losing it costs time and nothing else."""
    from platformdirs import user_cache_path

    return _own() or user_cache_path(APP, appauthor=False)


def _own() -> Path | None:
    named = os.environ.get("SFT_ADVISOR_HOME")
    return Path(named).expanduser() if named else None
