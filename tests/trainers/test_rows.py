import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from trainers.errors import EnvironmentLacking, PlanRefused
from trainers.rows import read_rows

ROWS = [{"prompt": "Hi", "completion": "Hello"}, {"prompt": "Ça va ?", "completion": "Très bien"}]


def write(path: Path) -> Path:
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(lines.encode()))
    elif path.suffix in (".jsonl", ".ndjson"):
        path.write_text(lines, encoding="utf-8")
    elif path.name == "list.json":
        path.write_text(json.dumps(ROWS), encoding="utf-8")
    elif path.name == "table.json":
        path.write_text(json.dumps({"version": 1, "data": ROWS}), encoding="utf-8")
    elif path.name == "lines.json":
        path.write_text(lines, encoding="utf-8")
    elif path.suffix in (".csv", ".tsv"):
        mark = "," if path.suffix == ".csv" else "\t"
        path.write_text("\n".join([f"prompt{mark}completion", *(mark.join(r.values()) for r in ROWS)]), "utf-8-sig")
    else:
        pa.parquet.write_table(pa.Table.from_pylist(ROWS), path)
    return path


@pytest.mark.parametrize(
    "name",
    ["a.jsonl", "a.ndjson", "a.jsonl.gz", "list.json", "table.json", "lines.json", "a.csv", "a.tsv", "a.parquet"],
)
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    assert [row for _, row in read_rows(str(write(tmp_path / name)))] == ROWS


def test_a_saved_folder_and_its_split(tmp_path: Path) -> None:
    import datasets

    datasets.DatasetDict({"test": datasets.Dataset.from_list(ROWS)}).save_to_disk(str(tmp_path / "saved"))
    assert [row for _, row in read_rows(str(tmp_path / "saved"), "test")] == ROWS
    with pytest.raises(PlanRefused, match="no split 'train'"):
        list(read_rows(str(tmp_path / "saved"), "train"))


def test_broken_rows_keep_their_line_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "a"}\n\n{"text": \n[1]\n{"text": "\xff"}\n')
    found = dict(read_rows(str(path)))
    assert found[1] == {"text": "a"}
    assert "not valid JSON" in str(found[3])
    assert found[4] == "a list where an object was expected"
    assert found[5] == "holds bytes that are not UTF-8"


def test_a_csv_row_with_too_many_cells_is_broken(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text\none\ntwo,three\n")
    assert dict(read_rows(str(path))) == {2: {"text": "one"}, 3: "more cells than the header has columns"}


@pytest.mark.parametrize("content", ["3", "null", '"text"', "[1, null]"])
def test_json_that_holds_no_objects_is_broken_rows(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    rows = [row for _, row in read_rows(str(path))]
    assert rows
    assert all("where an object was expected" in str(row) for row in rows)


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.json"])
def test_another_encoding_is_said_and_never_trained_on(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    text = '{"text": "Müller"}' if name != "a.csv" else "text\nMüller\n"
    path.write_bytes(text.encode("latin-1"))
    try:
        assert [row for _, row in read_rows(str(path))] == ["holds bytes that are not UTF-8"]
    except PlanRefused as refused:
        assert "not UTF-8" in refused.why


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("missing.jsonl", None, "is not there"),
        ("empty.jsonl", b"", "is empty"),
        ("a.docx", b"x", "what kind of file"),
        ("a.parquet", b"no parquet at all", "not a parquet file"),
        ("a.jsonl.gz", gzip.compress(b'{"text": "hello"}\n' * 99)[:30], "damaged or cut short"),
        ("a.csv.gz", b"\x1f\x8b", "damaged or cut short"),
        ("a.json.gz", b"never compressed", "damaged or cut short"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(
    tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PlanRefused, match=said):
        list(read_rows(str(path)))


def test_a_folder_that_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanRefused, match="was not saved by `datasets`"):
        read_rows(str(tmp_path))


def test_a_hub_id_without_network_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises((EnvironmentLacking, PlanRefused)) as refused:
        list(read_rows("nobody/no-such-dataset"))
    assert "give the file" in refused.value.fix
