"""What a process of a group still does when it ends, and that it ends."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.trainers.warm import free_port
from tests.waiting import PATIENCE_SECONDS

PROGRAM = """
import atexit, sys
atexit.register(lambda: print("exit functions ran"))
{group}
from trainers.training.ending import end_process, leave_group
{leave}
print("said before the end")
sys.stdout.write("a last word")
end_process(7)
"""
GROUP = """
import torch.distributed as dist
dist.init_process_group("gloo", init_method="tcp://127.0.0.1:{port}", rank=0, world_size=1)
class Kept:
    def __del__(self): print("the interpreter took itself down")
kept = Kept()
"""


@pytest.mark.parametrize("in_group", [True, False], ids=["in a group", "alone"])
def test_what_was_said_and_what_was_registered_is_done_before_the_end(in_group: bool, tmp_path: Path) -> None:
    group = GROUP.format(port=free_port()) if in_group else ""
    leave = "leave_group()" if in_group else ""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(group=group, leave=leave)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 7, done.stderr
    assert done.stdout.startswith("said before the end\na last word")
    assert "exit functions ran" in done.stdout
    assert "took itself down" not in done.stdout
