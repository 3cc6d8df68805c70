"""Finding and reading datasets of every kind; each kind of broken file is told for what it is."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from advisor.base.errors import InputError, MachineError
from advisor.data import profile_dataset
from tests.data.conftest import chats
from trainers.errors import ExamplesError
from trainers.examples.source import open_source

ROWS = chats(30)


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    import polars

    polars.DataFrame(rows).write_parquet(path)
    return path


def test_every_kind_of_file_gives_the_same_profile(tmp_path: Path) -> None:
    import datasets

    jsonl = "\n".join(json.dumps(row) for row in ROWS)
    (tmp_path / "a.jsonl").write_text(jsonl)
    (tmp_path / "b.json").write_text(json.dumps(ROWS, indent=1))
    (tmp_path / "c.json").write_text(json.dumps({"data": ROWS, "version": 1}))
    (tmp_path / "d.json").write_text(jsonl)
    (tmp_path / "e.jsonl.gz").write_bytes(gzip.compress(jsonl.encode()))
    (tmp_path / "f.jsonl").write_bytes(b"\xef\xbb\xbf" + jsonl.replace("\n", "\r\n\r\n").encode())
    write_parquet(tmp_path / "g.parquet", ROWS)
    datasets.Dataset.from_list(ROWS).save_to_disk(tmp_path / "h")
    datasets.DatasetDict({"train": datasets.Dataset.from_list(ROWS)}).save_to_disk(tmp_path / "i")
    found = {path.name: profile_dataset(str(path)) for path in sorted(tmp_path.iterdir())}
    assert set(found) == {
        "a.jsonl", "b.json", "c.json", "d.json", "e.jsonl.gz", "f.jsonl", "g.parquet", "h", "i",
    }  # fmt: skip
    for name, profile in found.items():
        assert profile.num_examples == len(ROWS), name
        assert profile.format == "messages", name
        assert profile.total_tokens == found["a.jsonl"].total_tokens, name


def test_csv_and_tsv_with_quoted_line_breaks(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('prompt,completion\n"one\ntwo",three\nfour,"five, six"\n')
    (tmp_path / "a.tsv").write_text("prompt\tcompletion\none\ttwo\nthree\tfour\n")
    for name in ("a.csv", "a.tsv"):
        profile = profile_dataset(str(tmp_path / name))
        assert (profile.format, profile.num_examples, profile.num_broken) == ("prompt_completion", 2, 0)


def test_csv_cell_that_holds_messages(tmp_path: Path) -> None:
    import polars

    polars.DataFrame({"messages": [json.dumps(row["messages"]) for row in ROWS]}).write_csv(tmp_path / "a.csv")
    assert profile_dataset(str(tmp_path / "a.csv")).num_examples == len(ROWS)


def test_csv_rows_of_the_wrong_width_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("prompt,completion\na,b\nc\nd,e,f\ng,h\n")
    profile = profile_dataset(str(tmp_path / "a.csv"))
    assert [(row.line, row.what.split()[0]) for row in profile.broken_rows] == [(3, "column"), (4, "more")]


def test_saved_splits_give_an_evaluation_set(tmp_path: Path) -> None:
    import datasets

    parts = {"train": datasets.Dataset.from_list(ROWS), "test": datasets.Dataset.from_list(ROWS[:3])}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "saved")
    source = open_source(str(tmp_path / "saved"))
    assert source.has_eval
    assert len(list(source.eval_rows())) == 3
    with pytest.raises(ExamplesError, match="no split 'validation'"):
        open_source(str(tmp_path / "saved"), "validation")


def test_folder_of_files_by_name(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-00000-of-00002.parquet", ROWS[:20])
    write_parquet(tmp_path / "train-00001-of-00002.parquet", ROWS[20:])
    write_parquet(tmp_path / "test-00000-of-00001.parquet", ROWS[:5])
    profile = profile_dataset(str(tmp_path))
    assert profile.num_examples == len(ROWS)
    assert profile.has_eval
    assert "2 files" in profile.notes[0]


def test_cached_hub_dataset_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "datasets--someone--chats"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc")
    (folder / "snapshots" / "abc" / "data").mkdir(parents=True)
    write_parquet(folder / "snapshots" / "abc" / "data" / "train.parquet", ROWS)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert profile_dataset("someone/chats").num_examples == len(ROWS)
    with pytest.raises(MachineError, match="cannot read the dataset 'someone/other'"):
        profile_dataset("someone/other")


def refused(tmp_path: Path, name: str, content: bytes) -> str:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        profile_dataset(str(path))
    problem = caught.value.problems[0]
    assert problem.fix, "every refusal says what to do"
    return f"{problem.what} | {problem.why} | {problem.fix}"


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.jsonl", b"", "is empty"),
        ("a.jsonl", b"\n\n\n", "holds no rows"),
        ("a.docx", b"hello", "cannot tell what kind"),
        ("a.jsonl", b"PK\x03\x04something", "ZIP archive"),
        ("a.jsonl", gzip.compress(b"{}", mtime=0), "compressed with gzip"),
        ("a.json", b'[{"text": "a"}, {"text": ', "cut short"),
        ("a.json", b'"just text"', "not a list of examples"),
        ("a.parquet", b"PAR1 but not really", "not a parquet file"),
        ("a.jsonl.gz", gzip.compress(b'{"text": "hello"}\n' * 99, mtime=0)[:30], "cut short"),
        ("a.csv.gz", b"\x1f\x8b", "cut short"),
        ("a.jsonl", b"this is no JSON\nneither is this\n", "no row of"),
        ("a.jsonl", b'{"a": 1}\n{"a": 2}\n', "in no known format"),
        ("a.jsonl", b'{"wish": "q", "grant": "a"}\n' * 2, "--map prompt=wish,completion=grant"),
        ("a.jsonl", b'{"input_ids": [1, 2]}\n' * 2, "tokenised already"),
        ("a.jsonl", b'{"text": "only one"}\n', "holds one usable example"),
        ("a.jsonl", b'{"text": ""}\n{"text": null}\n{"text": "x"}\n{"text": " "}\n', "holds one usable example"),
        ("a.jsonl", b'{"text": ""}\n{"text": "  "}\n', "no example of"),
    ],
)
def test_files_that_cannot_be_used_are_told(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    assert told in refused(tmp_path, name, content)


def test_missing_file_offers_the_one_beside_it(tmp_path: Path) -> None:
    (tmp_path / "chats.jsonl").write_text("{}")
    with pytest.raises(InputError) as caught:
        profile_dataset(str(tmp_path / "chat.jsonl"))
    assert "chats.jsonl" in caught.value.problems[0].fix


@pytest.mark.parametrize(
    "text", ["", "  ", "./nothing", "a/b/c/d.jsonl", "~nobody-here/x.jsonl", "x" * 5000 + ".jsonl"]
)
def test_missing_paths(text: str) -> None:
    with pytest.raises(InputError, match=r"not there|empty"):
        profile_dataset(text)


def test_folder_without_data(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("nothing here")
    with pytest.raises(InputError, match="holds no data file"):
        profile_dataset(str(tmp_path))


def test_saved_folder_with_a_missing_part(tmp_path: Path) -> None:
    import datasets

    datasets.Dataset.from_list(ROWS).save_to_disk(tmp_path / "saved")
    next((tmp_path / "saved").glob("*.arrow")).unlink()
    with pytest.raises(InputError, match="lacks its part"):
        profile_dataset(str(tmp_path / "saved"))


def test_folder_that_mixes_kinds(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text(json.dumps(ROWS[0]))
    (tmp_path / "train.csv").write_text("text\na\n")
    with pytest.raises(InputError, match="several kinds"):
        profile_dataset(str(tmp_path))


def test_rows_of_several_layouts_are_read_and_counted(write: Callable[..., str]) -> None:
    rows = [*chats(5), *({"instruction": "a", "output": str(i)} for i in range(4))]
    profile = profile_dataset(write(rows))
    assert (profile.num_examples, profile.num_broken) == (9, 0)
    assert "rows of several layouts, each read by its own: 5 as messages, 4 as alpaca" in profile.notes


def test_broken_rows_are_named_by_line(write: Callable[..., str]) -> None:
    rows: list[dict[str, Any] | str] = list(chats(20))
    rows[3] = '{"messages": [{"role": "user", "content": "cut'
    rows[7] = {"messages": []}
    rows[11] = {"messages": [{"role": "alien", "content": "hi"}]}
    rows[12] = {"messages": [{"role": "user", "content": "no answer"}]}
    rows[15] = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": None}]}
    rows[17] = "[1, 2, 3]"
    profile = profile_dataset(write(rows))
    assert profile.num_examples == 14
    told = {row.line: row.what for row in profile.broken_rows}
    assert set(told) == {4, 8, 12, 13, 16, 18}
    assert "cut short" in told[4]
    assert "alien" in told[12]
    assert "no assistant message" in told[13]
    assert "no content" in told[16]


def test_sha256_and_size_are_of_the_file(write: Callable[..., str]) -> None:
    import hashlib

    path = write(chats(4))
    profile = profile_dataset(path)
    assert profile.sha256 == hashlib.sha256(Path(path).read_bytes()).hexdigest()
    assert profile.file_bytes == Path(path).stat().st_size
