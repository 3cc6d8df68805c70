"""events.jsonl: what the supervisor decides and the training process notices, one line each, as it happens."""

from __future__ import annotations

import json
import time
from pathlib import Path

from trainers.run_folder import layout
from trainers.run_folder.checkpoint import if_the_disk_holds_it

Event = dict[str, object]


def append_event(run_dir: Path, event: str, **details: object) -> Event:
    """Add one line with the time of now, where the disk holds one more. Return its content."""
    entry: Event = {"time": round(time.time(), 3), "event": event, **details}
    with if_the_disk_holds_it(), (run_dir / layout.EVENTS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")
    return entry
