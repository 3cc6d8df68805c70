"""events.jsonl: what the supervisor decides and the training process notices, one line each, as it happens."""

from __future__ import annotations

import json
import time
from pathlib import Path

EVENTS_FILE = "events.jsonl"
Event = dict[str, object]


def append_event(run_dir: Path, event: str, **details: object) -> Event:
    """Add one line with the time of now; gives its content."""
    entry: Event = {"time": round(time.time(), 3), "event": event, **details}
    with (run_dir / EVENTS_FILE).open("a") as file:
        file.write(json.dumps(entry) + "\n")
    return entry
