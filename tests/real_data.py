"""Real conversations and tool calls out of installed PyPI packages, as the JSONL files that users bring.

chatterbot-corpus (BSD) holds English small talk; bfcl-eval (Apache-2.0) functions and the calls that answer them.
Both are read as files; neither package is imported.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

Messages = list[dict[str, Any]]


def conversations() -> list[Messages]:
    """Every English conversation of chatterbot-corpus, cut to whole question-and-answer pairs."""
    yaml = pytest.importorskip("yaml")
    found = []
    for file in sorted((_folder("chatterbot_corpus") / "data" / "english").glob("*.yml")):
        for turns in yaml.safe_load(file.read_text(encoding="utf-8"))["conversations"]:
            texts = [turn for turn in turns if isinstance(turn, str) and turn.strip()]
            texts = texts[: len(texts) // 2 * 2]
            if texts:
                found.append(
                    [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]
                )
    return found


def chatterbot_messages(path: Path, limit: int | None = None) -> Path:
    """Write conversations to `path` in `messages` format; gives `path`."""
    return _write(path, [{"messages": messages} for messages in conversations()[:limit]])


def bfcl_tool_calls(path: Path, limit: int | None = None) -> Path:
    """Write questions with a `tools` schema and the assistant's `tool_calls` to `path`; gives `path`."""
    data = _folder("bfcl_eval") / "data"
    name = "BFCL_v4_simple_python.json"
    questions, answers = _read(data / name), _read(data / "possible_answer" / name)
    truth = {answer["id"]: answer["ground_truth"] for answer in answers}
    rows = [_tool_row(question, truth[question["id"]]) for question in questions[:limit]]
    return _write(path, rows)


def _tool_row(question: dict[str, Any], truth: list[dict[str, dict[str, list[Any]]]]) -> dict[str, Any]:
    calls = [
        {"type": "function", "function": {"name": name, "arguments": _first_values(arguments)}}
        for call in truth
        for name, arguments in call.items()
    ]
    asked = [{"role": turn["role"], "content": turn["content"]} for turn in question["question"][0]]
    tools = [{"type": "function", "function": _as_json_schema(function)} for function in question["function"]]
    return {"messages": [*asked, {"role": "assistant", "tool_calls": calls}], "tools": tools}


def _first_values(arguments: dict[str, list[Any]]) -> dict[str, Any]:
    """Each argument's first accepted value; those that may be left out ("" among the accepted) are left out."""
    return {name: accepted[0] for name, accepted in arguments.items() if accepted and "" not in accepted}


def _as_json_schema(value: Any) -> Any:
    """The benchmark's Python type names as those of JSON Schema."""
    names = {"dict": "object", "float": "number", "tuple": "array", "any": "string"}
    if isinstance(value, dict):
        return {
            key: names.get(item, item) if key == "type" and isinstance(item, str) else _as_json_schema(item)
            for key, item in value.items()
        }
    return [_as_json_schema(item) for item in value] if isinstance(value, list) else value


def _folder(module: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"{module} is not installed")
    return Path(spec.submodule_search_locations[0])


def _read(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]


def _write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path
