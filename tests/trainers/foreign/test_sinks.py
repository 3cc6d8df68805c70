"""A printer, a quoter or a document built past trainers/foreign/text.py is found here."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOLDERS = ("advisor", "rules", "trainers")
PRINTERS = {
    "advisor/commands/output.py": "the commands' own printers, which go through the door",
    "advisor/commands/cli.py": "the version and a fixed word",
    "advisor/commands/failures.py": "a line end, to see whether the output takes one",
    "advisor/report/screen.py": "the console that goes through the door",
    "trainers/run_folder/failures.py": "goes through the door",
    "trainers/handover/asking.py": "JSON for the process that started it, which reads it into typed records",
    "trainers/handover/push.py": "goes through the door",
    "advisor/commands/wizard/plain.py": "prompts line by line, which go through the door",
    "trainers/scores/alone.py": "a word of the process that started it, handed back to it",
    "trainers/methods/shape.py": "JSON for the process that started it, which reads it into typed records",
}
TRAINING_LOG = ("trainers/training/", "trainers/merging/", "trainers/supervision/", "trainers/handover/deliver.py")
"""What a training process prints is a log; the command that shows it takes it through `output.echo`."""
QUOTERS = {"shlex.quote", "shlex.join", "yaml.safe_dump", "yaml.dump", "html.escape"}


def calls() -> Iterator[tuple[str, int, str]]:
    """File, line and name of every call in the project."""
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_bytes())):
                if isinstance(node, ast.Call):
                    yield file.relative_to(ROOT).as_posix(), node.lineno, ast.unparse(node.func)


def test_only_the_printers_print() -> None:
    streams = [f"sys.{stream}{raw}.write" for stream in ("stdout", "stderr") for raw in ("", ".buffer")]
    found = [
        f"{file}:{line} {name}"
        for file, line, name in calls()
        if name in ("print", "Console", *streams) and file not in PRINTERS and not file.startswith(TRAINING_LOG)
    ]
    assert not found, "print by advisor.commands.output (show, write_text, remark, echo)"


def test_text_is_quoted_in_one_place() -> None:
    found = [
        f"{file}:{line} {name}"
        for file, line, name in calls()
        if name in QUOTERS and file != "trainers/foreign/text.py"
    ]
    assert not found, "quote by trainers.foreign.text (shell, shell_line, yaml, html)"


def test_digits_of_strangers_become_numbers_in_one_place() -> None:
    found = [
        f"{file}:{number}"
        for folder in FOLDERS
        for file in sorted((ROOT / folder).rglob("*.py"))
        if file != ROOT / "trainers/foreign/text.py"
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if re.search(r"\bint\(", line) and re.search(r"\.is(decimal|digit|numeric)\(", line)
    ]
    assert not found, "int() fails for thousands of digits; read them by trainers.foreign.text.whole_number"


@pytest.mark.parametrize("mark", ["#SBATCH", "TEMPLATE ", "from_pretrained(", "CUDA_VISIBLE_DEVICES="])
def test_documents_that_hold_foreign_text_are_built_with_the_door_at_hand(mark: str) -> None:
    """A module that pastes text into a script, a Modelfile or Python source imports the door that quotes for it."""
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).rglob("*.py")):
            tree = ast.parse(file.read_bytes())
            pasted = [
                node
                for node in ast.walk(tree)
                if isinstance(node, ast.JoinedStr)
                and any(isinstance(part, ast.FormattedValue) for part in node.values)
                and any(isinstance(part, ast.Constant) and mark in str(part.value) for part in node.values)
            ]
            imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
            assert not pasted or "trainers.foreign.text" in imported, f"{file}: {ast.unparse(pasted[0])}"
