"""Clients that mean harm, over real sockets: each loses its own connection, and nobody else notices."""

import asyncio
import os
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
import pytest
import pytest_asyncio

from airnode.chat.engineio.limits import ChatLimits
from airnode.chat.socketio.packets import encode_event
from tests.support.chat import TEXT, ChatServer, EngineClient, chat_server, receive
from tests.support.waiting import eventually
from tests.unit.chat.test_websocket_frames import client_frame

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


@pytest_asyncio.fixture
async def server() -> AsyncIterator[ChatServer]:
    async with chat_server(ChatLimits()) as found:
        yield found


@pytest_asyncio.fixture
async def client(server: ChatServer) -> AsyncIterator[EngineClient]:
    async with aiohttp.ClientSession() as http:
        yield EngineClient(server, http)


@asynccontextmanager
async def raw(
    server: ChatServer, first: bytes = b""
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A WebSocket of single bytes; ``first`` goes out in one piece with the request."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", server.port))
    reader, writer = await asyncio.open_connection(sock=sock)
    head = (
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
        f"Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
    )
    writer.write(head.encode() + first)
    try:
        yield reader, writer
    finally:
        writer.close()


async def still_serves(client: EngineClient) -> None:
    websocket = await client.connect()
    await websocket.send_str('421["message",1]')
    assert {await receive(websocket), await receive(websocket)} == {'42["message-back",1]', "431[1]"}
    await websocket.close()


async def test_the_handshake_is_that_of_the_rfc_without_compression(server: ChatServer):
    async with raw(server) as (reader, _):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert head.startswith("http/1.1 101 ")
        assert "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=" in head
        assert "extensions" not in head


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-WebSocket-Version": "12", "Sec-WebSocket-Key": KEY},
        {"Sec-WebSocket-Key": KEY},
        {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "c2hvcnQ="},
        {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "?"},
        {"Sec-WebSocket-Version": "13"},
    ],
)
async def test_a_wrong_websocket_handshake_is_refused(client: EngineClient, headers: dict[str, str]):
    url = client.address("EIO=4&transport=websocket")
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", **headers}
    async with client.http.get(url, headers=headers) as answer:
        assert answer.status == 400


async def test_what_comes_with_the_request_is_read(server: ChatServer):
    async with raw(server, client_frame(1, b"40") + client_frame(9, b"hi")) as (reader, _):
        await reader.readuntil(b"\x8a\x02hi")
    await eventually(lambda: server.application.left)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\x05Hello", 1002),
        (client_frame(1, b"\xff\xfe"), 1007),
        (b"\x81\xff" + (10**9).to_bytes(8, "big"), 1009),
        (client_frame(8, b"\x03\xed"), 1002),
        (client_frame(1, b"x" * 1_000_001), 1009),
        (b"\xf1\x80\x00\x00\x00\x00", 1002),
        (client_frame(1, b"4xyz"), 1002),
    ],
    ids=["no mask", "no UTF-8", "a huge length", "a wrong close", "too large", "compressed", "no packet"],
)
async def test_a_broken_frame_is_answered_with_its_code(
    server: ChatServer, client: EngineClient, data: bytes, code: int
):
    async with raw(server, data) as (reader, writer):
        assert await _until_close(reader) == code
        writer.write(client_frame(8, b""))
        assert await asyncio.wait_for(reader.read(), 5) == b""
    await still_serves(client)


async def _until_close(reader: asyncio.StreamReader) -> int:
    """Read up to the close frame, and return its code."""
    async with asyncio.timeout(5):
        await reader.readuntil(b"\r\n\r\n")
        while True:
            first, size = await reader.readexactly(2)
            data = await reader.readexactly(size)
            if first == 0x88:
                return int.from_bytes(data[:2], "big")


