"""The server as a coding agent meets it: started as a process, asked by the protocol's own client."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
from mcp import Client
from mcp.client.stdio import StdioServerParameters

from tests.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).parents[3]


def with_server(ask: Callable[[Client], Awaitable[None]], home: Path, *flags: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SFT_ADVISOR_HOME": str(home)}
    program = StdioServerParameters(
        command=sys.executable, args=["-m", "advisor", "mcp", *flags], env=environment, cwd=home
    )

    async def talk() -> None:
        async with Client(program, read_timeout_seconds=PATIENCE_SECONDS) as client:
            await ask(client)

    anyio.run(talk)


def test_an_agent_lists_asks_is_corrected_and_asks_again(tmp_path: Path) -> None:
    async def ask(client: Client) -> None:
        offered = (await client.list_tools()).tools
        assert {tool.name for tool in offered} >= {"recommend", "check_data", "explain"}
        assert all(tool.annotations and tool.annotations.read_only_hint for tool in offered)
        wrong = await client.call_tool("recommend", {"model": "Qwen3-8C", "hardware": "RTX 4090"})
        assert wrong.is_error and "Qwen3-8B" in wrong.content[0].text
        found = await client.call_tool("recommend", {"model": "Qwen3-8B", "hardware": "RTX 4090"})
        assert not found.is_error and found.structured_content["verdict"] == "recommended"
        page = await client.call_tool("explain", {"topic": "lora"})
        assert page.content[0].text.startswith("#") and page.structured_content is None
        assert (await client.call_tool("save_plan", {})).is_error

    with_server(ask, tmp_path)
