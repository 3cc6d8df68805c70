"""Each finding prints the command that mends it; once it has run, the check no longer finds the fault."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from advisor.commands.cli import main
from advisor.data.check import check_dataset
from advisor.data.content.fixes import DROPS, FIXES
from advisor.data.verdict import Finding
from tests.data.content.examples import FAULTS, said
from trainers.examples.example import Example

SOUND = [said(f"Where is lamp {number}?", f"On shelf number {number * 7}.") for number in range(4)]


def write(path: Path, examples: list[Example]) -> Path:
    path.write_text("".join(json.dumps(one.as_dict()) + "\n" for one in examples), encoding="utf-8")
    return path


def found(path: Path, code: str) -> Finding | None:
    verdict = check_dataset(str(path))
    return next((one for one in verdict.findings if one.code == code), None)


def pasted(finding: Finding) -> list[str]:
    """The words of the command that the finding ends with."""
    words = shlex.split(finding.fix.rpartition("\n")[2])
    assert words[0] == "sft-advisor"
    return words[1:]


@pytest.mark.parametrize("code", [*FAULTS, "duplicates", "email"])
def test_the_command_of_a_finding_takes_it_away(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    faulty = {"duplicates": [SOUND[0]], "email": [said("Who?", "Write to mara.stein@brightlane.co")]}.get(code)
    rows = faulty or [one for one in FAULTS[code] if bool(one.text) == bool(FAULTS[code][0].text)]
    sound = SOUND if not rows[0].text else [Example(text=f"The lamp {number} is red.") for number in range(4)]
    finding = found(write(tmp_path / "my data.jsonl", [*sound, *rows]), code)
    assert finding, code
    assert main(pasted(finding)) == 0, capsys.readouterr()
    assert found(tmp_path / "clean.jsonl", code) is None
    assert code in FIXES or code in DROPS


def test_rows_are_not_to_be_left_out_where_none_would_be_left(tmp_path: Path) -> None:
    rows = [{"prompt": f"Where is {n}?", "completion": f"On {n}.", "weight": 0.5 if n else ""} for n in range(3)]
    path = tmp_path / "a.jsonl"
    for shown in (rows[1:], rows):
        path.write_text("".join(json.dumps(row) + "\n" for row in shown), encoding="utf-8")
        finding = found(path, "unused-content")
        assert finding
        assert finding.rows == 2
        assert ("--drop unused-content" in finding.fix) == (shown is rows)


def test_a_code_that_mends_nothing_is_named_with_the_one_that_is_meant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "a.jsonl", SOUND)
    assert main(["data", "convert", str(path), "--fix", "end-token", "-o", str(tmp_path / "b.jsonl")]) == 2
    assert "Did you mean end-tokens?" in capsys.readouterr().err


def test_rows_that_were_mended_are_shown_before_and_after(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(
        tmp_path / "a.jsonl", [*SOUND, said("hi", "hello<|im_end|>"), said("No?", "I cannot help with that.")]
    )
    asked = ["--fix", "end-tokens", "--drop", "refusals", "-o", str(tmp_path / "b.jsonl"), "--json"]
    assert main(["data", "convert", str(path), *asked]) == 0
    made = json.loads(capsys.readouterr().out)
    assert [row["line"] for row in made["shown"]] == [5, 6]
    assert made["shown"][0]["after"]["messages"][1]["content"] == "hello"
    assert made["shown"][1]["after"] == {}
    assert (made["written"], made["dropped"]) == (5, 1)
    assert "left out for refusals in 1 rows" in made["changes"]
