"""The plan's files are what is trained on: nothing is looked for anew, and what was moved or changed is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trainers.errors import ExamplesError
from trainers.examples.sets import sets_of, stated_files
from trainers.plan import DataFile, DatasetRef


def write(path: Path, count: int = 3) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"text": f"{path.name} {number}"} for number in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def planned(source: str, **fields: object) -> DatasetRef:
    """A dataset as a plan names it after it was checked."""
    sets = sets_of(DatasetRef(source=source))
    eval_files = stated_files(sets.eval) if sets.eval else ()
    eval_source = sets.eval.name if sets.eval and len(sets.eval.files) == 1 else None
    return DatasetRef(
        source=source, files=stated_files(sets.train), eval_files=eval_files, eval_source=eval_source, **fields
    )


def test_a_file_that_comes_later_is_not_trained_on(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl")
    plan = planned(str(tmp_path))
    write(tmp_path / "b.jsonl")
    assert [file.name for file in sets_of(plan).train.files] == ["a.jsonl"]
    assert len(sets_of(DatasetRef(source=str(tmp_path))).train.files) == 2


@pytest.mark.parametrize("source", ["train.jsonl", "."])
def test_a_test_file_beside_the_training_file_evaluates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("train.jsonl"))
    write(Path("test.jsonl"), 2)
    for named in (DatasetRef(source=source), planned(source)):
        sets = sets_of(named)
        assert sets.eval
        assert len(list(sets.train.rows())) == 3
        assert len(list(sets.eval.rows())) == 2
        assert not sets.changed()


def test_of_two_files_that_could_evaluate_the_validation_set_does(tmp_path: Path) -> None:
    for name in ("my_train.jsonl", "my_test.jsonl", "my_validation.jsonl"):
        write(tmp_path / name)
    for source in (tmp_path, tmp_path / "my_train.jsonl"):
        held = sets_of(DatasetRef(source=str(source))).eval
        assert held
        assert [file.name for file in held.files] == ["my_validation.jsonl"]


@pytest.mark.parametrize("name", ["latest.jsonl", "retrieval.jsonl", "devices.jsonl", "contest.jsonl"])
def test_a_word_inside_another_word_holds_nothing_back(tmp_path: Path, name: str) -> None:
    write(tmp_path / name)
    write(tmp_path / "more.jsonl")
    assert len(sets_of(DatasetRef(source=str(tmp_path))).train.files) == 2


def test_a_changed_file_is_named_and_a_missing_one_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl")
    plan = planned(str(path))
    assert sets_of(plan).changed() == []
    write(path, 4)
    assert sets_of(plan).changed() == [str(path)]
    path.unlink()
    with pytest.raises(ExamplesError, match="is not there"):
        sets_of(plan)


def test_a_source_that_was_changed_without_its_files_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl")
    other = write(tmp_path / "b.jsonl")
    plan = DatasetRef(source=str(other), files=(DataFile(path="a.jsonl"),))
    with pytest.raises(ExamplesError, match=r"as its files a\.jsonl"):
        sets_of(plan)


def test_files_named_by_a_pattern_are_one_dataset(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl", "c.csv"):
        write(tmp_path / name)
    plan = planned(str(tmp_path / "*.jsonl"))
    assert [file.name for file in sets_of(plan).train.files] == ["a.jsonl", "b.jsonl"]


def test_side_files_and_what_is_said_about_data_are_no_data(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl")
    for name in ("dataset_info.json", "README.md", "notes.txt"):
        (tmp_path / name).write_text("{}", encoding="utf-8")
    assert [file.name for file in sets_of(DatasetRef(source=str(tmp_path))).train.files] == ["a.jsonl"]
