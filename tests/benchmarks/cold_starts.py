"""How long 200 first answers at once take over one empty home, against 20 warm ones one after the other.

python tests/benchmarks/cold_starts.py [--starts 200]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ANSWER = [sys.executable, "-P", "-m", "advisor", "--non-interactive", "--hardware", "RTX 4090"]
ANSWER += ["--model", "Llama-3.1-8B"]


def main() -> None:
    """Measure and print as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=200)
    starts: int = parser.parse_args().starts
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "SFT_ADVISOR_HOME": str(Path(home) / "warm"), "PYTHONPATH": str(ROOT)}
        _answers(environment, 1)
        began = time.monotonic()
        for _ in range(20):
            _answers(environment, 1)
        warm_seconds = time.monotonic() - began
        began = time.monotonic()
        printed = _answers({**environment, "SFT_ADVISOR_HOME": str(Path(home) / "cold")}, starts)
        cold_seconds = time.monotonic() - began
    print(
        json.dumps(
            {
                "starts": starts,
                "different_answers": len(printed),
                "cold_seconds": round(cold_seconds, 1),
                "twenty_warm_seconds": round(warm_seconds, 1),
            }
        )
    )


def _answers(environment: dict[str, str], count: int) -> set[bytes]:
    started = [subprocess.Popen(ANSWER, env=environment, stdout=subprocess.PIPE) for _ in range(count)]
    printed = {process.communicate()[0] for process in started}
    if any(process.returncode for process in started):
        raise SystemExit("an answer failed, and its time says nothing")
    return printed


if __name__ == "__main__":
    main()
