"""Rows that name their split: those of another one do not train, those that evaluate do, and --split is obeyed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from advisor.data.check import check_dataset
from trainers.errors import ExamplesError
from trainers.examples.example import RowExcludedError
from trainers.examples.sets import sets_of
from trainers.examples.source import Source, open_source, reader_of
from trainers.plan import DatasetRef


def row(number: int) -> dict[str, Any]:
    return {"prompt": f"q{number}", "completion": f"a{number}"}


def by_column(path: Path) -> str:
    rows = [{**row(n), "split": "test" if n % 3 == 0 else "train"} for n in range(9)]
    path.write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
    return str(path)


def by_document(path: Path) -> str:
    held = {"test": [row(n) for n in (0, 3, 6)], "train": [row(n) for n in (1, 2, 4, 5, 7, 8)]}
    path.write_text(json.dumps(held), encoding="utf-8")
    return str(path)


def answers(source: Source | None) -> list[str]:
    assert source
    found, reader = [], reader_of(source)
    for one in source.rows():
        try:
            found += reader.example(one).answers
        except RowExcludedError:
            continue
    return found


@pytest.mark.parametrize(("write", "name"), [(by_column, "a.jsonl"), (by_document, "a.json")])
def test_rows_of_the_test_split_evaluate_and_do_not_train(tmp_path: Path, write: Any, name: str) -> None:
    sets = sets_of(DatasetRef(source=write(tmp_path / name)))
    assert answers(sets.train) == ["a1", "a2", "a4", "a5", "a7", "a8"]
    assert answers(sets.eval) == ["a0", "a3", "a6"]


@pytest.mark.parametrize(("write", "name"), [(by_column, "a.jsonl"), (by_document, "a.json")])
def test_another_split_is_read_when_it_is_named(tmp_path: Path, write: Any, name: str) -> None:
    source = write(tmp_path / name)
    assert answers(sets_of(DatasetRef(source=source, split="test")).train) == ["a0", "a3", "a6"]
    with pytest.raises(ExamplesError, match="no split 'validation'"):
        open_source(source, "validation")


def test_the_check_says_what_it_left_out_and_a_plan_finds_the_same(tmp_path: Path) -> None:
    verdict = check_dataset(by_column(tmp_path / "a.jsonl"), look_for_leaks=False)
    assert verdict.excluded == {"the row belongs to the split 'test'": 3}
    assert (verdict.profile.num_examples, verdict.eval_examples) == (6, 3)
    profile = verdict.profile
    planned = DatasetRef(source=profile.source, files=profile.files, eval_files=profile.eval_files)
    assert answers(sets_of(planned).eval) == ["a0", "a3", "a6"]


def test_a_file_without_splits_refuses_one(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(row(1)) + "\n", encoding="utf-8")
    with pytest.raises(ExamplesError, match="no split 'test'"):
        open_source(str(path), "test")


def test_of_a_folder_the_files_of_that_name_are_read(tmp_path: Path) -> None:
    for name in ("train.jsonl", "dev.jsonl"):
        (tmp_path / name).write_text(json.dumps(row(1)) + "\n", encoding="utf-8")
    assert [file.name for file in open_source(str(tmp_path), "validation").files] == ["dev.jsonl"]
    with pytest.raises(ExamplesError, match="no file of the split 'test'"):
        open_source(str(tmp_path), "test")