async def test_a_peer_that_does_not_answer_a_close_is_cut(server: ChatServer):
    async with raw(server, client_frame(1, b"abc")) as (reader, _):
        assert await _until_close(reader) == 1002
        assert await asyncio.wait_for(reader.read(), 5) == b""


async def test_random_bytes(server: ChatServer, client: EngineClient):
    dice = random.Random(7)
    for _ in range(60):
        data = os.urandom(dice.randrange(1, 4000))
        if dice.random() < 0.5:
            data = client_frame(dice.choice([0, 1, 2, 8, 9, 10]), data[:100])
        async with raw(server, data) as (reader, writer):
            writer.write_eof()
            await asyncio.wait_for(reader.read(), 5)
    sid = await client.open_polling()
    assert (await client.post(sid, os.urandom(1000)))[0] == 400
    await eventually(lambda: len(server.gateway.sessions) == 0)
    await still_serves(client)


@pytest.mark.parametrize("body", [b"x" * 1_000_001, None])
async def test_a_body_that_is_too_large_closes_the_session(client: EngineClient, body: bytes | None):
    sid = await client.open_polling()

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(101):
            yield b"4" + b"x" * 10_000

    url = client.address(f"EIO=4&transport=polling&sid={sid}")
    async with client.http.post(url, data=body or pieces(), headers=TEXT) as answer:
        assert answer.status == 413
    assert (await client.poll(sid))[0] == 400


async def test_a_binary_body_is_refused(client: EngineClient):
    sid = await client.open_polling()
    headers = {"Content-Type": "application/octet-stream"}
    async with client.http.post(
        client.address(f"EIO=4&transport=polling&sid={sid}"), data=b"4x", headers=headers
    ) as answer:
        assert answer.status == 400


async def test_a_payload_of_very_many_packets_holds_nobody_up(server: ChatServer, client: EngineClient):
    sid = await client.open_polling()
    await client.post(sid, "40")
    other = await client.connect()
    flood = asyncio.ensure_future(client.post(sid, "\x1e".join(['42["a"]'] * 100_000)))
    await asyncio.sleep(0)
    longest_s, loop = 0.0, asyncio.get_running_loop()
    for _ in range(20):
        began_s = loop.time()
        await other.send_str('42["message"]')
        await receive(other)
        longest_s = max(longest_s, loop.time() - began_s)
    assert longest_s < 1.0
    assert await flood == (200, "ok")
    await eventually(lambda: len(server.application.events) == 100_020)


async def test_another_ones_sid_cannot_be_guessed_and_a_socket_does_not_tell_it(
    server: ChatServer, client: EngineClient
):
    sid = await client.open_polling()
    await client.post(sid, "40")
    _, text = await client.poll(sid)
    assert sid.partition(".")[0] not in text
    assert (await client.poll(sid[1:]))[0] == 400
    assert (await client.poll(sid.upper()))[0] == 400


async def test_a_full_node_refuses_and_idle_strangers_make_way():
    limits = replace(ChatLimits(), max_connections=3)
    async with chat_server(limits) as server, aiohttp.ClientSession() as http:
        client = EngineClient(server, http)
        member = await client.connect()
        for _ in range(2):
            await client.open_polling()
        assert (await client.get("EIO=4&transport=polling"))[0] == 503
        with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
            await client.websocket()
        await asyncio.sleep(2.1)
        await still_serves(client)
        await member.send_str('42["message"]')
        assert await receive(member) == '42["message-back"]'


