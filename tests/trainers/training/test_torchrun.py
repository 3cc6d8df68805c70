"""torchrun that says why it ends: where the nodes meet is looked at before it waits."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.waiting import PATIENCE_SECONDS
from trainers import exit_codes
from trainers.errors import EnvironmentLacking
from trainers.training.torchrun import _answers, require_meeting

torch = pytest.importorskip("torch")


@pytest.fixture
def held() -> Iterator[str]:
    """A port at which another program listens and says nothing."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def free() -> str:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{closed.getsockname()[1]}"


def test_a_port_that_another_program_holds_is_named_instead_of_waited_for(held: str) -> None:
    with pytest.raises(EnvironmentLacking) as refused:
        require_meeting(held, answer_seconds=0.5)
    assert "another program uses that port" in refused.value.what and held in refused.value.what
    assert "--rendezvous 127.0.0.1:" in refused.value.fix


def test_a_free_port_of_this_machine_is_where_this_node_opens_the_meeting(free: str) -> None:
    require_meeting(free, answer_seconds=0, other_node_seconds=0)
    require_meeting("127.0.0.1:0", answer_seconds=0, other_node_seconds=0)


def test_a_node_of_the_run_that_already_listens_is_met(free: str) -> None:
    port = int(free.rpartition(":")[2])
    store = torch.distributed.TCPStore(
        "127.0.0.1", port, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=PATIENCE_SECONDS)
    )
    require_meeting(free, answer_seconds=PATIENCE_SECONDS)
    assert store.port == port


def test_a_node_that_never_starts_is_named() -> None:
    # an address kept for documentation: no machine has it
    with pytest.raises(EnvironmentLacking) as refused:
        require_meeting("192.0.2.1:29400", answer_seconds=0.5, other_node_seconds=0.5)
    assert "no node of this run answers at 192.0.2.1:29400" in refused.value.what


def test_a_name_that_no_machine_has_is_named_too() -> None:
    with pytest.raises(EnvironmentLacking, match=r"no node of this run answers at head\.invalid"):
        require_meeting("head.invalid:29400", answer_seconds=0.5, other_node_seconds=0.5)


def test_a_node_that_starts_later_is_waited_for(free: str) -> None:
    host, _, port = free.rpartition(":")
    opened: list[object] = []

    def open_later() -> None:
        time.sleep(0.5)
        opened.append(
            torch.distributed.TCPStore(
                host, int(port), is_master=True, wait_for_workers=False, timeout=timedelta(seconds=PATIENCE_SECONDS)
            )
        )

    later = threading.Thread(target=open_later)
    later.start()
    assert _answers(host, int(port), PATIENCE_SECONDS)
    later.join()


@pytest.mark.slow
def test_the_process_ends_with_the_code_of_a_lacking_environment(held: str) -> None:
    code = (
        "import functools, sys; from trainers.training import torchrun;"
        "torchrun.require_meeting = functools.partial(torchrun.require_meeting, answer_seconds=1);"
        "sys.exit(torchrun.main(sys.argv[1:]))"
    )
    asked = ["--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d", "--rdzv-id=x", f"--rdzv-endpoint={held}"]
    ended = subprocess.run(
        [sys.executable, "-c", code, *asked, "-m", "trainers.training.run"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert ended.returncode == exit_codes.ENVIRONMENT, ended.stderr
    assert "another program uses that port" in ended.stderr and "Traceback" not in ended.stderr
    assert "  try: give every node another port" in ended.stderr
