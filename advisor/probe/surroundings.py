"""What of a machine every reader of GPUs may look at, so that a test can stand another machine in its place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """The machine around the cards; `root` and `env` stand for "/" and the environment."""

    root: Path
    env: Mapping[str, str]
    ram_total_bytes: int | None
    ram_available_bytes: int | None
    container: bool = False
    wsl: bool = False
