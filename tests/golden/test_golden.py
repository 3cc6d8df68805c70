"""Whole answers, kept as files: what a change of a rule or a formula does to the advice is seen in the difference.

`make golden` writes them anew; the difference is the review.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
import tomli_w
from rich.console import Console, RenderableType

from advisor.ask.answers import Layer
from advisor.commands.measure import gather, recommend
from advisor.report.summary import summary
from advisor.report.terminal import recommendation
from rules.engine import load_rule_book
from trainers.plan import plan_to_dict

FOLDER = Path(__file__).parent
CASES: dict[str, dict[str, object]] = {
    "support-chats-on-one-4090": {
        "model": "Qwen3-8B",
        "hardware": "RTX 4090",
        "data.kind": "chat",
        "data.examples": 5000,
        "data.completion_tokens": 2_000_000,
        "data.total_tokens": 5_000_000,
        "data.len_p95": 1500,
        "task.prompting_tried": True,
        "deploy.engine": "vllm",
        "deploy.artifact": "merged",
    },
    "general-assistant-on-eight-a100": {
        "model": "Llama-3.1-8B",
        "hardware": "8x A100-80GB",
        "data.kind": "chat",
        "data.examples": 1_000_000,
        "data.completion_tokens": 600_000_000,
        "data.total_tokens": 900_000_000,
        "data.len_p95": 2000,
        "task.shift": "large",
        "task.prompting_tried": True,
    },
    "twelve-tenants-switched-per-request": {
        "model": "Llama-3.1-8B",
        "hardware": "1x A100-80GB",
        "data.examples": 2000,
        "data.completion_tokens": 800_000,
        "task.count": 12,
        "task.switch_per_request": True,
        "task.prompting_tried": True,
        "deploy.engine": "vllm",
        "storage.budget_bytes": "20GiB",
    },
    "seventy-billion-on-eight-gigabytes": {"model": "Llama-3.1-70B", "hardware": "1x 8GiB"},
    "facts-that-change-every-week": {
        "model": "Qwen3-8B",
        "hardware": "RTX 4090",
        "data.kind": "facts",
        "data.examples": 10_000,
        "data.has_facts_that_change": True,
    },
    "small-model-on-a-cpu": {
        "model": "SmolLM2-135M",
        "hardware": "cpu, 16 cores, 32GB RAM",
        "data.kind": "instruct",
        "data.examples": 500,
        "data.completion_tokens": 20_000,
        "data.len_p95": 200,
    },
}


@pytest.fixture(autouse=True)
def _nothing_measured_here(tmp_path, monkeypatch):
    """Runs of this machine correct its estimates; the golden answers are those of a new machine."""
    monkeypatch.setenv("SFT_ADVISOR_HOME", str(tmp_path))


@pytest.mark.parametrize("name", CASES)
def test_the_answer_is_the_one_that_was_reviewed(name):
    result = recommend(gather([Layer("file", CASES[name], name)]), load_rule_book())
    found = {f"{name}.txt": page(recommendation(result)), f"{name}.screen": page(summary(result))}
    if result.best is not None:
        found[f"{name}.toml"] = tomli_w.dumps(plan_to_dict(result.best.plan))
    if os.environ.get("UPDATE_GOLDEN"):
        for file, content in found.items():
            (FOLDER / file).write_text(content, encoding="utf-8")
    kept = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob(f"{name}.*")}
    assert found == kept, "the advice changed; if that is meant: make golden"


def page(shown: RenderableType) -> str:
    """A terminal page, 100 columns wide, without colour and without trailing blanks."""
    screen = Console(file=io.StringIO(), width=100, no_color=True, highlight=False, markup=False)
    screen.print(shown)
    return "\n".join(line.rstrip() for line in screen.file.getvalue().splitlines()) + "\n"


def test_every_file_belongs_to_a_case():
    names = {path.stem for path in FOLDER.iterdir() if path.suffix in (".txt", ".toml", ".screen")}
    assert names <= set(CASES)
