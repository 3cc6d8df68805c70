"""The tool as a page in the browser: answers on the left, the advice beside them as you type. On this machine only.

sft-advisor ui                 open the browser
sft-advisor ui --no-browser    print the link and nothing else
"""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
from typing import TYPE_CHECKING

from advisor.base.errors import EXIT_OK, InputError, MachineError, Problem
from advisor.base.language import tr
from advisor.commands.output import remark, write_text

if TYPE_CHECKING:
    from starlette.applications import Starlette

HOST = "127.0.0.1"
PORT = 8765
PORTS_TRIED = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where it listens, and whether the browser is opened."""
    parser.add_argument(
        "--port", metavar="N", type=int, help=f"port on {HOST} (default: {PORT}, or the next free one)"
    )
    parser.add_argument("--no-browser", action="store_true", help="print the link, open nothing")


def run(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    _require_packages()
    from advisor.base.language import current
    from advisor.commands.ui import guard
    from advisor.commands.ui.app import make_app
    from advisor.commands.ui.desk import book
    from advisor.commands.ui.workers import Workers

    listening = _listen(arguments.port)
    token = guard.kept_token()
    link = guard.link(token, listening.getsockname()[1])
    quick, slow = Workers(min(2, os.cpu_count() or 1)), Workers(1)
    try:
        for workers in (quick, slow):
            workers.warm(book, current())
        _tell(link, opens=not arguments.no_browser)
        _serve(make_app(token, quick, slow), listening)
    except KeyboardInterrupt:
        remark(tr("stopped; runs that were started go on"))
    finally:
        quick.close()
        slow.close()
    return EXIT_OK


def _require_packages() -> None:
    try:
        import starlette
        import uvicorn
    except ModuleNotFoundError as error:
        raise MachineError(
            Problem(
                what=tr("the package {name} is not installed", name=error.name),
                why=tr("the page is served by it, and the advice in the terminal does without"),
                fix="pip install 'sft-advisor[ui]'",
            )
        ) from error
    del starlette, uvicorn


def _listen(wanted: int | None) -> socket.socket:
    """A socket that listens on this machine's own address alone. Raises InputError for a port that is taken."""
    ports = range(PORT, PORT + PORTS_TRIED) if wanted is None else [wanted]
    for port in ports:
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, port))
        except (OSError, OverflowError) as error:
            listening.close()
            why = error.strerror if isinstance(error, OSError) else tr("ports are 1 to 65535")
            continue
        return listening
    raise InputError(
        Problem(
            what=tr("port {port} of {host} cannot be used", port=ports[-1], host=HOST),
            why=why or "",
            fix=tr("another one: `sft-advisor ui --port 9000`; 0 takes any that is free"),
        )
    )


def _tell(link: str, opens: bool) -> None:
    write_text(link)
    remark(tr("The link holds the key: it is for you alone. Ctrl-C stops the page; runs go on."))
    if "SSH_CONNECTION" in os.environ:
        port = link.split(":")[2].partition("/")[0]
        remark(tr("From your own machine: ssh -N -L {port}:{host}:{port} THIS-MACHINE", port=port, host=HOST))
    elif opens and (sys.platform != "linux" or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ):
        import webbrowser

        webbrowser.open(link)


def _serve(app: Starlette, listening: socket.socket) -> None:
    import uvicorn

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            # What is still worked out is cut off, which uvicorn would tell with a traceback for each request.
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
            await super().shutdown(sockets)

    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=1, ws="none"
    )
    Server(config).run(sockets=[listening])
