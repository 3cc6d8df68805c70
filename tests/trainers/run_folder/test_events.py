from pathlib import Path

import pytest

from trainers.run_folder import layout
from trainers.run_folder.events import append_event


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_an_event_that_no_disk_holds_is_still_told(tmp_path: Path) -> None:
    (tmp_path / layout.EVENTS).symlink_to("/dev/full")
    assert append_event(tmp_path, "end", said="the disk is full")["said"] == "the disk is full"


def test_an_event_that_cannot_be_written_for_another_reason_is_an_error(tmp_path: Path) -> None:
    (tmp_path / layout.EVENTS).mkdir()
    with pytest.raises(IsADirectoryError):
        append_event(tmp_path, "end")
