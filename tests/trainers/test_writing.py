"""A file is replaced in one step; what is no file is written to and stays what it is."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

from trainers.writing import clear_unfinished, open_as_usual, write_atomically


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_atomically(pipe, b"a report")
    reader.join()
    assert read == [b"a report"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert [file.name for file in tmp_path.iterdir()] == ["pipe"]


def test_a_link_to_a_device_leaves_the_device(tmp_path: Path) -> None:
    link = tmp_path / "nothing"
    link.symlink_to("/dev/null")
    write_atomically(link, b"a report")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    assert link.is_symlink()


def test_the_standard_output_takes_a_report_whatever_it_is(tmp_path: Path) -> None:
    said = "from pathlib import Path; from trainers.writing import write_atomically; print('first', flush=True);"
    said += "write_atomically(Path('/dev/stdout'), b'then')"
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, check=True)
    assert done.stdout == b"first\nthen"


def test_a_file_keeps_its_mode_and_a_link_stays_a_link(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_bytes(b"old")
    file.chmod(0o640)
    link.symlink_to(file)
    write_atomically(link, b"new")
    assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode), link.is_symlink()) == (b"new", 0o640, True)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "link"]


def test_what_a_library_wrote_for_its_owner_alone_gets_the_mode_of_new_files(tmp_path: Path) -> None:
    weights, tool, link = tmp_path / "weights", tmp_path / "sub" / "tool", tmp_path / "link"
    tool.parent.mkdir()
    for file, mode in ((weights, 0o600), (tool, 0o700)):
        file.touch()
        file.chmod(mode)
    link.symlink_to("/etc/passwd")
    before = os.umask(0o027)
    try:
        open_as_usual(tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(weights.stat().st_mode) == 0o640
    assert stat.S_IMODE(tool.stat().st_mode) == 0o740
    assert sorted(file.name for file in tmp_path.iterdir()) == ["link", "sub", "weights"]


def test_what_a_killed_writer_left_goes_and_nothing_else(tmp_path: Path) -> None:
    kill_before_replacing = (
        "import os, signal, sys; from pathlib import Path; from trainers.writing import write_atomically\n"
        "Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_atomically(Path(sys.argv[1]), b'new')"
    )
    kept = ("run.json", ".lock", ".run.json.0123456789zz", ".gitignore", "a.0123456789ab")
    for name in kept:
        (tmp_path / name).write_text("old")
    (tmp_path / ".merged.0123456789ab").mkdir()
    subprocess.run([sys.executable, "-c", kill_before_replacing, str(tmp_path / "run.json")], check=False)
    assert len(list(tmp_path.iterdir())) == len(kept) + 2
    clear_unfinished(tmp_path, tmp_path / "nowhere")
    assert {file.name for file in tmp_path.iterdir()} == {*kept, ".merged.0123456789ab"}
    assert (tmp_path / "run.json").read_text() == "old"
