"""Browsers that publish nonsense, too much or too often, while another class is live on the node."""

import asyncio
import contextlib
import random
import re
import struct

import aiohttp
import pytest
import pytest_asyncio

from tests.support.browser_publisher import BrowserPublisher, audio, config, video
from tests.support.hostile import AVCC, INTER_FRAME, KEY_FRAME, LiveClass, make_class
from tests.support.waiting import eventually

pytestmark = [pytest.mark.ffmpeg, pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]


def address(live: LiveClass) -> str:
    return str(live.node["media_url"]).replace("http", "ws", 1) + "/publish"


@pytest_asyncio.fixture(loop_scope="module")
async def key(live: LiveClass, request: pytest.FixtureRequest) -> str:
    """The stream key of a class for a bad publisher."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:60].strip("-")
    return (await make_class(live.node, live.session, name))[0]


async def accepted(live: LiveClass, key: str) -> BrowserPublisher:
    peer = await BrowserPublisher.connect(address(live))
    await peer.publish(key)
    await eventually(lambda: peer.answer("accepted"), what="the publish is accepted")
    return peer


async def test_random_messages(live: LiveClass, key: str):
    random_bytes = random.Random(7)
    async with live.unharmed():
        for _ in range(30):
            peer = await accepted(live, key)
            with contextlib.suppress(ConnectionError):
                for _ in range(20):
                    data = random_bytes.randbytes(random_bytes.randrange(200))
                    head = random_bytes.choice(
                        [b"", b"\x01\x01", b"\x01\x10", b"\x02\x01\0\0\0\0", b"\x03\x00\0\0\0\0"]
                    )
                    await peer.ws.send_bytes(head + data)
            await peer.aclose()


async def test_random_bytes_in_place_of_a_websocket(live: LiveClass):
    random_bytes = random.Random(8)
    upgrade = (
        b"GET /publish HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    async with live.unharmed():
        for turn in range(40):
            _, writer = await asyncio.open_connection("127.0.0.1", live.ports["media"])
            with contextlib.suppress(ConnectionError):
                writer.write((upgrade if turn % 2 else b"") + random_bytes.randbytes(2000))
                await writer.drain()
            writer.close()


async def test_frames_in_a_flood(live: LiveClass, key: str):
    async with live.unharmed():
        peer = await accepted(live, key)
        with contextlib.suppress(ConnectionError):
            await peer.ws.send_bytes(config("avc", AVCC))
            for index in range(5_000):
                await peer.ws.send_bytes(video(index * 1_000, INTER_FRAME))
        await eventually(lambda: peer.close_code, what="the flood is ended")
        assert peer.close_code in (4429, 4400, 1006)
        await peer.aclose()


async def test_timestamps_of_all_kinds(live: LiveClass, key: str):
    async with live.unharmed():
        peer = await accepted(live, key)
        await peer.ws.send_bytes(config("avc", AVCC))
        times = [0, 2**48 - 1, 1, 10**9, 5, 2**47, 2**48 - 1, 0, 33_000, 66_000]
        for at_us in times:
            await peer.ws.send_bytes(video(at_us, KEY_FRAME, key=True))
            await peer.ws.send_bytes(audio(at_us, b"\x21\x00\x49\x90\x02\x19\x00\x23\x80"))
        await peer.aclose()


async def test_lengths_of_nal_units_that_lie(live: LiveClass, key: str):
    async with live.unharmed():
        peer = await accepted(live, key)
        await peer.ws.send_bytes(config("avc", AVCC))
        for index, length in enumerate((0, 1, 2**16, 2**31, 2**32 - 1)):
            await peer.ws.send_bytes(video(index * 33_000, struct.pack(">I", length) + b"\x65\x88", key=True))
        await peer.ws.send_bytes(video(10**6, KEY_FRAME, key=True))
        await eventually(lambda: peer.acked["messages"] >= 6, what="the messages are read")
        assert peer.close_code is None
        await peer.aclose()


async def test_a_publisher_that_reads_nothing(live: LiveClass, key: str):
    """Acknowledgements that nobody reads hold up only their own publisher."""
    async with live.unharmed():
        peer = await accepted(live, key)
        transport = peer.ws._response.connection.transport  # type: ignore[union-attr]
        transport.pause_reading()  # type: ignore[union-attr]
        for index in range(300):
            await peer.ws.send_bytes(video(index * 33_000, KEY_FRAME, key=True))
        transport.resume_reading()  # type: ignore[union-attr]
        await eventually(lambda: peer.acked["messages"], what="it is acknowledged later")
        await peer.aclose()


async def test_pages_of_other_sites_and_connections_by_the_hundred(live: LiveClass):
    async with live.unharmed():
        peers = [await BrowserPublisher.connect(address(live)) for _ in range(100)]
        await eventually(lambda: sum(each.close_code is not None for each in peers) >= 30, what="the oldest are closed")
        for each in peers:
            await each.aclose()


async def test_a_wrong_key_is_not_in_the_log(live: LiveClass):
    async with live.unharmed():
        for wrong in ("sesame-wrong-key", "k" * 256, "\u202e"):
            peer = await BrowserPublisher.connect(address(live))
            await peer.publish(wrong)
            await eventually(lambda peer=peer: peer.close_code, what="it is refused")
            assert peer.close_code == 4403
            await peer.aclose()
        assert "sesame-wrong-key" not in live.node.log


async def test_other_requests_to_the_address(live: LiveClass):
    async with live.unharmed(), aiohttp.ClientSession() as session:
        url = address(live).replace("ws", "http", 1)
        for method in ("GET", "POST", "PUT"):
            async with session.request(method, url) as response:
                assert 400 <= response.status < 500, await response.text()
