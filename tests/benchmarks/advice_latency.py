"""How fast advice is, as ratios to a bare Python start in the same run, so that the machine cancels out.

    python tests/benchmarks/advice_latency.py [--repeat 15] [--json] [--check]

Three figures: a cold `sft-advisor --non-interactive` answer (a new process each time), memory estimates a second on
one core, and a whole recommendation inside a process. `--check` ends with 1 when a target is missed.

Processor time is counted, not the clock on the wall: on an idle machine they agree, and on a busy one only the former
says what the code costs.
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
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

COLD_RATIO_AT_MOST = 15.0
ESTIMATES_PER_SECOND_AT_LEAST = 20_000.0
IN_PROCESS_MILLISECONDS_AT_MOST = 60.0
FLAGS = ["--model", "Qwen3-8B", "--hardware", "RTX 4090", "--data-examples", "5000", "--data-completion-tokens", "2M"]


def main() -> int:
    """Measure, print, and with --check judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=15, help="processes started for each figure")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--check", action="store_true", help="exit code 1 when a target is missed")
    options = parser.parse_args()
    figures = measure(options.repeat)
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        for name, (value, target, met) in judged(figures).items():
            print(f"{name:<46} {value:>12,.1f}   target {target:<12} {'met' if met else 'MISSED'}")
    return 1 if options.check and not all(met for _, _, met in judged(figures).values()) else 0


def measure(repeat: int) -> dict[str, float]:
    """All figures; times are the best of `repeat`, which is what the code costs without its neighbours."""
    bare, cold = cold_starts(repeat)
    return {
        "bare_start_milliseconds": 1000 * bare,
        "cold_answer_milliseconds": 1000 * cold,
        "cold_answer_over_bare_start": cold / bare,
        "memory_estimates_per_second": estimates_per_second(),
        "recommendation_in_process_milliseconds": 1000 * in_process(repeat),
    }


def judged(figures: dict[str, float]) -> dict[str, tuple[float, str, bool]]:
    """Name -> (figure, target in words, whether it is met)."""
    cold = figures["cold_answer_over_bare_start"]
    rate = figures["memory_estimates_per_second"]
    inside = figures["recommendation_in_process_milliseconds"]
    return {
        "cold answer / bare Python start": (cold, f"<= {COLD_RATIO_AT_MOST:g}", cold <= COLD_RATIO_AT_MOST),
        "memory estimates a second, one core": (
            rate,
            f">= {ESTIMATES_PER_SECOND_AT_LEAST:,.0f}",
            rate >= ESTIMATES_PER_SECOND_AT_LEAST,
        ),
        "recommendation in process, ms": (
            inside,
            f"<= {IN_PROCESS_MILLISECONDS_AT_MOST:g}",
            inside <= IN_PROCESS_MILLISECONDS_AT_MOST,
        ),
    }


def cold_starts(repeat: int) -> tuple[float, float]:
    """Best seconds of a bare `python -c pass` and of a cold answer, taken in turns."""
    with tempfile.TemporaryDirectory() as state:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "SFT_ADVISOR_HOME": state}
        answer = [sys.executable, "-m", "advisor", "--non-interactive", *FLAGS]
        _run(answer, environment)  # compiles and fills the rule cache
        bare, cold = [], []
        for _ in range(repeat):
            bare.append(_run([sys.executable, "-c", "pass"], environment))
            cold.append(_run(answer, environment))
    return min(bare), min(cold)


def _run(command: list[str], environment: dict[str, str]) -> float:
    """Processor seconds of the command, user and system."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def estimates_per_second(seconds: float = 1.0) -> float:
    """Memory estimates of one model and plan at changing micro-batches, by the estimator that the search uses."""
    from advisor.estimate import Estimator
    from advisor.model import resolve_model
    from trainers.plan import ModelRef, TrainingPlan

    plan = TrainingPlan(
        model=ModelRef(name="Qwen3-8B"), method="lora", lora_rank=16, lora_alpha=32, lora_targets=("all-linear",)
    )
    estimator = Estimator(resolve_model("Qwen3-8B"), plan)
    count, begin = 0, time.process_time()
    while time.process_time() - begin < seconds:
        for size in range(1, 101):
            estimator.need_bytes(size)
        count += 100
    return count / (time.process_time() - begin)


def in_process(repeat: int) -> float:
    """Best seconds of one whole recommendation, changes searched for, with everything imported and loaded."""
    from advisor.ask.answers import Layer
    from advisor.commands.measure import gather, recommend
    from rules.engine import load_rule_book

    keys = {"model": FLAGS[1], "hardware": FLAGS[3], "data.examples": FLAGS[5], "data.completion_tokens": FLAGS[7]}
    request, book = gather([Layer("flag", keys)]), load_rule_book()
    recommend(request, book)
    return min(seconds_of(lambda: recommend(request, book)) for _ in range(repeat))


def seconds_of(action: Callable[[], object]) -> float:
    """Processor seconds that it took."""
    begin = time.process_time()
    action()
    return time.process_time() - begin


if __name__ == "__main__":
    sys.exit(main())
