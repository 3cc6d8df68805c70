"""Time from `sft-advisor launch` to the first training step: `python -m tests.benchmarks.first_step [--rounds 3]`.

A tiny random model, so that what is counted is the start itself: imports, checks, preflight, loading. Beside it the
same plan without preflight, and an import of what every training needs, which no start can undercut. The best of the
rounds counts, for what else the machine does only ever adds time. About 2 minutes on 2 idle cores.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
POLL_SECONDS = 0.05
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
IMPORTS = "import torch, transformers, peft; from trl import SFTTrainer"


def main() -> int:
    """Print seconds by the clock and of the processor for each way to start."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plan = write_plan(folder)
        found = {
            "imports alone": [seconds_of_imports() for _ in range(rounds)],
            "launch": [seconds_to_first_step(plan, folder / f"with{turn}") for turn in range(rounds)],
            "launch --no-preflight": [
                seconds_to_first_step(plan, folder / f"without{turn}", "--no-preflight") for turn in range(rounds)
            ],
        }
    for way, turns in found.items():
        print(f"{way:24} {min(wall for wall, _ in turns):6.1f} s   processor {min(cpu for _, cpu in turns):6.1f} s")
    print(json.dumps(found))
    return 0


def write_plan(folder: Path) -> Path:
    """A plan of a few LoRA steps on a tiny model and short real conversations."""
    from tests.trainers.conftest import build_tiny_model, conversations
    from trainers.plan import plan_from_dict, save_plan

    model, data, file = folder / "model", folder / "chats.jsonl", folder / "plan.toml"
    build_tiny_model(model)
    data.write_text(
        "".join(json.dumps({"messages": chat}) + "\n" for chat in conversations()[:200]), encoding="utf-8"
    )
    plan = {
        "model": {"name": str(model)},
        "dataset": {"source": str(data), "eval_fraction": 0.1},
        "method": "lora",
        "lora_rank": 8,
        "lora_alpha": 16,
        "lora_targets": ["all-linear"],
        "accelerator": "cpu",
        "compute_dtype": "fp32",
        "weights_dtype": "fp32",
        "max_seq_len": 512,
        "micro_batch_size": 2,
        "max_steps": 4,
        "logging_steps": 1,
    }
    save_plan(plan_from_dict(plan), file)
    return file


def seconds_to_first_step(plan: Path, run_dir: Path, *flags: str) -> tuple[float, float]:
    """Until the first step is logged, by the clock; and what the whole run took of the processor."""
    command = [sys.executable, "-m", "advisor", "launch", str(plan), "--run-dir", str(run_dir), *flags]
    used, began = _used_by_children(), time.monotonic()
    with (run_dir.with_suffix(".log")).open("wb") as log:
        process = subprocess.Popen(command, env=ENVIRONMENT, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        metrics = run_dir / "metrics.jsonl"
        while not (metrics.is_file() and metrics.stat().st_size) and process.poll() is None:
            time.sleep(POLL_SECONDS)
        wall = time.monotonic() - began
        if process.wait():
            raise SystemExit(run_dir.with_suffix(".log").read_text()[-3000:])
    return round(wall, 2), round(_used_by_children() - used, 2)


def seconds_of_imports() -> tuple[float, float]:
    """What a training imports, in a process of its own."""
    used, began = _used_by_children(), time.monotonic()
    subprocess.run([sys.executable, "-c", IMPORTS], env=ENVIRONMENT, check=True)
    return round(time.monotonic() - began, 2), round(_used_by_children() - used, 2)


def _used_by_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    sys.exit(main())
