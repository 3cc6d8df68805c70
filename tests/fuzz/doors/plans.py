"""Doors of what is written down: plans, answers, rules, run folders, and the files of the tool's own home."""

from __future__ import annotations

import io
import json
import os
import random
import tempfile
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

import tomli_w

from advisor.commands.cli import main
from tests.fuzz import mutate
from tests.fuzz.doors.base import ADVISE, MODEL, Commands, Door, as_json, as_toml, of_tree, tree_or_bytes
from tests.trainers.plans import lora_plan
from trainers.plan import ModelRef, plan_to_dict

ANSWERS: dict[str, Any] = {
    "schema": "sft-advisor/answers/v1", "model": "Llama-3.1-8B", "hardware": "RTX 4090",
    "task": {"count": 2, "shift": "small"}, "data": {"kind": "chat", "examples": 500}, "wish": {"method": "lora"},
}  # fmt: skip
RULE: dict[str, Any] = {
    "id": "TST-01", "title": "Many tasks in full", "when": 'plan.method == "full" && task.count > 1',
    "effect": "veto", "message": "{task.count} tasks in full.", "fix": "Train adapters.", "strength": "consensus",
    "sources": ["arithmetic"], "because": "Each task would need a copy of the model.",
    "cases": [{"name": "two", "given": {"plan.method": "full", "task.count": 2}, "expect": "fires"},
              {"name": "one", "given": {"plan.method": "full", "task.count": 1}, "expect": "silent"},
              {"name": "nothing known", "given": {}, "expect": "unknown"}],
}  # fmt: skip
RUN: dict[str, Any] = {
    "run.json": {
        "method": "lora", "model": "m", "exit_state": "done", "steps": 10, "seconds": {"training": 2.5},
        "losses": {"first": 2.5, "last": 1.5}, "tokens_per_second": 100.5, "eval_loss_before": 2.0,
        "memory": {"predicted_peak_bytes": 10, "measured_peak_bytes": 12}, "parameters": {"trainable": 5},
        "failure": {"phase": "training", "what": "x"}, "evaluation": {"base": {"loss": 2.0}, "tuned": {"loss": 1.0}},
    },
    "metrics": [{"step": step, "loss": 3.0 - step / 10, "learning_rate": 1e-4} for step in range(1, 6)],
    "samples": {"samples": [{"prompt": "a", "base": "b", "tuned": "c"}]},
    "state": {"global_step": 10, "log_history": [{"step": 1, "loss": 2.0, "grad_norm": 1.0}]},
}  # fmt: skip
LEDGER: dict[str, Any] = {
    "schema": "sft-advisor/ledger/v1", "when": "2026-01-01", "device": "RTX 4090", "stack": "ours", "method": "lora",
    "model": "m", "counter": "device", "predicted_bytes": 10, "measured_bytes": 12, "static_bytes": 2,
}  # fmt: skip
PLAN = plan_to_dict(lora_plan(model=ModelRef(name=MODEL), device_uuids=("GPU-1",), accelerator="cuda"))


def _feed_plan(folder: Path, content: bytes) -> Commands:
    path = folder / "plan.toml"
    path.write_bytes(content)
    targets = ("trl", "slurm", "axolotl", "llamafactory", "ms-swift", "skypilot", "kubernetes")
    chosen = targets[sum(content[:64]) % len(targets)]
    return [["export", str(path), "--to", chosen], ["launch", str(path), "--dry-run"], ["estimate", str(path)],
            ["vet", str(path)]]  # fmt: skip


def _feed_answers(folder: Path, content: bytes) -> Commands:
    (folder / "answers.toml").write_bytes(content)
    return [["--non-interactive", "--answers", str(folder / "answers.toml")]]


def _rules(rng: random.Random) -> bytes:
    if rng.random() < 0.5:
        return as_toml({**RULE, "when": mutate.text(rng, RULE["when"])})
    return tree_or_bytes(rng, RULE, as_toml)


def _feed_rules(folder: Path, content: bytes) -> Commands:
    rules = folder / "rules"
    rules.mkdir()
    (rules / "TST-01-many-tasks-in-full.toml").write_bytes(content)
    return [["rules", "check", str(rules)], [*ADVISE, MODEL, "--rules", str(rules)]]


def _feed_run(folder: Path, content: bytes) -> Commands:
    from tests.trainers.run_folder.test_foreign_folder import lay_out

    parts = json.loads(content)
    lay_out(folder / "run", parts if isinstance(parts, dict) else {})
    (folder / "run" / "plan.toml").write_bytes(tomli_w.dumps(plan_to_dict(lora_plan())).encode())
    return [["REPORT", str(folder / "run")], ["vet", str(folder / "run")]]


def _ledger(rng: random.Random) -> bytes:
    lines = [tree_or_bytes(rng, LEDGER) if rng.random() < 0.6 else as_json(LEDGER) for _ in range(4)]
    return b"\n".join(lines)


def _feed_ledger(folder: Path, content: bytes) -> Commands:
    home = folder / "home"
    home.mkdir(exist_ok=True)
    (home / "ledger.jsonl").write_bytes(content)
    return [[*ADVISE, MODEL]]


def _feed_last(folder: Path, content: bytes) -> Commands:
    home = folder / "home"
    home.mkdir(exist_ok=True)
    (home / "last.json").write_bytes(content)
    return [["explain", "last"]]


@cache
def _sound_last() -> bytes:
    """What an answer leaves in the home."""
    with tempfile.TemporaryDirectory() as home, redirect_stdout(io.StringIO()):
        before = os.environ.get("SFT_ADVISOR_HOME")
        os.environ["SFT_ADVISOR_HOME"] = home
        try:
            main([*ADVISE, MODEL])
        finally:
            os.environ.pop("SFT_ADVISOR_HOME")
            if before is not None:
                os.environ["SFT_ADVISOR_HOME"] = before
        return (Path(home) / "last.json").read_bytes()


DOORS = {
    "plan": of_tree(PLAN, _feed_plan, as_toml),
    "answers": of_tree(ANSWERS, _feed_answers, as_toml),
    "rules": Door(lambda: as_toml(RULE), _rules, _feed_rules, every=8),
    "runfolder": Door(lambda: as_json(RUN), lambda rng: as_json(mutate.tree(rng, RUN)), _feed_run),
    "ledger": Door(lambda: as_json(LEDGER), _ledger, _feed_ledger),
    "last": Door(_sound_last, lambda rng: tree_or_bytes(rng, json.loads(_sound_last())), _feed_last),
}