async def test_a_network_has_so_many_clients_and_strangers_of_it_make_way():
    limits = replace(ChatLimits(), max_connections_per_network=4, max_strangers_per_network=3)
    async with chat_server(limits, proxies=("127.0.0.1",)) as server:
        school = {"X-Forwarded-For": "203.0.113.7"}
        async with aiohttp.ClientSession(headers=school) as http, aiohttp.ClientSession() as local:
            client = EngineClient(server, http)
            members = [await client.connect() for _ in range(2)]
            first = await client.open_polling()
            await client.open_polling()
            assert (await client.get("EIO=4&transport=polling"))[0] == 429
            with pytest.raises(aiohttp.WSServerHandshakeError, match="429"):
                await client.websocket()
            await still_serves(EngineClient(server, local))  # other networks do not notice
            async with aiohttp.ClientSession(headers={"X-Forwarded-For": "203.0.113.8"}) as other:
                await still_serves(EngineClient(server, other))
            await members[1].close()
            await eventually(
                lambda: "client namespace disconnect" in server.application.left or len(server.application.left) >= 3
            )
            third = await client.open_polling()
            await members[0].send_str('42["message"]')
            assert await receive(members[0]) == '42["message-back"]'
            await members[0].close()
            await eventually(lambda: len(server.gateway.sessions) == 3)
            fourth = await client.open_polling()  # one stranger too many: the oldest one makes way
            assert (await client.poll(first))[0] == 400
            assert {sid for sid in (third, fourth) if server.gateway.sessions.get(sid)} == {third, fourth}
        reached = "airnode_chat_limits_reached_total"
        for limit, times in (("max_connections_per_network", 2), ("max_strangers_per_network", 1)):
            assert server.registry.get_sample_value(reached, {"limit": limit}) == times


async def test_a_client_that_never_reads_costs_little():
    limits = replace(ChatLimits(), cut_after_s=3)
    async with chat_server(limits) as server, aiohttp.ClientSession() as http:
        reader = await EngineClient(server, http).connect()
        async with raw(server, client_frame(1, b"40")):
            await eventually(lambda: len(server.application.sockets) == 2)
            good, slow = server.application.sockets
            got = dropped = 0
            for number in range(8000):
                packet = encode_event("/", "message", [number, "x" * 1000])
                assert good.deliver(packet)
                dropped += not slow.deliver(packet) and slow.is_connected
                assert slow._owner.session.unsent_bytes() <= limits.slow_client_bytes + 1100
                if number % 50 == 49:
                    for _ in range(50):
                        assert (await receive(reader)).startswith(f'42["message",{got},')
                        got += 1
            assert dropped > 1000
            assert slow.is_slow
            await eventually(lambda: server.application.left == ["slow client"])
        reason = {"reason": "slow client"}
        assert server.registry.get_sample_value("airnode_chat_disconnects_total", reason) == 1


async def test_a_slow_client_that_catches_up_is_told():
    async with chat_server(ChatLimits()) as server, raw(server, client_frame(1, b"40")) as (reader, _):
        await eventually(lambda: server.application.sockets)
        slow = server.application.sockets[0]
        packet = encode_event("/", "message", ["x" * 10_000])
        while slow.deliver(packet):
            await asyncio.sleep(0)
        assert slow.is_slow
        reading = asyncio.ensure_future(reader.read(-1))
        await eventually(lambda: server.application.caught_up)
        assert not slow.is_slow
        assert slow.deliver(packet)
        reading.cancel()


async def test_pages_of_other_origins_are_refused_where_origins_are_listed():
    origins = ("https://school.example",)
    async with chat_server(ChatLimits(), origins=origins) as server, aiohttp.ClientSession() as http:
        client = EngineClient(server, http)
        url = client.address("EIO=4&transport=polling")
        for origin, status in (
            ("https://school.example", 200),
            (server.url, 200),
            ("https://evil.example", 403),
            ("http://[", 403),
        ):
            async with http.get(url, headers={"Origin": origin}) as answer:
                assert answer.status == status, origin
                allowed = answer.headers.get("Access-Control-Allow-Origin")
                assert allowed == (origin if origin in origins else None)
                credentials = answer.headers.get("Access-Control-Allow-Credentials")
                assert credentials == ("true" if origin in origins else None)
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await http.ws_connect(
                client.address("EIO=4&transport=websocket"), headers={"Origin": "https://evil.example"}
            )
