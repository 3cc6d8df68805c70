"""What an error proposes is pasted back, and then that error is gone."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

ASKED = ["--non-interactive", "--model", "Qwen3-8B", "--hardware", "RTX 4090"]
ESTIMATE = ["estimate", *ASKED[1:]]
WRONG = [
    [*ASKED, "--data-examples", "5e3"],
    [*ASKED, "--data-examples", "-5"],
    [*ASKED, "--data-kind", "chats"],
    [*ASKED, "--task-priority", "cheap"],
    [*ASKED, "--task-count", "1.5"],
    [*ASKED, "--deploy-engine", "vLLm2"],
    [*ASKED, "--deploy-latency-critical", "perhaps"],
    [*ASKED, "--storage-budget-bytes", "50"],
    [*ASKED, "--wish-method", "dora"],
    [*ASKED, "--wish-max-seq-len", "8k tokens"],
    [*ASKED, "--lang", "de"],
    [*ASKED, "--dataset", "chat.jsonl"],
    [*ASKED, "--jsn"],
    ["--non-interactive", "--hardware", "RTX 4090"],
    ["--non-interactive", "--model", "Qwen3-8C", "--hardware", "RTX 4090"],
    ["--non-interactive", "--model", "", "--hardware", "RTX 4090"],
    [*ESTIMATE, "--method", "lorra"],
    [*ESTIMATE, "--max-seq-len", "-1"],
    [*ESTIMATE, "--lora-rank", "7.5"],
    [*ESTIMATE, "--lora-rank", "0"],
    [*ESTIMATE, "--learning-rate", "fast"],
    [*ESTIMATE, "--sharding", "fdsp"],
    [*ESTIMATE, "--packing", "perhaps"],
    [*ESTIMATE, "--optimizer", "adamw"],
    [*ESTIMATE, "--loraplus-lr-ratio", "many"],
    ["map", "--method", "dora"],
    ["map", "--lengths", "long"],
    ["where", "--model", "Qwen3-8B", "--budget", "-3", "lambda"],
    ["where", "--model", "Qwen3-8B", "--by", "yesterday", "lambda"],
    ["explain", "warmup_step"],
    ["explain", "HYP-999"],
    ["explain", "schedulr"],
    ["data", "chek", "chats.jsonl"],
    ["data", "check", "chat.jsonl"],
    ["data", "check", "chats.jsonl", "--allow", "trunkation"],
    ["data", "check", "chats.jsonl", "--map", "promt=messages"],
    ["data", "check", "chats.jsonl", "--loss-on", "answers"],
    ["data", "convert", "chats.jsonl", "-o", "x.jsonl", "--drop", "dupes"],
    ["runs", "watch", "run"],
    ["runs", "resume", "run"],
    ["runs", "merge", "run"],
    ["runs", "chat", "nowhere"],
    ["rules", "list", "--effect", "vetoes"],
    ["rules", "schema", "plans"],
    ["doctor", "vett", "chats.jsonl"],
    ["check", "chats.jsonl"],
    ["models", "--family", "qwen3"],
    ["versio"],
    ["--verison"],
    ["mcp", "--lst"],
]
"""Each is wrong in one way."""


@pytest.fixture
def desk(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    row = {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because it is so."}]}
    (tmp_path / "chats.jsonl").write_text(f"{json.dumps(row)}\n" * 3, encoding="utf-8")
    (tmp_path / "run").mkdir()
    return run


def pasted(arguments: list[str], said: str) -> list[str]:
    """The command line after what was proposed is done: a command, a flag with its value, or another word."""
    problem, _, fix = said.partition("\n  try: ")
    fix = fix.partition("\n")[0]
    command = re.search(r"sft-advisor (.+?)(?:   or   |`|$)", fix)
    if command and not fix.startswith(("Did", "did you mean --")):
        return shlex.split(command[1])
    if fix.startswith("--"):
        flag, value = shlex.split(re.split(r",| or ", fix)[0])[:2]
        if flag not in arguments:
            return [*arguments, flag, value]
        return [value if before == flag else word for before, word in zip(["", *arguments], arguments, strict=False)]
    meant = re.search(r"[Dd]id you mean (\S+?)(?:\?| or )", said)
    assert meant, said
    wrong = re.findall(r"'([^']*)'|(--[\w-]+) is not a flag|dataset (\S+) is not|--drop (\S+):", problem)
    (word,) = {part for parts in wrong for part in parts if part in arguments}
    return [meant[1] if each == word else each for each in arguments]


@pytest.mark.parametrize("arguments", WRONG, ids=shlex.join)
def test_what_is_proposed_helps(desk: Callable[..., tuple[int, str, str]], arguments: list[str]) -> None:
    code, out, said = desk(*arguments)
    assert (code, out) == (2, "")
    first = said.partition("\n")[0]
    if "--help" in said.partition("  try: ")[2]:
        with pytest.raises(SystemExit, match="0"):
            desk(*arguments[: 2 if arguments[0] == "data" else 1], "--help")
        return
    again = pasted(arguments, said)
    assert again != arguments
    assert first not in desk(*again)[2]
