"""Commands that strangers would have pasted: to serve a result, and as the fix of a rule."""

from __future__ import annotations

import re

_SERVES = re.compile(
    r"vllm serve |python3? -m (?:vllm\.entrypoints|sglang\.launch_server)\b|python3? convert_(?:hf|lora)_to_gguf\.py "
    r"|llama-(?:quantize|server|cli) |ollama (?:create|run|serve)\b|trtllm-serve |lmdeploy serve "
)
"""How the commands begin that engines are started with, or a result is made ready for them by."""
_MORE = re.compile(
    r"[;|&`<>\"\\]|\$\(|<\(|trust[-_]remote[-_]code"
    r"|--[\w-]*(?:plugin|middleware|worker[-_](?:extension[-_])?cls|logits[-_]processors?|scheduler[-_]cls)"
)
_QUOTED = re.compile(r"'[^']*'|\"[^\"$`\\]*\"")
"""What no shell obeys."""
_FETCHED_AND_RUN = re.compile(
    r"\b(?:curl|wget|iwr|irm|Invoke-(?:WebRequest|RestMethod))\b[^|;&]*[|;&]+\s*(?:sudo\s+)?(?:(?:ba|z|da)?sh|python3?|iex)\b"
    r"|(?:<\(|\$\(|`)\s*(?:curl|wget)\b|\biex\b[^\n]*\b(?:iwr|irm)\b"
    r"|\bpython3?\s+-c\b|\b(?:ba|z|da)?sh\s+-c\b|\bbase64\s+(?:-d|--decode)\b[^|\n]*\|"
    r"|--(?:extra-)?index-url|--trusted-host|\b(?:pip|uv|pipx)\b[^\n]*\binstall\b[^\n]*(?:https?|git\+\w+)://",
    re.IGNORECASE,
)


def does_more(command: str) -> bool:
    """Whether a command to serve does more than that: other programs, a shell's joints, a model's own code."""
    lines = re.split(r"\s*&&\s*|\n", _QUOTED.sub("''", command))
    return any(not _SERVES.match(line) or _MORE.search(line) for line in lines)


def runs_what_it_fetches(text: str) -> bool:
    """Whether a sentence holds a command that runs a program that it fetches, unpacks or holds itself."""
    return bool(_FETCHED_AND_RUN.search(text))
