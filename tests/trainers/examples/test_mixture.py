"""Several datasets as one: each by its own layout, in the shares that were asked for, and the shares said."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from advisor.data.check import check_dataset
from trainers.errors import ExamplesError
from trainers.examples.mixture import pieces_of
from trainers.examples.sets import sets_of, stated_files
from trainers.examples.source import reader_of
from trainers.plan import DatasetRef


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two datasets of two layouts, 40 and 10 rows."""
    monkeypatch.chdir(tmp_path)
    rows = [{"instruction": f"q{n}", "output": f"a{n}", "moral": "m"} for n in range(40)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    lines = "".join(f"q{n};b{n}\n" for n in range(10))
    (tmp_path / "b.csv").write_text("question;answer\n" + lines, encoding="utf-8")
    return tmp_path


def origins(text: str) -> Counter[str]:
    source = sets_of(DatasetRef(source=text)).train
    reader = reader_of(source)
    return Counter(reader.example(row).answers[0][0] for row in source.rows())


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        ("a.jsonl b.csv", {"a": 40, "b": 10}),
        ("a.jsonl:0.5 b.csv:0.5", {"a": 25, "b": 25}),
        ("a.jsonl:1 b.csv:3", {"a": 12, "b": 37}),
    ],
)
def test_shares_are_of_the_rows_of_one_pass(here: Path, text: str, shares: dict[str, int]) -> None:
    assert origins(text) == shares


def test_epochs_are_said_and_copies_are_no_duplicates(here: Path) -> None:
    verdict = check_dataset("a.jsonl:0.5 b.csv:0.5", look_for_leaks=False)
    assert "b.csv: 50% of the rows, 2.5 epochs of its 10" in verdict.profile.notes
    assert (verdict.profile.num_examples, verdict.profile.num_duplicates) == (50, 0)
    assert any("moral" in finding.what for finding in verdict.findings)


def test_only_some_weights_are_refused(here: Path) -> None:
    with pytest.raises(ExamplesError, match="to some datasets and not to others"):
        sets_of(DatasetRef(source="a.jsonl:0.5 b.csv"))


def test_a_name_with_blanks_that_is_there_is_one_dataset(here: Path) -> None:
    (here / "my data.jsonl").write_text('{"text": "a"}\n', encoding="utf-8")
    assert pieces_of("my data.jsonl") == []
    assert pieces_of("a.jsonl") == []


def test_the_plan_holds_a_mixture_to_its_files(here: Path) -> None:
    text = "*.jsonl:0.5 b.csv:0.5"
    named = DatasetRef(source=text, files=stated_files(sets_of(DatasetRef(source=text)).train))
    assert not sets_of(named).changed()
    (here / "c.jsonl").write_text('{"instruction": "q", "output": "a"}\n', encoding="utf-8")
    with pytest.raises(ExamplesError, match="no longer names the files"):
        sets_of(named)


def test_rows_that_are_left_out_count_for_no_share(here: Path) -> None:
    judged = [{"prompt": f"q{n}", "completion": f"k{n}", "label": n % 2} for n in range(20)]
    (here / "kto.jsonl").write_text("".join(json.dumps(row) + "\n" for row in judged), encoding="utf-8")
    verdict = check_dataset("kto.jsonl:0.5 b.csv:0.5", look_for_leaks=False)
    assert verdict.profile.notes[:2] == (
        "kto.jsonl: 50% of the rows, 1 epochs of its 10",
        "b.csv: 50% of the rows, 1 epochs of its 10",
    )
    assert (verdict.profile.num_examples, verdict.profile.num_excluded) == (20, 10)
    columns = {entry.name: entry for entry in verdict.ledger if entry.what == "column"}
    assert (columns["label"].excluded, columns["completion"].learnt, columns["answer"].learnt) == (10, 10, 10)


def test_a_mapping_holds_for_the_parts_that_have_its_columns(here: Path) -> None:
    columns = {"prompt": "instruction", "completion": "moral"}
    source = sets_of(DatasetRef(source="a.jsonl b.csv", columns=columns)).train
    reader = reader_of(source)
    assert Counter(reader.example(row).answers[0][0] for row in source.rows()) == {"m": 40, "b": 10}
    with pytest.raises(ExamplesError, match="no column 'wisdom'"):
        sets_of(DatasetRef(source="a.jsonl b.csv", columns={"prompt": "wisdom", "completion": "moral"}))


def test_files_of_a_folder_are_read_each_by_its_own_layout(here: Path) -> None:
    (here / "b.csv").unlink()
    (here / "c.jsonl").write_text('{"messages": [{"role": "assistant", "content": "c"}]}\n' * 3, encoding="utf-8")
    verdict = check_dataset(str(here), look_for_leaks=False)
    assert (verdict.profile.num_examples, verdict.profile.num_broken) == (43, 0)
    assert "each file is read by its own layout: a.jsonl as alpaca, c.jsonl as messages" in verdict.profile.notes
