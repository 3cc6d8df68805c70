"""What a process of a group still does when it ends, and that it ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trainers.warm import SERVER, free_port
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
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 7, done.stderr
    assert done.stdout.startswith("said before the end\na last word")
    assert "exit functions ran" in done.stdout
    assert "took itself down" not in done.stdout


def one_of_two(rank: int, port: int) -> None:
    """What a training leaves behind at its end: a model in DDP, and a last barrier just passed."""
    import torch
    from torch import distributed
    from torch.nn.parallel import DistributedDataParallel

    from trainers.training.ending import end_process, leave_group

    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    model = DistributedDataParallel(torch.nn.Linear(64, 64))
    for _ in range(5):
        model(torch.randn(8, 64)).sum().backward()
    distributed.barrier()
    leave_group()
    end_process(0)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not os.environ.get("SOAK"), reason="SOAK=1: a race, which two hundred pairs lost six times")
def test_two_hundred_pairs_of_processes_end() -> None:
    for _ in range(200):
        port = free_port()
        pair = [SERVER.Process(target=one_of_two, args=(rank, port)) for rank in range(2)]
        for process in pair:
            process.start()
        for process in pair:
            process.join(PATIENCE_SECONDS)
        codes = [process.exitcode for process in pair]
        for process in pair:
            process.kill()
        assert codes == [0, 0]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_words_that_no_disk_holds_leave_the_exit_code_as_it_is() -> None:
    program = "from trainers.training.ending import end_process; print('a last word'); end_process(78)"
    kept_back = {**os.environ, "PYTHONUNBUFFERED": ""}
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([sys.executable, "-c", program], check=False, stdout=full, stderr=full, env=kept_back)
    assert done.returncode == 78
