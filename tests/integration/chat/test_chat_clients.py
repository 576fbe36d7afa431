"""Clients that exist, against one node and against two behind a round-robin balancer without sticky sessions."""

import asyncio
import json
import os
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import socketio

from airnode.chat.engineio.limits import ChatLimits
from tests.support.chat import ChatServer, EngineClient, chat_server
from tests.support.nginx import round_robin

ROOT = Path(__file__).parents[3]
MODULES = ROOT / "airnode/ui/node_modules"
CLIENTS = ROOT / "tests/support/chat_clients.cjs"
TRANSPORTS = ["websocket", "polling", "polling,websocket"]


async def official_clients(url: str, count: int, transports: str) -> dict[str, object]:
    """Run clients of npm's socket.io-client; return what they say."""
    node = shutil.which("node", path=f"{ROOT / '.venv/bin'}:{os.environ['PATH']}")
    assert node is not None
    env = {**os.environ, "NODE_PATH": str(MODULES)}
    process = await asyncio.create_subprocess_exec(
        node, str(CLIENTS), url, str(count), transports, stdout=asyncio.subprocess.PIPE, env=env
    )
    output, _ = await asyncio.wait_for(process.communicate(), 50)
    found: dict[str, object] = json.loads(output)
    return found


@asynccontextmanager
async def two_nodes() -> AsyncIterator[list[ChatServer]]:
    servers: dict[str, ChatServer] = {}

    async def find(node: str) -> str | None:
        return servers[node].url if node in servers else None

    async with AsyncExitStack() as stack:
        for name in ("node-a", "node-b"):
            servers[name] = await stack.enter_async_context(chat_server(ChatLimits(), node=name, find_node=find))
        yield list(servers.values())


def expected(count: int, transports: str) -> dict[str, object]:
    upgraded = 0 if transports == "polling" else count
    return {"connected": count, "acked": 20 * count, "binary": count, "upgraded": upgraded, "errors": []}


@pytest.mark.official_client
@pytest.mark.parametrize("transports", TRANSPORTS)
async def test_the_official_client(transports: str):
    async with chat_server(ChatLimits()) as server:
        assert await official_clients(server.url, 10, transports) == expected(10, transports)


@pytest.mark.nginx
@pytest.mark.official_client
@pytest.mark.parametrize("transports", TRANSPORTS)
async def test_40_official_clients_over_two_nodes_round_robin(tmp_path: Path, transports: str):
    async with two_nodes() as nodes, round_robin(tmp_path, [node.port for node in nodes]) as url:
        assert await official_clients(url, 40, transports) == expected(40, transports)
        shares = [len(node.application.sockets) for node in nodes]
        assert sum(shares) == 40
        assert min(shares) >= 10
        for node in nodes:
            # The official client aborts its open poll when it leaves by polling.
            reasons = {"client namespace disconnect", "transport close", "transport error"}
            assert Counter(node.application.left).keys() <= reasons
        if transports != "websocket":
            assert sum(
                node.registry.get_sample_value("airnode_chat_forwarded_total", {"kind": "polling"}) for node in nodes
            )


@pytest.mark.nginx
@pytest.mark.parametrize("transports", [["websocket"], ["polling"], ["polling", "websocket"]])
async def test_the_python_client_over_two_nodes(tmp_path: Path, transports: list[str]):
    async with two_nodes() as nodes, round_robin(tmp_path, [node.port for node in nodes]) as url:
        client = socketio.AsyncClient(reconnection=False)
        back: asyncio.Queue[object] = asyncio.Queue(10)
        client.on("message-back", back.put)
        await client.connect(url, transports=transports, auth={"token": "x"})
        try:
            assert await client.call("message-with-ack", {"a": [1, b"\x01"]}, timeout=5) == {"a": [1, b"\x01"]}
            await client.emit("message", "다")
            assert await asyncio.wait_for(back.get(), 5) == "다"
        finally:
            await client.disconnect()


@pytest.mark.parametrize("url", [None, "http://127.0.0.1:9"])
async def test_a_session_of_a_node_that_is_gone_is_unknown(url: str | None):
    async def find(node: str) -> str | None:
        return url

    async with chat_server(ChatLimits(), find_node=find) as server, aiohttp.ClientSession() as http:
        client = EngineClient(server, http)
        unknown = (400, '{"code":1,"message":"Session ID unknown"}')
        for sid in ("abc.node-b", "abc", "abc.node-a", ".", "../../x.node-b"):
            assert await client.poll(sid) == unknown
            assert await client.post(sid, "4x") == unknown
            with pytest.raises(aiohttp.WSServerHandshakeError, match="400"):
                await client.websocket(sid)


async def test_a_request_is_passed_on_only_once():
    """Two nodes that each take the other for the session's node do not send a request back and forth."""
    urls: dict[str, str] = {}

    async def find(node: str) -> str | None:
        return urls["b" if node == "c" else "a"]

    async with (
        chat_server(ChatLimits(), node="a", find_node=find) as first,
        chat_server(ChatLimits(), node="b", find_node=find) as second,
        aiohttp.ClientSession() as http,
    ):
        urls |= {"a": first.url, "b": second.url}
        assert (await EngineClient(first, http).poll("abc.c"))[0] == 400
        assert first.registry.get_sample_value("airnode_chat_forwarded_total", {"kind": "polling"}) == 1
        assert second.registry.get_sample_value("airnode_chat_forwarded_total", {"kind": "polling"}) is None
