"""The tools of tools.py over the Model Context Protocol, by its own SDK, on standard input and output."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from advisor.base.errors import EXIT_BUG
from advisor.base.version import __version__
from advisor.commands.mcp.tools import Tool, tools
from trainers.foreign.records import printable

INSTRUCTIONS = """Decides how to fine-tune a language model: whether at all, full, LoRA or QLoRA, every setting, and
whether it fits, without torch and before anything is downloaded. Begin with `recommend`: model and hardware are
enough; then give what `unknown` and `changes` name. `check_data` before a run, `explain` for any word. Sizes
are bytes, durations seconds, null is not known."""


def server(*, writing: bool) -> Server[Any]:
    """The server with its tools; those that write a file only with `writing`."""
    offered = tools(writing=writing)

    async def list_tools(context: Any, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_as_listed(tool) for tool in offered.values()])

    async def call_tool(context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        tool = offered.get(params.name)
        if tool is None:
            return _said(f"there is no tool {params.name!r}; there are {', '.join(offered)}", failed=True)
        return called(tool, params.arguments or {})

    return Server(
        "sft-advisor",
        version=__version__,
        title="sft-advisor",
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


async def serve(*, writing: bool) -> None:
    """Answer on standard input and output until the client leaves."""
    made = server(writing=writing)
    async with stdio_server() as (read, write):
        await made.run(read, write, made.create_initialization_options())


def called(tool: Tool, arguments: Mapping[str, Any]) -> types.CallToolResult:
    """What the tool answers: a document beside its text, or what is wrong and what to do, as a person reads it."""
    from advisor.commands.failures import explain_failure

    try:
        answer = tool.ask(arguments)
    except Exception as error:  # noqa: BLE001 - whatever happens is told to the agent, and the server goes on
        lines, code = explain_failure(error)
        return _said("\n".join(lines), failed=True) if code != EXIT_BUG else _said(lines[0], failed=True)
    if isinstance(answer, str):
        return _said(answer)
    text = printable(answer)
    return types.CallToolResult(content=[types.TextContent(text=text)], structured_content=json.loads(text))


def _said(text: str, *, failed: bool = False) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(text=text)], is_error=failed)


def _as_listed(tool: Tool) -> types.Tool:
    hints = types.ToolAnnotations(
        read_only_hint=not tool.writes, destructive_hint=False, idempotent_hint=not tool.writes, open_world_hint=True
    )
    return types.Tool(
        name=tool.name, title=tool.title, description=tool.about, input_schema=tool.schema(), annotations=hints
    )
