"""Time and memory of `sft-advisor data check` as the rows grow: `python tests/benchmarks/data_check.py [--rows N]`.

Conversations of about a kilobyte are written as JSON lines, with a broken row, a duplicate, a long answer and an
address put in here and there; then the command runs on them as a user would start it, with the tokenizer of the
embedded model. Targets for a million rows on 2 idle cores: 30 seconds, and no more than 250 MiB beyond the peak at a
tenth of the rows. What grows is what duplicates, repeated answers and contradictions are known by: 44 bytes a row.
On a machine that others use the CPU time says more than the clock. With --json written to
tests/benchmarks/results/data_check.json, `python -m tests.docs.readme_blocks` brings the figures into the README.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

SECONDS_AT_MOST, GROWTH_AT_MOST = 30.0, 250 << 20
WORDS = (
    "the",
    "of",
    "and",
    "to",
    "in",
    "that",
    "for",
    "it",
    "was",
    "with",
    "by",
    "not",
    "this",
    "have",
    "from",
    "answer",
)


def main() -> int:
    """Measure both sizes, print, and with --check judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--model", help="count with this model's tokenizer (the embedded one)")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--check", action="store_true", help="exit code 1 when a target is missed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = [measure(Path(folder), rows, options.model) for rows in (options.rows // 10, options.rows)]
    print(json.dumps(found, indent=2) if options.json else "\n".join(map(as_line, found)))
    grown = found[1]["peak_rss_bytes"] - found[0]["peak_rss_bytes"]
    met = found[1]["seconds"] <= SECONDS_AT_MOST and grown <= GROWTH_AT_MOST
    return 1 if options.check and not met else 0


def as_line(found: dict[str, Any]) -> str:
    """One size as a line."""
    return (
        f"{found['rows']:>9,} rows, {found['file_bytes'] / 2**20:>6,.0f} MiB   {found['seconds']:>6.1f} s, "
        f"{found['cpu_seconds']:.1f} s of CPU   {found['rows'] / found['seconds']:>7,.0f} rows/s   "
        f"peak {found['peak_rss_bytes'] / 2**20:,.0f} MiB"
    )


def measure(folder: Path, rows: int, model: str | None) -> dict[str, Any]:
    """Seconds and peak resident memory of the command on that many rows."""
    from trainers.training.embedded import ensure_embedded_model

    path = write_rows(folder / f"{rows}.jsonl", rows)
    command = [sys.executable, "-m", "advisor", "data", "check", str(path), "--json"]
    command += ["--model", model or str(ensure_embedded_model()), "--max-seq-len", "1024"]
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "SFT_ADVISOR_HOME": str(folder)},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    verdict = json.loads(process.stdout.read())
    _, _, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    profile = verdict["profile"]
    assert profile["num_examples"] + profile["num_broken"] == rows
    assert profile["num_broken"] == len(range(5, rows, 1000))
    return {
        "rows": rows,
        "file_bytes": path.stat().st_size,
        "seconds": seconds,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "load": os.getloadavg()[0],
        "peak_rss_bytes": peak_bytes(usage),
        "findings": [finding["code"] for finding in verdict["findings"]],
    }


def peak_bytes(usage: resource.struct_rusage) -> int:
    """Peak resident memory; Linux counts in kilobytes, macOS in bytes."""
    return usage.ru_maxrss if sys.platform == "darwin" else usage.ru_maxrss * 1024


def write_rows(path: Path, count: int) -> Path:
    """JSON lines with something wrong at a steady rate."""
    chance = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            file.write(row(number, chance) + "\n")
    return path


def row(number: int, chance: random.Random) -> str:
    """One conversation: broken, repeated, very long or with an address in one of a thousand rows each."""
    if number % 1000 == 5:
        return '{"messages": [{"role": "user", "cont'
    if number % 1000 == 6:
        number -= 6
        chance = random.Random(number)
    words = 5000 if number % 1000 == 7 else int(min(2000, chance.lognormvariate(4.8, 0.7)))
    answer = " ".join(chance.choices(WORDS, k=words))
    if number % 1000 == 8:
        answer += f" write to person{number}@brightlane.co"
    question = f"question {number}: " + " ".join(chance.choices(WORDS, k=20))
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return json.dumps({"messages": messages})


if __name__ == "__main__":
    sys.exit(main())
