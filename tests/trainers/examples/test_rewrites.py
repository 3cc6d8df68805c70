"""What no mapping can say is refused with a command; the command runs, and its rows are read."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from trainers.errors import ExamplesError
from trainers.examples.rewrites import with_roles
from trainers.examples.source import open_source, reader_of

ASKED, SAID = "Which boat is it?", "It is the boat of the keeper."
Q, A = {"role": "user", "content": ASKED}, {"role": "assistant", "content": SAID}
SPANS = [{"attributes": {"gen_ai.input.messages": [Q], "gen_ai.output.messages": [A]}}]
NAMES = {"tokens": ["The", "boat", "Ann"]}


def run(command: str, folder: Path) -> Path:
    subprocess.run(["bash", "-c", command], cwd=folder, check=True)
    return folder / command.rsplit(maxsplit=1)[-1]


def answers(path: Path) -> list[Any]:
    source = open_source(str(path))
    reader = reader_of(source)
    return [answer for row in source.rows() for answer in reader.example(row).answers]


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        ({"prompt": ASKED, "responses": [{"text": "No.", "score": 0.1}, {"text": SAID, "score": 0.9}]}, SAID),
        ({"prompt": ASKED, "responses": ["No.", SAID], "scores": [1, 2]}, SAID),
        ({"prompt": ASKED, "responses": [SAID, "No."]}, SAID),
        ({"trace_id": "t", "spans": SPANS}, SAID),
        ({"resourceSpans": [{"scopeSpans": [{"spans": SPANS}]}]}, SAID),
        ({**NAMES, "ner_tags": ["O", "O", "PER"]}, "Ann: PER"),
        ({**NAMES, "ner_tags": [0, 0, 1]}, "Ann: B-PER"),
        ({**NAMES, "ner_tags": [0, 0, 0]}, "none"),
    ],
)
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json"])
def test_the_command_writes_rows_that_are_read(
    tmp_path: Path, row: dict[str, Any], wanted: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [row, row]
    text = json.dumps(rows) if name == "rows.json" else "".join(json.dumps(one) + "\n" for one in rows)
    Path(name).write_text(text, encoding="utf-8")
    with pytest.raises(ExamplesError) as refused:
        reader_of(open_source(name))
    command = re.search(r"jq -c .*", refused.value.fix)
    assert command is not None
    assert answers(run(command[0], tmp_path)) == [wanted, wanted]


def test_turns_that_name_who_speaks_under_another_key_are_given_a_role(tmp_path: Path) -> None:
    row = {"messages": [{"source": "user", "content": ASKED}, {"source": "assistant", "content": SAID}]}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    assert answers(run(with_roles(row, "rows.jsonl"), tmp_path)) == [SAID]
    capital = {"Messages": [{"Role": "User", "Content": ASKED}, {"Role": "Assistant", "Content": SAID}]}
    (tmp_path / "rows.jsonl").write_text(json.dumps(capital) + "\n", encoding="utf-8")
    assert answers(run(with_roles(capital, "rows.jsonl"), tmp_path)) == [SAID]
    several = {"conversations": [{"messages": [Q, A]}, {"messages": [Q, A]}], "system": "s"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(several) + "\n", encoding="utf-8")
    assert answers(run(with_roles(several, "rows.jsonl"), tmp_path)) == [SAID, SAID]
    assert with_roles({"messages": [Q, A]}, "rows.jsonl") == ""
    assert with_roles({"messages": [{"content": ASKED}]}, "rows.jsonl") == ""
