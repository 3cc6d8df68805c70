"""The rows of every kind of file; a broken row keeps its line and says what is wrong with it."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from trainers.errors import EnvironmentLacking, ExamplesError
from trainers.examples import files, rows
from trainers.examples.reader import reader_for
from trainers.examples.source import open_source, reader_of
from trainers.foreign import limits

ROWS = [{"prompt": "Hi", "completion": "Hello"}, {"prompt": "Ça va ?", "completion": "Très bien"}]

PACKERS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


def rows_of(path: Path | str, split: str = "train") -> list[object]:
    """The values of all rows, what is wrong with it in the place of a broken one."""
    return [row.value if row.value is not None else row.problem for row in open_source(str(path), split).rows()]


def by_line(path: Path) -> dict[int, object]:
    return {row.line: row.value if row.value is not None else row.problem for row in files.read_file(path)}


def write(path: Path) -> Path:
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
    if path.suffix in PACKERS:
        path.write_bytes(PACKERS[path.suffix](lines.encode()))
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
    [
        "a.jsonl",
        "a.ndjson",
        *(f"a.jsonl{one}" for one in PACKERS),
        "list.json",
        "table.json",
        "lines.json",
        "a.csv",
        "a.tsv",
        "a.parquet",
    ],
)
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    assert rows_of(write(tmp_path / name)) == ROWS


def test_a_saved_folder_and_its_split(tmp_path: Path) -> None:
    import datasets

    datasets.DatasetDict({"test": datasets.Dataset.from_list(ROWS)}).save_to_disk(str(tmp_path / "saved"))
    assert rows_of(tmp_path / "saved", "test") == ROWS
    with pytest.raises(ExamplesError, match="no split 'train'"):
        rows_of(tmp_path / "saved")


def test_broken_rows_keep_their_line_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "a"}\n\n{"text": \n[1]\n{"text": "\xff"}\n' + '{"text": "äöü"}\n'.encode() * 9)
    found = by_line(path)
    assert found[1] == {"text": "a"}
    assert "cut short" in str(found[3])
    assert found[4] == "a list where an object was expected"
    assert found[5] == "not UTF-8 text (byte 10 of the line)"


def test_a_csv_row_with_too_many_cells_is_broken(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text\none\ntwo,three\n")
    assert by_line(path) == {2: {"text": "one"}, 3: "more cells than the header has columns"}


def test_a_json_list_without_objects_is_broken_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("[1, null]")
    assert all("where an object was expected" in str(row) for row in rows_of(path))


@pytest.mark.parametrize("content", ["3", "null", '"text"'])
def test_json_that_is_no_list_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(ExamplesError, match="not a list of examples"):
        rows_of(path)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_the_nan_of_a_data_frame_is_an_empty_cell(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text('{"text": "a", "more": NaN}\n{"text": "b", "more": -Infinity}\n')
    assert rows_of(path) == [{"text": "a", "more": None}, {"text": "b", "more": None}]


def test_line_marks_inside_a_text_do_not_end_a_row(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"text": "a\u2028b"}\n{"text": "c\u0085d"}\n', encoding="utf-8")
    assert rows_of(path) == [{"text": "a\u2028b"}, {"text": "c\u0085d"}]


def test_a_giant_line_is_one_broken_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "ROW_BYTES", 1 << 20)
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"text": "a"}\n' + b"x" * (5 << 20) + b'\n{"text": "b"}\n'))
    assert by_line(path) == {1: {"text": "a"}, 2: "longer than 1 MiB", 3: {"text": "b"}}


def test_a_document_that_unpacks_beyond_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "WHOLE_BYTES", 1 << 20)
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(b"{" + b" " * (9 << 20) + b"}"))
    with pytest.raises(ExamplesError, match="unpacks to more than"):
        rows_of(path)


@pytest.mark.parametrize("line", [b'{"text": "\\ud800"}', b'{"text": NaN, "a": "\\ud800"}'])
def test_half_a_character_breaks_its_row(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(line + b"\n")
    (problem,) = rows_of(path)
    assert "lone surrogate" in str(problem)


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_a_byte_that_is_not_utf8_breaks_its_own_row(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    start, end = ('{"text": "', '"}\n') if name != "a.csv" else ("", "\n")
    head = "" if name != "a.csv" else "text\n"
    whole = "".join(f"{start}Müller{end}" for _ in range(20))
    path.write_bytes(head.encode() + f"{start}Meißner{end}".encode("latin-1") + whole.encode())
    broken, *good = rows_of(path)
    assert "not UTF-8" in str(broken)
    assert good == [{"text": "Müller"}] * 20


SENTENCES = {
    "cp1252": "Die Straße nach München kostet 5 € und „mehr“",
    "gb18030": "这是中文的句子，用来测试编码",
    "shift_jis": "これは日本語の文章です。質問と答え。",
    "euc_kr": "이것은 한국어 문장입니다",
    "utf-16": "Grüße aus Köln",
}


@pytest.mark.parametrize("encoding", SENTENCES)
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.txt"])
def test_another_encoding_is_read_and_the_words_of_the_guess_are_shown(
    tmp_path: Path, encoding: str, name: str
) -> None:
    path = tmp_path / name
    said = SENTENCES[encoding]
    content = {"a.csv": f'text\n"{said}"\n', "a.txt": said}.get(name, json.dumps({"text": said}, ensure_ascii=False))
    path.write_bytes((content + "\n").encode(encoding))
    (row,) = files.read_file(path)
    assert row.value == {"text": said}
    assert row.note
    assert encoding.upper() in row.note.text
    assert row.note.is_doubtful == (encoding != "utf-16")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("missing.jsonl", None, "is not there"),
        ("empty.jsonl", b"", "is empty"),
        ("a.docx", b"x", "what kind of file"),
        ("a.parquet", b"no parquet at all", "not a parquet file"),
        ("a.jsonl.gz", gzip.compress(b'{"text": "hello"}\n' * 99, mtime=0)[:30], "damaged or cut short"),
        ("a.csv.gz", b"\x1f\x8b", "damaged or cut short"),
        ("a.json.gz", b"never compressed", "damaged or cut short"),
        ("a.jsonl.bz2", bz2.compress(b'{"text": "hello"}\n' * 99)[:30], "damaged or cut short"),
        ("a.jsonl.bz2", b"never compressed", "cannot be read"),
        ("a.jsonl.xz", lzma.compress(b'{"text": "hello"}\n' * 99)[:30], "damaged or cut short"),
        ("a.csv.xz", b"never compressed", "damaged or cut short"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(
    tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ExamplesError, match=said):
        rows_of(path)


def test_many_columns_are_told_apart_at_once_and_listed_in_part(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(",".join(["a"] * 50_000) + "\n" + "b," * 49_999 + "b\n")
    [row] = rows_of(path)
    assert (len(row), list(row)[:3]) == (50_000, ["a", "a_2", "a_3"])
    with pytest.raises(ExamplesError) as told:
        reader_for([rows.Row(1, dict.fromkeys((f"c{n}" for n in range(50_000)), "x"))], "a.csv")
    assert told.value.why.endswith("c39, ...")


def repeated(text: str, rows: int) -> pa.Table:
    """A column that says one text once, and how often it stands there."""
    index = pa.repeat(pa.scalar(0, pa.int32()), rows)
    return pa.table({"text": pa.DictionaryArray.from_arrays(index, pa.array([text]))})


@pytest.mark.parametrize(("text", "rows"), [("a" * 1_000_000, 5_000), ("", 20_000_000)])
def test_a_column_that_repeats_gigabytes_is_refused_before_a_row_is_made(
    tmp_path: Path, text: str, rows: int
) -> None:
    path = tmp_path / "a.parquet"
    pa.parquet.write_table(repeated(text, rows), path, compression="zstd")
    assert path.stat().st_size < 100_000
    with pytest.raises(ExamplesError, match="unpacks to more than 1 GiB, over 100 times its size"):
        next(files.read_file(path))


def test_an_arrow_file_of_repeats_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    table = repeated("a" * 1_000_000, 5_000)
    with pa.ipc.new_file(path, table.schema) as file:
        file.write_table(table)
    with pytest.raises(ExamplesError, match="unpacks to more than"):
        next(files.read_file(path))


@pytest.mark.parametrize("packer", PACKERS)
def test_a_text_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, packer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"a.jsonl{packer}"
    path.write_bytes(PACKERS[packer](b'{"text": "' + b"a" * 10_000_000 + b'"}\n'))
    assert len(rows_of(path)) == 1
    monkeypatch.setattr(limits, "MOST_UNPACKED_BYTES", 1 << 20)
    with pytest.raises(ExamplesError, match="unpacks to more than"):
        rows_of(path)


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl.gz"])
def test_a_hundred_megabytes_of_repeats_are_read(tmp_path: Path, name: str) -> None:
    path, row = tmp_path / name, {"text": "a" * 1000}
    if name.endswith(".parquet"):
        pa.parquet.write_table(repeated(row["text"], 100_000), path)
    else:
        path.write_bytes(gzip.compress((json.dumps(row) + "\n").encode() * 100_000, 1))
    assert path.stat().st_size < 1_000_000
    assert sum(one.value == row for one in files.read_file(path)) == 100_000


def test_rows_that_hold_much_come_in_small_slices(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    rows = [{"messages": [{"role": "user", "content": f"{row} {turn}"} for turn in range(row)]} for row in range(300)]
    pa.parquet.write_table(pa.Table.from_pylist([*rows, {"messages": None}]), path)
    assert rows_of(path) == [*rows, {"messages": None}]


def test_a_folder_that_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExamplesError, match="holds no data file"):
        rows_of(tmp_path)


def test_a_hub_id_without_network_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(EnvironmentLacking) as refused:
        rows_of("nobody/no-such-dataset")
    assert "give the file" in refused.value.fix


def test_cells_that_the_hubs_viewer_has_cut_stay_named(tmp_path: Path) -> None:
    wrapped = [{"row_idx": 0, "row": ROWS[0], "truncated_cells": []}, {"row": ROWS[1], "truncated_cells": ["prompt"]}]
    wanted = [ROWS[0], {**ROWS[1], "truncated_cells": ["prompt"]}]
    for content in (wrapped, {"features": [], "rows": wrapped}):
        path = tmp_path / "viewer.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        assert rows_of(path) == wanted


@pytest.mark.parametrize(
    ("beside", "rows", "asked"),
    [
        ({"system_prompt": "Be kind."}, [{"question": "q", "answer": "a"}], ["Be kind.", "q"]),
        ({"system_prompt": "Be kind."}, [{"question": "q", "answer": "a", "system_prompt": "Be."}], ["Be.", "q"]),
        ({"Definition": ["Say a."]}, [{"input": "q", "output": ["a"]}], ["Say a.\n\nq"]),
    ],
)
def test_what_stands_beside_the_rows_holds_for_each_of_them(
    tmp_path: Path, beside: dict[str, object], rows: list[dict[str, object]], asked: list[str]
) -> None:
    path = tmp_path / "data.json"
    path.write_text(json.dumps({**beside, "examples": rows}), encoding="utf-8")
    source = open_source(str(path))
    (row,) = source.rows()
    told = reader_of(source).example(row).messages
    assert [message["content"] for message in told] == [*asked, "a"]
    assert row.note is not None
    assert next(iter(beside)) in row.note.text


@pytest.mark.parametrize(
    ("beside", "is_doubtful"),
    [
        ({"about": "Answer as the keeper of a lighthouse would."}, True),
        ({"about": "像灯塔看守人那样回答每个问题。"}, True),
        ({"about": {"rules": ["Answer as the keeper of a lighthouse would."]}}, True),
        ({"version": "1.0", "name": "boats", "date": "2 May 2024", "n": 3}, None),
        ({"more": [{"question": "q", "answer": "a"}]}, True),
    ],
)
def test_words_beside_the_rows_that_nobody_reads_are_told(
    tmp_path: Path, beside: dict[str, object], is_doubtful: bool | None
) -> None:
    path = tmp_path / "data.json"
    path.write_text(json.dumps({**beside, "rows": [{"question": "q", "answer": "a"}] * 3}), encoding="utf-8")
    note = next(open_source(str(path)).rows()).note
    assert (note.is_doubtful if note else None) is is_doubtful


def test_a_document_of_conversations_is_a_row_for_each(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    talk = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
    path.write_text(json.dumps({"conversations": [talk] * 3}), encoding="utf-8")
    assert rows_of(path) == [talk] * 3


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", '[\n // of boats\n {"prompt": "q // 1", "completion": "a, ]"}, /* no more */\n]'),
        ("a.json", '{"rows": [{"prompt": "q // 1", "completion": "a, ]"},], // of boats\n}'),
        ("a.jsonc", '[{"prompt": "q // 1", "completion": "a, ]"}] // of boats'),
        ("a.jsonl", '{"prompt": "q // 1", "completion": "a, ]",}\n'),
    ],
)
def test_json_with_comments_is_refused_with_a_command_that_takes_them_out(
    tmp_path: Path, name: str, content: str
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(ExamplesError) as refused:
        reader_of(open_source(str(tmp_path / name)))
    command = refused.value.fix.partition(": ")[2]
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True)
    (clean,) = tmp_path.glob("clean.*")
    assert rows_of(clean) == [{"prompt": "q // 1", "completion": "a, ]"}]
