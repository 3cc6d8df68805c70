"""events.jsonl: what the supervisor decides and the training process notices, one line each, as it happens."""

from __future__ import annotations

import json
import time
from pathlib import Path

from trainers.run_folder import layout

Event = dict[str, object]


def append_event(run_dir: Path, event: str, **details: object) -> Event:
    """Add one line with the time of now. Return its content."""
    entry: Event = {"time": round(time.time(), 3), "event": event, **details}
    with (run_dir / layout.EVENTS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")
    return entry
