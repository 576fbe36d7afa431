"""Stock clients against ``airnode --role standalone`` as it is, on its API port and on its media port."""

import asyncio

import aiohttp
import pytest
import socketio

from tests.integration.chat.test_room_clients import official
from tests.support.node import Api, Classroom


@pytest.fixture
def urls(classroom: Classroom) -> list[str]:
    return [classroom["api_url"], classroom["media_url"].rstrip("/")]


async def tokens_of(classroom: Classroom, *users: str) -> list[str]:
    """Return tokens of students, each in an own browser: the server's cookie says who one is."""
    found = []
    for user in users:
        async with aiohttp.ClientSession() as browser:
            found.append((await Api(classroom, browser).student(user))["token"])
    return found


@pytest.mark.official_client
async def test_the_official_client(classroom: Classroom, urls: list[str]):
    tokens = await tokens_of(classroom, "mina", "jun")
    found = await official(urls, tokens, classroom.room, "polling,websocket")
    assert found["errors"] == []
    assert found["recovered"]
    assert found["positions"]
    assert len(found["texts"][0]) == 12
    assert found["texts"][0] == found["texts"][1]


async def test_the_python_client(classroom: Classroom, urls: list[str]):
    clients = [socketio.AsyncClient(reconnection=False) for _ in urls]
    heard: asyncio.Queue[str] = asyncio.Queue(10)
    clients[1].on("message", lambda message, position: heard.put_nowait(message["content"]))
    try:
        for client, url, token in zip(clients, urls, await tokens_of(classroom, "sora", "bora"), strict=True):
            await client.connect(url, auth={"token": token})
            assert client.transport() == "websocket"  # it began with polling
            assert (await client.call("joinRoom", classroom.room, timeout=10))["ok"]
        sent = {"roomId": classroom.room, "content": "안녕", "type": "text"}
        assert (await clients[0].call("sendMessage", sent, timeout=10))["ok"]
        assert await asyncio.wait_for(heard.get(), 10) == "안녕"
    finally:
        for client in clients:
            await client.disconnect()
