"""A stand-in for the training process that does what `script.json` in the run folder says, one entry an attempt.

    [{"exit": 76}, {"exit": 0, "checkpoint": 10}, {"wait": true}]

`exit`: the exit code; `failure`: what it writes into run.json; `checkpoint`: the step of a complete checkpoint it
leaves; `report`: it ends well, with the run's report; `wait`: stay until SIGTERM, then end with 75; `kill`: die by
SIGKILL.
"""

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path

from tests.trainers.fake_checkpoint import write_checkpoint
from trainers.handover.report import write_report
from trainers.run_folder.checkpoint import checkpoints_dir, seal


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("plan")
    parser.add_argument("--run-dir", type=Path)
    parser.add_argument("--resume")
    given = parser.parse_args()
    script = given.run_dir / "script.json"
    entry, *rest = json.loads(script.read_text())
    script.write_text(json.dumps(rest))
    calls = given.run_dir / "calls.jsonl"
    with calls.open("a") as file:
        plan = Path(given.plan).read_text(encoding="utf-8")
        file.write(json.dumps({"resume": given.resume, "plan": plan, "pid": os.getpid()}) + "\n")
    print("hello from the child", flush=True)
    if "checkpoint" in entry:
        path = write_checkpoint(checkpoints_dir(given.run_dir), entry["checkpoint"])
        seal(path, step=entry["checkpoint"], world_size=1)
    if "failure" in entry:
        (given.run_dir / "run.json").write_text(json.dumps({"failure": entry["failure"]}))
    if entry.get("report"):
        (given.run_dir / "run.json").write_text(json.dumps({"exit_state": "done"}))
        write_report(given.run_dir)
    if entry.get("kill"):
        os.kill(os.getpid(), signal.SIGKILL)
    if entry.get("wait"):
        stopped = []
        signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
        (given.run_dir / "ready").touch()
        while not stopped:
            time.sleep(0.02)
        (given.run_dir / "stopped").touch()
        return 75
    return int(entry.get("exit", 0))


if __name__ == "__main__":
    sys.exit(main())
