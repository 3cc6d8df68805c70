"""Files that are not what their name says: what they are, and how the data in them is got at."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from trainers.foreign.text import shell
from trainers.language import later, tr

_HEAD_BYTES = 4096
_PACKED = ((b"\x1f\x8b", "gzip", ".gz"), (b"BZh", "bzip2", ".bz2"), (b"\xfd7zXZ\x00", "xz", ".xz"))
"""First bytes of compressed files that are read, whose work they are, and the ending that says so."""
_ZSTD = b"\x28\xb5\x2f\xfd"
_DOCUMENTS = {
    "word/document.xml": later("is a Word document"),
    "ppt/presentation.xml": later("is a PowerPoint presentation"),
    "content.xml": later("is an OpenDocument file"),
    "META-INF/container.xml": later("is an e-book (EPUB)"),
}
"""A part of an archive that tells which program wrote it -> what it is."""
_PAGE = re.compile(rb"^\s*(?:<!doctype html|<html|<head)", re.IGNORECASE)
_XML = re.compile(rb"^\s*<\?xml", re.IGNORECASE)


def disguise_of(path: Path) -> tuple[str, str] | None:
    """(what the file is, what to do) where it holds no data in a form that is read; None for any other file."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    name = shell(str(path))
    return _download(path, head) or _container(path, head, name) or _packed(path, head, name) or _by_name(path, name)


def _download(path: Path, head: bytes) -> tuple[str, str] | None:
    """What stands in the place of data that was not really fetched."""
    if head.startswith(b"version https://git-lfs"):
        return tr("is a pointer of Git LFS, not the data"), tr("in its repository: git lfs pull")
    if _PAGE.match(head) and path.suffix.lower() not in (".html", ".htm"):
        return (
            tr("is a web page that was saved under this name, not the data"),
            tr("download the file itself; on the Hugging Face hub its address holds /resolve/ and not /blob/"),
        )
    if _XML.match(head):
        return tr("is XML (often the error of a download), not the data"), tr(
            "look into it, and download the data again"
        )
    return None


def _container(path: Path, head: bytes, name: str) -> tuple[str, str] | None:
    """Data packed in another way than the name says."""
    lower = path.name.lower()
    if head.startswith(b"PK\x03\x04"):
        return _archive(path, name)
    if lower.endswith((".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst", ".7z", ".rar")):
        return tr("is an archive"), tr("unpack it (tar xf {name}), and give the folder", name=name)
    if head.startswith(b"PAR1") and not lower.endswith(".parquet"):
        return tr("is a parquet file"), tr(
            "rename it: mv {name} {new}", name=name, new=shell(str(path.with_suffix(".parquet")))
        )
    if head.startswith(b"SQLite format 3"):
        return tr("is an SQLite database"), tr(
            "write a table: sqlite3 -header -csv {name} 'select * from T' > rows.csv", name=name
        )
    return None


def _packed(path: Path, head: bytes, name: str) -> tuple[str, str] | None:
    """A compressed file whose name does not say so, or one that is not unpacked here."""
    lower = path.name.lower()
    for mark, packer, ending in _PACKED:
        if head.startswith(mark) and not lower.endswith(ending):
            return tr("is compressed with {packer}", packer=packer), tr(
                "rename it: mv {name} {name}{ending}", name=name, ending=ending
            )
    if head.startswith(_ZSTD) or lower.endswith((".zst", ".zstd")):
        is_told = lower.endswith((".zst", ".zstd"))
        new = shell(str(path.with_suffix("") if is_told else path.with_name(f"unpacked-{path.name}")))
        return tr("is compressed with {packer}", packer="Zstandard"), tr(
            "unpack it: zstd -d {name} -o {new}; then give {new}", name=name, new=new
        )
    return None


def _archive(path: Path, name: str) -> tuple[str, str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return tr("is a damaged ZIP archive"), tr("copy it again, whole")
    if any(one.startswith("xl/") for one in names):
        return tr("is an Excel sheet"), tr("save it as CSV in UTF-8 (File, Save as), and give that file")
    if kind := next((kind for mark, kind in _DOCUMENTS.items() if mark in names), None):
        return tr(kind), tr(
            "write its examples as a row each, in a CSV in UTF-8; running text can be saved as plain text (.txt)"
        )
    held = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    folder = shell(str(path.with_suffix("")))
    return tr("is a ZIP archive that holds {held}", held=held), tr(
        "unpack it: unzip {name} -d {folder}; then give {folder}", name=name, folder=folder
    )


def _by_name(path: Path, name: str) -> tuple[str, str] | None:
    suffix = path.suffix.lower()
    if suffix in (".yaml", ".yml"):
        new = shell(str(path.with_suffix(".json")))
        program = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout, default=str)"
        return tr("is YAML"), tr(
            "write it as JSON: python -c '{program}' < {name} > {new}; then give {new}",
            program=program,
            name=name,
            new=new,
        )
    if suffix in (".pkl", ".pickle", ".pt", ".npy", ".npz"):
        return (
            tr("is a file of Python objects, which may run programs when it is opened"),
            tr("write it as JSON lines where it is from"),
        )
    if suffix in (".html", ".htm", ".pdf", ".epub"):
        return tr("is a document with markup"), tr("save its text as .txt or .md")
    return None
