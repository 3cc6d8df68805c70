"""Serves the advisor to coding agents over the Model Context Protocol, on standard input and output.

    claude mcp add tuning -- sft-advisor mcp
    {"mcpServers": {"tuning": {"command": "sft-advisor", "args": ["mcp"]}}}

Tools: recommend, estimate, check_data, probe_machine, list_models, explain, vet, list_runs. They read and answer;
with --write an agent may also save a plan, which a person launches. Needs pip install 'sft-advisor[mcp]'.
"""

from __future__ import annotations

import argparse
import sys

from advisor.base.errors import EXIT_OK, InputError, MachineError, Problem
from advisor.base.language import tr


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What agents may do."""
    parser.add_argument("--write", action="store_true", help="also offer save_plan, which writes a plan to a file")
    parser.add_argument("--list", action="store_true", help="print the tools as JSON and end")


def run(arguments: argparse.Namespace) -> int:
    """Serve until the client leaves."""
    from advisor.commands.mcp.tools import tools
    from advisor.commands.output import write_json
    from advisor.report.documents import Offered

    if arguments.list:
        offered = tools(writing=arguments.write).values()
        write_json([Offered(name=tool.name, description=tool.about, input=tool.schema()) for tool in offered])
        return EXIT_OK
    if sys.stdin.isatty():
        what = tr("a coding agent starts this, and here is a terminal")
        why = tr("the protocol is spoken on standard input")
        raise InputError(Problem(what=what, why=why, fix=tr("`sft-advisor mcp --list` shows what it offers")))
    try:
        import anyio

        from advisor.commands.mcp.server import serve
    except ModuleNotFoundError as error:
        what = tr("the package {package} is not installed", package=error.name)
        why = tr("it speaks the Model Context Protocol")
        raise MachineError(Problem(what=what, why=why, fix="pip install 'sft-advisor[mcp]'")) from error
    anyio.run(lambda: serve(writing=arguments.write))
    return EXIT_OK
