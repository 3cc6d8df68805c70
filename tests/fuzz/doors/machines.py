"""Doors of machines and of the command line: profiles, names of hardware and places, visible devices, flags."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from tests.fuzz import mutate
from tests.fuzz.doors.base import (
    MODEL,
    Commands,
    Door,
    as_argument,
    as_json,
    as_toml,
    of_text,
    of_tree,
    tree_or_bytes,
)

PROFILE: dict[str, Any] = {
    "schema": "sft-advisor/hardware/v1", "accelerator": "cuda", "driver_version": "570.1",
    "gpus": [{"index": 0, "name": "NVIDIA L4", "uuid": "GPU-1", "total_bytes": 24 << 30, "free_bytes": 23 << 30}],
    "host": {"ram_total_bytes": 64 << 30, "ram_available_bytes": 60 << 30, "cpu_cores": 8},
}  # fmt: skip
PRICES: dict[str, Any] = {
    "date": "2026-11-29",
    "prices": {"g5.xlarge": 0.95, "8x H100": {"usd_per_hour": 16, "usd_per_hour_spot": 9.5, "session_hours": 72}},
}
HARDWARE = (
    "2x RTX 4090, 64GB RAM",
    "2 nodes of 8x H100-80GB",
    "M3 Max 64GB",
    "1x RTX 3090 + 1x 24GiB",
    "cpu 16 cores",
    "p5.48xlarge",
    "2x a2-ultragpu-8g",
    "Standard_ND96isr_H100_v5",
    "Tesla T4",
)
VISIBLE = ("0,1", "GPU-1", "MIG-GPU-1/1/0", "-1", "1,0,2")
FLAGS = (
    ["--model", MODEL, "--data-kind", "chat", "--wish-method", "lora"],
    ["--model", MODEL, "--task-count", "3", "--data-examples", "500", "--network", "none"],
    ["--model", "Qwen3-8B", "--data-completion-tokens", "200000", "--task-priority", "cost", "--data-has-eval", "no"],
)
DEEPER = (
    ["estimate", "--model", MODEL, "--method", "lora"],
    ["explain", "PEFT-01"],
    ["rules", "list"],
    ["schema"],
    ["probe", "--hardware", "RTX 4090"],
)


def _feed_profile(folder: Path, content: bytes) -> Commands:
    path = folder / "machine.json"
    path.write_bytes(content)
    return [["probe", "--hardware", str(path)], ["--non-interactive", "--hardware", str(path), "--model", MODEL]]


def _feed_prices(folder: Path, content: bytes) -> Commands:
    path = folder / "prices.toml"
    path.write_bytes(content)
    return [["where", "--model", MODEL, "--data-examples", "500", "--data-kind", "chat", "--prices", str(path)]]


def _feed_hardware(_folder: Path, content: bytes) -> Commands:
    return [["--non-interactive", f"--hardware={as_argument(content)}", "--model", MODEL]]


def _feed_visible(_folder: Path, content: bytes) -> Commands:
    return [["ENV", "CUDA_VISIBLE_DEVICES", as_argument(content)]]


def _changed_words(rng: random.Random, choices: tuple[list[str], ...]) -> bytes:
    words = list(rng.choice(choices))
    place = rng.randrange(len(words))
    words[place] = mutate.text(rng, words[place]) if rng.random() < 0.7 else rng.choice(mutate.TEXTS)
    return as_json(words)


def _feed_flags(_folder: Path, content: bytes) -> Commands:
    return [["--non-interactive", "--hardware", "RTX 4090", *_words(content)]]


def _words(content: bytes) -> list[str]:
    return [str(word).replace("\0", "") for word in json.loads(content)]


DOORS = {
    "profile": of_tree(PROFILE, _feed_profile),
    "prices": Door(lambda: as_toml(PRICES), lambda rng: tree_or_bytes(rng, PRICES, as_toml), _feed_prices, every=4),
    "hardware": of_text(HARDWARE, _feed_hardware),
    "visible": of_text(VISIBLE, _feed_visible),
    "flags": Door(lambda: as_json(FLAGS[0]), lambda rng: _changed_words(rng, FLAGS), _feed_flags),
    "commands": Door(lambda: as_json(DEEPER[0]), lambda rng: _changed_words(rng, DEEPER), lambda _, c: [_words(c)]),
}
