"""The data check inside a launch: what is here is judged, what is not is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.base.errors import InputError
from advisor.commands.data import check_plan
from tests.report import made_by_hand as made
from tests.trainers.examples.test_source import ROWS, write_parquet
from trainers.plan import DatasetRef


def test_a_dataset_of_the_hub_is_checked_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "datasets--someone--chats"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc")
    (folder / "snapshots" / "abc").mkdir(parents=True)
    write_parquet(folder / "snapshots" / "abc" / "train.parquet", ROWS)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    verdict = check_plan(made.plan(dataset=DatasetRef(source="someone/chats")), ())
    assert verdict is not None
    assert verdict.profile.num_examples == len(ROWS)
    assert check_plan(made.plan(dataset=DatasetRef(source="someone/other")), ()) is None
    assert "data: not checked before the run: cannot read the dataset 'someone/other'" in capsys.readouterr().err


@pytest.mark.parametrize("source", ["./nowhere", "nowhere.jsonl", "/nowhere/at/all"])
def test_a_file_that_is_not_there_is_an_error_before_anything_starts(source: str) -> None:
    with pytest.raises(InputError, match="is not there"):
        check_plan(made.plan(dataset=DatasetRef(source=source)), ())
