"""Files that are not what their name says are named, each with a way to the data."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from trainers.errors import ExamplesError
from trainers.examples.files import checked


@pytest.mark.parametrize(
    ("name", "content", "what", "fix"),
    [
        ("a.jsonl", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "Git LFS", "git lfs pull"),
        ("a.jsonl", b"\n<!DOCTYPE html><html>", "web page", "/resolve/"),
        ("a.csv", b"<html lang=en>", "web page", "/resolve/"),
        ("a.json", b"<?xml version='1.0'?><Error>", "XML", "download"),
        ("a.yaml", b"- question: q\n", "YAML", "yaml.safe_load"),
        ("a.json", b"PAR1xxxx", "parquet", "mv "),
        ("a.tar.gz", b"\x1f\x8bxxxx", "archive", "tar xf"),
        ("a.tar.bz2", b"BZhxxxx", "archive", "tar xf"),
        ("a.jsonl", b"BZh91AY", "bzip2", "{path}.bz2"),
        ("a.jsonl", b"\xfd7zXZ\x00", "xz", "{path}.xz"),
        ("a.jsonl.zst", b"\x28\xb5\x2f\xfd", "Zstandard", "zstd -d {path} -o"),
        ("a.jsonl", b"\x28\xb5\x2f\xfd", "Zstandard", "zstd -d {path} -o"),
        ("a.pkl", b"\x80\x04", "Python objects", "JSON lines"),
    ],
)
def test_each_is_named_with_a_way_out(tmp_path: Path, name: str, content: bytes, what: str, fix: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ExamplesError) as caught:
        checked(path)
    assert what in caught.value.what
    assert fix.format(path=path) in (caught.value.fix or "")


def test_archives_say_what_they_hold(tmp_path: Path) -> None:
    for name, held, what in (("a.zip", "chats.jsonl", "holds chats.jsonl"), ("a.xlsx", "xl/book.xml", "Excel sheet")):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr(held, "x")
        with pytest.raises(ExamplesError, match=what):
            checked(tmp_path / name)


def test_prose_with_times_is_no_chat(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("At 10:30 we met: all of us.\n" * 20, encoding="utf-8")
    assert checked(path) == path
