"""Output, cache and temporary folders: where they are and how much room is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.probe.disk import disk_findings, hub_cache, hub_offline, read_disk, temp_folder
from advisor.probe.hardware import Disk


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"HOME": "/home/u"}, "/home/u/.cache/huggingface/hub"),
        ({"HOME": "/home/u", "XDG_CACHE_HOME": "/x"}, "/x/huggingface/hub"),
        ({"HF_HOME": "/big/hf"}, "/big/hf/hub"),
        ({"HOME": "/home/u", "HF_HOME": "~/hf"}, "/home/u/hf/hub"),
        ({"SCRATCH": "/s", "HF_HOME": "$SCRATCH/hf"}, "/s/hf/hub"),
        ({"SCRATCH": "/s", "HF_HUB_CACHE": "${SCRATCH}/hub"}, "/s/hub"),
        ({"HF_HUB_CACHE": "/a", "HUGGINGFACE_HUB_CACHE": "/b"}, "/a"),
        ({"HUGGINGFACE_HUB_CACHE": "/b", "HF_HOME": "/c"}, "/b"),
        ({"TRANSFORMERS_CACHE": "/old", "HOME": "/home/u"}, "/home/u/.cache/huggingface/hub"),
    ],
)
def test_the_cache_is_where_the_library_puts_it(env: dict[str, str], expected: str) -> None:
    assert str(hub_cache(env)) == expected


def test_the_cache_agrees_with_huggingface_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import importlib

    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setenv("HF_HOME", "$BASE/hf")
    monkeypatch.setenv("BASE", str(tmp_path))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.delenv("HUGGINGFACE_HUB_CACHE", raising=False)
    try:
        theirs = importlib.reload(constants).HF_HUB_CACHE
        assert str(hub_cache({"HF_HOME": "$BASE/hf", "BASE": str(tmp_path)})) == theirs
    finally:
        monkeypatch.undo()
        importlib.reload(constants)


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, False),
        ({"HF_HUB_OFFLINE": "1"}, True),
        ({"TRANSFORMERS_OFFLINE": "yes"}, True),
        ({"HF_HUB_OFFLINE": "0"}, False),
    ],
)
def test_offline(env: dict[str, str], expected: bool) -> None:
    assert hub_offline(env) is expected


def test_a_folder_that_does_not_exist_yet_has_the_room_of_its_parent(tmp_path: Path) -> None:
    here, later = read_disk(tmp_path, Path("/")), read_disk(tmp_path / "a/b/c", Path("/"))
    assert later.free_bytes is not None and later.total_bytes == here.total_bytes
    assert later.filesystem_id == here.filesystem_id


def test_a_network_file_system_may_have_a_quota(root: Path) -> None:
    (root / "proc/self/mounts").write_text(
        "none / overlay rw 0 0\nserver:/home /home nfs4 rw 0 0\nbroken\n/dev/x /home/local\\040disk ext4 rw 0 0\n"
    )
    disk = read_disk(Path("/home/u/runs"), root)
    assert disk.filesystem == "nfs4"
    assert read_disk(Path("/home/local disk/x"), root).filesystem == "ext4"
    assert read_disk(Path("/homework"), root).filesystem == "overlay"
    assert [finding.code for finding in disk_findings({"output": disk})] == ["disk-network"]


def test_unknown_room_is_a_finding() -> None:
    assert [finding.code for finding in disk_findings({"output": Disk(path="x")})] == ["disk-unknown"]


def test_the_temporary_folder() -> None:
    assert temp_folder({"TMPDIR": "/scratch"}) == Path("/scratch")
    assert temp_folder({}) == Path("/tmp")
