"""The published document: what scripts read first stands at the top, in the figures of the recommendation."""

from __future__ import annotations

import json
import shlex

import msgspec
import pytest

from advisor.commands.cli import main
from advisor.decide.recommendation import Recommendation
from advisor.report.document import Answer, answer_document
from tests.report import made_by_hand as made
from trainers.foreign.records import encode


@pytest.mark.parametrize("make", [made.recommendation, made.nothing_fits, made.gated])
def test_the_document_survives_the_round_trip(make):
    document = answer_document(make())
    assert msgspec.json.decode(encode(document), type=Answer) == document


def test_what_scripts_read_first_is_at_the_top():
    result = made.recommendation()
    assert result.best is not None
    document = json.loads(encode(answer_document(result)))
    assert document["method"] == "lora"
    assert document["plan"]["lora_rank"] == 16
    assert document["memory"]["high_bytes"] == result.best.memory.device.high
    assert sum(document["memory"]["parts_bytes"].values()) == document["memory"]["likely_bytes"]
    assert [reason["rule_id"] for reason in document["reasons"]] == ["QUA-22", "STO-03"]
    assert document["warnings"][0] == {
        "message": "GPU 1 is in use by another process.",
        "fix": "Stop it.",
        "rule_id": None,
    }
    assert [(each["method"], each["standing"]) for each in document["methods"]] == [
        ("lora", "recommended"),
        ("qlora", "possible"),
        ("full", "rejected"),
    ]
    assert document["trace"] is None


def test_the_trace_is_the_whole_recommendation():
    result = made.recommendation()
    document = json.loads(encode(answer_document(result, trace=True)))
    assert document["trace"] == json.loads(encode(result))


OTHERWISE = {"best", "alternatives", "rejected"}
"""Parts that the document carries in a form of its own."""
ONLY_IN_THE_TRACE = {"facts", "fact_reasons", "data", "hardware", "traces"}


def test_scripts_read_every_part_of_the_answer():
    parts = set(Recommendation.__struct_fields__) - OTHERWISE - ONLY_IN_THE_TRACE
    left = parts - set(Answer.__struct_fields__)
    assert not left, f"Answer and answer_document() in advisor/report/document.py do not carry {left}"


def test_when_nothing_fits_the_memory_is_that_of_the_plan_that_comes_closest():
    result = made.nothing_fits()
    document = answer_document(result)
    assert document.method is document.plan is document.time is None
    assert document.memory is not None
    assert document.memory.high_bytes == result.rejected[0].memory.device.high
    assert "launch" not in document.commands
    assert "save_plan" not in document.commands


def test_the_commands_can_be_pasted(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    row = {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because. " * 40}]}
    (tmp_path / "chats of 2026.jsonl").write_text((json.dumps(row) + "\n") * 300, encoding="utf-8")
    asked = [
        "--non-interactive",
        "--model",
        "Qwen3-8B",
        "--hardware",
        "2x RTX 4090",
        "--storage-budget-bytes",
        "50GB",
    ]
    asked += ["--dataset", "chats of 2026.jsonl", "--task-prompting-tried", "no"]
    assert main(asked) == 0
    document = json.loads(capsys.readouterr().out)
    commands = document["commands"]
    assert list(commands) == ["explain", "save_plan", "launch", "export", "html"]
    for name in ("explain", "save_plan", "html", "export"):
        assert main(shlex.split(commands[name])[1:]) == 0, name
        printed = capsys.readouterr().out
        if name == "save_plan":
            assert json.loads(printed) == document
    assert {"plan.toml", "report.html"} <= {path.name for path in tmp_path.iterdir()}
    assert main([*shlex.split(commands["launch"])[1:], "--dry-run"]) == 0
