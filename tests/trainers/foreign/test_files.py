"""A small file is read whole or refused; nothing that is read can block or fill the memory."""

import errno
import os
from pathlib import Path

import pytest

from trainers.foreign.files import MIB, read_small_file, require_plain_file
from trainers.writing import write_atomically


def test_a_file_up_to_the_limit_is_read(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"12345")
    assert read_small_file(file, 5) == b"12345"
    with pytest.raises(OSError, match="larger") as caught:
        read_small_file(file, 4)
    assert caught.value.errno == errno.EFBIG


def test_a_sparse_file_of_many_gigabytes_costs_its_limit(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 43)
    with pytest.raises(OSError, match=r"larger than any such file \(1 MiB"):
        read_small_file(tmp_path / "sparse", MIB)


@pytest.mark.parametrize("pipes", [False, True])
def test_a_device_and_a_folder_are_refused(tmp_path: Path, pipes: bool) -> None:
    for path in (Path("/dev/zero"), tmp_path):
        with pytest.raises(OSError, match=r"device|directory"):
            read_small_file(path, MIB, pipes=pipes)
    with pytest.raises(OSError, match="device"):
        require_plain_file(Path("/dev/null"))


def test_a_pipe_without_a_writer_is_refused_before_it_blocks(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="pipe"):
        read_small_file(tmp_path / "pipe", MIB)


def test_a_pipe_that_was_asked_for_is_read() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"profile")
    os.close(writing)
    assert read_small_file(Path(f"/dev/fd/{reading}"), MIB, pipes=True) == b"profile"


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_written_file_has_the_mode_that_the_umask_gives(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "plan.toml", b"a")
    finally:
        os.umask(before)
    assert (tmp_path / "plan.toml").stat().st_mode & 0o777 == mode


def test_an_existing_file_keeps_its_mode_and_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "real").chmod(0o640)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"
    assert (tmp_path / "real").stat().st_mode & 0o777 == 0o640
    assert sorted(file.name for file in tmp_path.iterdir()) == ["link", "real"]
