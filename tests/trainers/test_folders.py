"""Where this user's files are kept: one rule for all of them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from trainers.folders import cache_folder, data_folder, state_folder

LINUX = [
    (data_folder, "XDG_DATA_HOME", ".local/share"),
    (state_folder, "XDG_STATE_HOME", ".local/state"),
    (cache_folder, "XDG_CACHE_HOME", ".cache"),
]


@pytest.mark.parametrize("folder", [data_folder, state_folder, cache_folder])
def test_every_folder_is_the_one_that_the_user_names(
    folder: Callable[[], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SFT_ADVISOR_HOME", str(tmp_path))
    assert folder() == tmp_path
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SFT_ADVISOR_HOME", "~/mine")
    assert folder() == tmp_path / "mine"


@pytest.mark.skipif("sys.platform != 'linux'")
@pytest.mark.parametrize(("folder", "variable", "usual"), LINUX)
def test_on_linux_they_are_those_of_the_desktop_standard(
    folder: Callable[[], Path], variable: str, usual: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SFT_ADVISOR_HOME")
    monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert folder() == tmp_path / usual / "sft-advisor"
    monkeypatch.setenv(variable, str(tmp_path / "xdg"))
    assert folder() == tmp_path / "xdg" / "sft-advisor"


def test_no_other_file_reads_the_variables_of_these_folders() -> None:
    house = Path(__file__).parents[2]
    words = ("XDG_DATA_HOME", "XDG_STATE_HOME", 'environ.get("SFT_ADVISOR_HOME', "user_cache_path")
    readers = {
        str(file.relative_to(house))
        for room in ("advisor", "rules", "trainers")
        for file in (house / room).rglob("*.py")
        if any(word in file.read_text(encoding="utf-8") for word in words)
    }
    assert readers == {"trainers/folders.py"}
