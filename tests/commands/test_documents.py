"""Each document that a command prints is the one that `rules schema` describes, in what real commands print.

What only a training leaves is held against its schema where a test trains: `validated(NAME, ...)` there.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from advisor.commands import find
from advisor.report.documents import DOCUMENTS, PROMISE
from advisor.report.schema import json_schema
from rules.coverage import measure
from rules.engine import load_rule_book
from rules.policy import check_folder
from tests.commands.calling import ASK, warmly
from tests.commands.test_runs import lay_out
from tests.commands.test_sentences import own_flags
from tests.documents import validated
from trainers.plan import load_plan, plan_to_dict

TESTS = Path(__file__).parents[1]
MODEL, CARD = ("--model", "Qwen3-8B"), ("--hardware", "RTX 4090")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file of chats, a plan for it, two runs and a rule of one's own."""
    folder = tmp_path_factory.mktemp("desk")
    row = {"messages": [{"role": "user", "content": "Why {}?"}, {"role": "assistant", "content": "Because of {}."}]}
    lines = [json.dumps(row).replace("{}", str(number)) for number in range(80)]
    (folder / "chats.jsonl").write_text("\n".join(lines), encoding="utf-8")
    for name, rate, loss in (("one", 1e-4, 2.0), ("two", 3e-4, 1.0)):
        lay_out(folder / "runs" / name, rate, loss)
    words = (*MODEL, *CARD, "--dataset", "chats.jsonl", "--task-prompting-tried", "yes", "--save-plan", "plan.toml")
    assert warmly(folder, *words, "--json").returncode in (0, 4)
    assert warmly(folder, "rules", "new", "ACME-01", "A 4-bit base in production", "--in", "mine").returncode == 0
    return folder


PRINTED = {
    "estimate": [
        ("estimate", *MODEL, *CARD, "--method", "qlora", "--timeline"),
        ("estimate", *MODEL, *CARD, "--compare"),
        ("estimate", *MODEL, "--hardware", "8GB", "--method", "full"),
        ("estimate", "plan.toml"),
    ],
    "map": [("map", *CARD, "qwen3"), ("map", "--hardware", "8GB", "llama")],
    "where": [("where", *MODEL, "lambda"), ("where", *MODEL, "H100", "--budget", "5", "--by", "12h")],
    "hardware": [("probe",), ("probe", *CARD)],
    "models": [("probe", "models"), ("probe", "models", "--family", "qwen3", "--fits", "RTX 4060")],
    "data-check": [
        ("data", "check", "chats.jsonl"),
        ("data", "check", "chats.jsonl", *MODEL, "--max-seq-len", "8", "--eval", "chats.jsonl"),
    ],
    "data-convert": [("data", "convert", "chats.jsonl", "-o", "clean.jsonl", "--fix", "end-tokens")],
    "vet": [("doctor", "vet", "chats.jsonl")],
    "dry-run": [("launch", "plan.toml", "--dry-run")],
    "run": [("runs", "watch", "runs/one")],
    "runs": [("runs", "list")],
    "compare": [("runs", "compare", "runs/one", "runs/two")],
    "score": [("runs", "score", "runs/one", "--measure", "token_f1")],
    "report": [("runs", "report", "runs/one")],
    "rules": [("rules", "list"), ("rules", "list", "--effect", "gate")],
    "cases": [("rules", "test", "mine")],
    "scenarios": [("rules", "scenario", str(TESTS / "scenarios" / "S01-support-chats-on-one-rtx-4090.toml"))],
    "export": [("export", "plan.toml", "--to", "axolotl")],
    "explanation": [("explain", "lora_rank")],
    "recommendation": [tuple(ASK), ("explain", "last")],
}
"""Document -> commands that print it."""


@pytest.mark.parametrize("name", PRINTED)
def test_what_is_printed_is_what_is_described(desk: Path, name: str) -> None:
    for words in PRINTED[name]:
        done = warmly(desk, *words, "--json")
        assert done.returncode in (0, 2, 3, 4, 5), done.stderr
        validated(name, json.loads(done.stdout))


def test_the_book_a_policy_the_tools_of_agents_and_a_plan(desk: Path) -> None:
    validated("coverage", measure(load_rule_book(), samples=2))
    validated("policy", check_folder(desk / "mine", samples=2))
    validated("tools", json.loads(warmly(desk, "mcp", "--list", "--write").stdout))
    validated("plan", plan_to_dict(load_plan(desk / "plan.toml")))


def test_each_document_is_held_against_what_is_really_printed() -> None:
    held = {
        call.args[0].value
        for path in TESTS.rglob("test_*.py")
        if "validated(" in (text := path.read_text(encoding="utf-8"))
        for call in ast.walk(ast.parse(text))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "validated"
        if isinstance(call.args[0], ast.Constant)
    }
    assert set(DOCUMENTS) - held - set(PRINTED) == set()


def test_each_flag_of_json_is_described_by_a_document() -> None:
    printing = {found.words for each in DOCUMENTS.values() if (found := find(each.printed_by.split()))}
    with_json = {name for name, flags in own_flags().items() if "--json" in flags} - {"advise"}
    answers_as_launch = {"train", "runs resume"}
    assert with_json - answers_as_launch == printing - {"mcp"}


ROWS = {"runs": "run"}
"""Lists whose rows are a document of another name."""


@pytest.mark.parametrize("name", DOCUMENTS)
def test_each_document_and_each_row_of_a_list_names_itself(name: str) -> None:
    document = DOCUMENTS[name]
    record = get_args(document.type)[0] if document.is_list else document.type
    version = f"sft-advisor/{ROWS.get(name, name)}/v{document.version}"
    (field,) = (field for field in msgspec.structs.fields(record) if field.name == "schema")
    assert field.default == version


@pytest.mark.parametrize("name", DOCUMENTS)
def test_each_schema_says_what_it_is_of_and_promises_to_hold(name: str) -> None:
    said = json_schema(name)["description"]
    assert f"`sft-advisor {DOCUMENTS[name].printed_by}`" in said
    assert said.endswith(PROMISE)
