"""Clients that exist, in rooms over two nodes."""

import asyncio
import itertools
import json
import os
import shutil
from pathlib import Path

import pytest
import socketio

from tests.support.chat_rooms import ChatRig
from tests.support.nginx import round_robin

ROOT = Path(__file__).parents[3]
MODULES = ROOT / "airnode/ui/node_modules"
SCRIPT = ROOT / "tests/support/room_clients.cjs"
_numbers = itertools.count()


@pytest.fixture
async def nodes(valkey_url):
    rigs = [await ChatRig(valkey_url, f"node-js-{next(_numbers)}", send_burst=100).start() for _ in range(2)]
    yield rigs
    for rig in rigs:
        await rig.stop()


async def official(urls, tokens, room, transports):
    node = shutil.which("node", path=f"{ROOT / '.venv/bin'}:{os.environ['PATH']}")
    assert node is not None
    process = await asyncio.create_subprocess_exec(
        node,
        str(SCRIPT),
        ",".join(urls),
        ",".join(tokens),
        room,
        transports,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "NODE_PATH": str(MODULES)},
    )
    output, _ = await asyncio.wait_for(process.communicate(), 50)
    return json.loads(output)


def check(found, count):
    assert found["errors"] == []
    assert found["joined"] == [f"u{n}" for n in range(count)]
    assert found["recovered"]
    assert found["positions"]
    assert all(texts == found["texts"][0] for texts in found["texts"])
    assert found["texts"][0][-2:] == ["missed", "back"]


@pytest.mark.official_client
@pytest.mark.parametrize("transports", ["websocket", "polling", "polling,websocket"])
async def test_official_clients_on_two_nodes(nodes, transports):
    room = f"js-{next(_numbers)}"
    tokens = [nodes[0].token(f"u{n}", "student", room) for n in range(2)]
    check(await official([node.url for node in nodes], tokens, room, transports), 2)


@pytest.mark.nginx
@pytest.mark.official_client
@pytest.mark.parametrize("transports", ["websocket", "polling", "polling,websocket"])
async def test_official_clients_behind_round_robin(nodes, tmp_path, transports):
    room = f"js-{next(_numbers)}"
    tokens = [nodes[0].token(f"u{n}", "student", room) for n in range(6)]
    async with round_robin(tmp_path, [node.port for node in nodes]) as url:
        check(await official([url] * 6, tokens, room, transports), 6)


@pytest.mark.parametrize("transports", [["websocket"], ["polling"]])
async def test_the_python_client(nodes, transports):
    room = f"py-{next(_numbers)}"
    clients = []
    texts: list[asyncio.Queue] = []
    for number, node in enumerate(nodes):
        client = socketio.AsyncClient(reconnection=False)
        queue: asyncio.Queue = asyncio.Queue()

        async def keep(message, position, queue=queue):
            await queue.put(message["content"])

        client.on("message", keep)
        await client.connect(node.url, transports=transports, auth={"token": node.token(f"u{number}", room=room)})
        assert (await client.call("joinRoom", room, timeout=10))["ok"]
        clients.append(client)
        texts.append(queue)
    try:
        answer = await clients[0].call("sendMessage", (room, {"content": "다", "type": "text"}), timeout=10)
        assert answer["ok"]
        for queue in texts:
            assert await asyncio.wait_for(queue.get(), 10) == "다"
        refused = await clients[1].call("joinRoom", "other", timeout=10)
        assert refused == {"ok": False, "error": refused["error"]}
    finally:
        for client in clients:
            await client.disconnect()


@pytest.mark.official_client
async def test_an_old_client_without_a_token(valkey_url):
    rig = await ChatRig(valkey_url, "node-old", access="open").start()
    program = f"""
        const {{ io }} = require("socket.io-client");
        const socket = io("{rig.url}");
        socket.on("connect", () => {{
          socket.emit("joinRoom", "room1");
          socket.emit("sendMessage", {{ roomId: "room1", content: "hello", type: "text" }});
        }});
        socket.on("message", (message) => {{ console.log(JSON.stringify(message)); process.exit(0); }});
    """
    node = shutil.which("node", path=f"{ROOT / '.venv/bin'}:{os.environ['PATH']}")
    env = {**os.environ, "NODE_PATH": str(MODULES)}
    process = await asyncio.create_subprocess_exec(node, "-e", program, stdout=asyncio.subprocess.PIPE, env=env)
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    message = json.loads(output)
    assert (message["content"], message["room"], message["type"]) == ("hello", "room1", "text")
    await rig.stop()
