"""What a run folder holds is named once, in trainers/run_folder/layout.py."""

import ast
from collections.abc import Iterator
from pathlib import Path

from trainers.run_folder import layout

HOUSE = Path(__file__).parents[3]
NAMES = {value: name for name, value in vars(layout).items() if name.isupper()}
ALSO_ELSEWHERE = {"data", "README.md", "report.html", "requirements.txt"}
"""Names that other folders have too."""


def test_no_name_stands_for_two_things() -> None:
    assert len(NAMES) == len([name for name in vars(layout) if name.isupper()])


def test_no_other_file_writes_these_names_out() -> None:
    files = [file for room in ("advisor", "trainers") for file in (HOUSE / room).rglob("*.py")]
    assert len(files) > 100
    written = [
        f"{file.relative_to(HOUSE)}:{line} says {text!r}: take layout.{NAMES[text]}"
        for file in files
        if file.name != "layout.py"
        for line, text in _names_written_out(ast.parse(file.read_text(encoding="utf-8")))
    ]
    assert not written, "\n".join(written)


def _names_written_out(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Strings that are a file of a run, and folders of a run as they are joined to a path."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value in NAMES and "." in node.value.strip("."):
            if node.value not in ALSO_ELSEWHERE:
                yield node.lineno, node.value
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and isinstance(node.right, ast.Constant):
            folder = node.right.value
            if folder in NAMES.keys() - ALSO_ELSEWHERE and "." not in folder:
                yield node.lineno, folder
