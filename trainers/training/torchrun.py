"""torchrun that says why it ends, as `python -m trainers.training.torchrun ...`.

Plain torchrun ends with 1 whatever its workers said, so that out of memory, NaN and a full disk look alike; this one
ends with the exit code of the rank that failed first. Plain torchrun also waits forever, and silently,
where another program listens on the port at which the nodes should meet; this one looks first.
The arguments are torchrun's own.
"""

from __future__ import annotations

import errno
import queue
import socket
import sys
import threading
import time
from datetime import timedelta

from trainers import exit_codes
from trainers.errors import EnvironmentLacking
from trainers.language import tr
from trainers.run_folder.failures import judge, tell

ANSWER_SECONDS = 30
"""How long what listens at the meeting place may take to show that it is a node of a run."""
OTHER_NODE_SECONDS = 600
"""How long to wait for the node at which the others meet; as long as torchrun then waits for all to join."""


def main(arguments: list[str]) -> int:
    """Run torchrun with these arguments. Return the first failure's exit code, or 75 after a SIGTERM."""
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    options = run.parse_args(arguments)
    try:
        if options.rdzv_backend == "c10d" and options.rdzv_endpoint and not options.standalone:
            require_meeting(options.rdzv_endpoint)
        run.main(arguments)
    except EnvironmentLacking as error:
        code, failure = judge(error, "starting")
        tell(failure)
        return code
    except ChildFailedError as failed:
        _, first = failed.get_first_failure()
        print(
            tr("rank {local_rank} ended with {exitcode}", local_rank=first.local_rank, exitcode=first.exitcode),
            file=sys.stderr,
        )
        return first.exitcode if first.exitcode > 0 else 128 - first.exitcode
    except SignalException:
        return exit_codes.STOPPED
    return exit_codes.DONE


def require_meeting(
    endpoint: str, *, answer_seconds: float = ANSWER_SECONDS, other_node_seconds: float = OTHER_NODE_SECONDS
) -> None:
    """Return when this node can open the meeting place (HOST:PORT), or when a node of a run answers there.

    Raises EnvironmentLacking when something else holds the port, or when nobody answers in time.
    """
    from torch.distributed.elastic.rendezvous.utils import parse_rendezvous_endpoint

    host, port = parse_rendezvous_endpoint(endpoint, default_port=29400)
    deadline = time.monotonic() + other_node_seconds
    while (refused := _refusal(host, port)) is not None:
        named_after_this_machine = refused != errno.EADDRINUSE and host == socket.gethostname()
        if named_after_this_machine or _answers(host, port, answer_seconds):
            return
        if refused == errno.EADDRINUSE:
            raise EnvironmentLacking(
                tr("the nodes cannot meet at {endpoint}: another program uses that port", endpoint=endpoint),
                why=tr(
                    "what listens there did not answer as a node of a run within {answer_seconds:.0f} seconds",
                    answer_seconds=answer_seconds,
                ),
                fix=tr("give every node another port, such as --rendezvous {host}:{port}", host=host, port=port + 1),
            )
        if time.monotonic() > deadline:
            raise EnvironmentLacking(
                tr("no node of this run answers at {endpoint}", endpoint=endpoint),
                why=tr(
                    "waited {other_node_seconds:.0f} seconds; the node of that name is not started, a "
                    "firewall is in between, or another program uses the port",
                    other_node_seconds=other_node_seconds,
                ),
                fix=tr(
                    "start the same command on {host}, and let the nodes reach its port {port}", host=host, port=port
                ),
            )
        time.sleep(1)  # a name may become known only once its node is up


def _refusal(host: str, port: int) -> int | None:
    """Why this machine cannot listen there, as an errno; None when it can. The address of another gives one too."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, proto=socket.IPPROTO_TCP)[0]
        with socket.socket(family, kind, protocol) as probe:
            # as torch does, so that neither a sibling that is about to listen nor a run just ended stands in the way
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return error.errno or errno.EADDRNOTAVAIL
    return None


def _answers(host: str, port: int, seconds: float) -> bool:
    """Whether the store of a run answers. Asked in a thread: torch's client waits for any listener without end."""
    from torch.distributed import TCPStore

    answers: queue.Queue[bool] = queue.Queue()

    def ask() -> None:
        try:
            TCPStore(host, port, is_master=False, wait_for_workers=False, timeout=timedelta(seconds=seconds))
        except RuntimeError:
            answers.put(False)
        else:
            answers.put(True)

    threading.Thread(target=ask, daemon=True).start()
    try:
        return answers.get(timeout=seconds)
    except queue.Empty:
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
