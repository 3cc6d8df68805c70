"""Opening pictures that strangers made: sizes as shown, and every way in which one cannot be used."""

from __future__ import annotations

import base64
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from trainers.examples.example import RowError
from trainers.pictures.opening import LARGEST_PIXELS, Size, opened, size_of


def png(width: int, height: int, folder: Path, name: str = "a.png") -> Path:
    Image.new("RGB", (width, height), (200, 0, 0)).save(folder / name)
    return folder / name


def bomb(folder: Path) -> str:
    """A file of a hundred bytes whose head promises more pixels than are taken."""
    side = int(LARGEST_PIXELS**0.5) + 1

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    (folder / "bomb.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )
    return "bomb.png"


def test_a_picture_is_found_beside_the_data_or_in_the_row(tmp_path: Path) -> None:
    file = png(30, 20, tmp_path)
    held = "data:;base64," + base64.b64encode(file.read_bytes()).decode()
    for named in ("a.png", str(file), f"file://{file}", held):
        assert size_of(named, tmp_path) == Size(20, 30)
        assert opened(named, tmp_path).mode == "RGB"


def test_a_photograph_is_turned_as_its_camera_was_held(tmp_path: Path) -> None:
    picture = Image.new("RGB", (30, 20))
    turned = Image.Exif()
    turned[274] = 6
    picture.save(tmp_path / "a.jpg", exif=turned)
    assert size_of("a.jpg", tmp_path) == Size(30, 20)
    assert opened("a.jpg", tmp_path).size == (20, 30)


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("missing.png", "cannot be read"),
        (".", "cannot be read"),
        ("a\0b.png", "cannot be read"),
        ("https://example.org/a.png", "nothing is fetched"),
        ("text.png", "cannot be opened"),
        ("half.png", "cannot be opened"),
        ("vector.eps", "cannot be opened"),
        ("data:;base64,%%%", "cannot be opened"),
        ("long.png", "too long for its width"),
        ("bomb.png", "larger than"),
    ],
)
def test_what_cannot_be_used_is_said_by_name(tmp_path: Path, named: str, told: str) -> None:
    file = png(400, 300, tmp_path)
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "half.png").write_bytes(file.read_bytes()[:200])
    (tmp_path / "vector.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    png(2, 900, tmp_path, "long.png")
    bomb(tmp_path)
    with pytest.raises(RowError, match=told):
        opened(named, tmp_path)
