"""How the page ends: Ctrl-C while an answer is worked out says nothing that nobody can use."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.commands.calling import ROOT
from tests.waiting import PATIENCE_SECONDS, wait_until

MORE = "/more?model=Qwen3-8B&hardware=RTX+4090&data.kind=chat&data.examples=5000"
LEAD_SECONDS = 0.5
"""Time for the server to begin the request; where it has not, the test sees less, and fails no more."""


def answers(host: str, port: int) -> bool:
    """Whether somebody listens there: the link is printed a moment before."""
    with suppress(OSError), socket.create_connection((host, port)):
        return True
    return False


def asked(server: tuple[str, int], path: str, cookie: str = "") -> str:
    """The cookie of the answer; "" where the server ended before it."""
    connection = http.client.HTTPConnection(*server, timeout=PATIENCE_SECONDS)
    with suppress(OSError, http.client.HTTPException):
        connection.request("GET", path, headers={"cookie": cookie})
        return connection.getresponse().getheader("set-cookie") or ""
    return ""


@pytest.mark.slow
def test_ctrl_c_while_an_answer_is_worked_out_prints_no_traceback(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "advisor", "ui", "--no-browser", "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=tmp_path
    ) as served:
        assert served.stdout is not None
        link = urlsplit(served.stdout.readline().strip())
        assert link.hostname and link.port
        server = (link.hostname, link.port)
        try:
            wait_until(lambda: answers(*server))
            cookie = asked(server, f"{link.path}?{link.query}").partition(";")[0]
            waiting = threading.Thread(target=asked, args=(server, MORE, cookie), daemon=True)
            waiting.start()
            time.sleep(LEAD_SECONDS)
            served.send_signal(signal.SIGINT)
            _, said = served.communicate(timeout=PATIENCE_SECONDS)
        finally:
            served.kill()
    assert served.returncode == 0
    assert "Traceback" not in said
    assert "CancelledError" not in said
