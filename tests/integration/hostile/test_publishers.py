"""Publishers that send nonsense, too much or too often, while another class is live on the node."""

import asyncio
import contextlib
import re
import struct
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from airnode.media.rtmp import amf0
from tests.support.hostile import (
    AVCC,
    INTER_FRAME,
    KEY_FRAME,
    LiveClass,
    logged_end,
    logged_ends,
    make_class,
)
from tests.support.node import AirnodeProcess
from tests.support.rtmp import RtmpPublisher, chunk, tag_video
from tests.support.waiting import eventually

pytestmark = [pytest.mark.ffmpeg, pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(loop_scope="module")
async def room(live: LiveClass, request: pytest.FixtureRequest) -> tuple[str, str, str]:
    """A class for a bad publisher: room, stream key, teacher's token."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:60].strip("-")
    return name, *await make_class(live.node, live.session, name)


@contextlib.asynccontextmanager
async def publisher(live: LiveClass, key: str) -> AsyncIterator[tuple[RtmpPublisher, int, str]]:
    """Yield an accepted publisher: the connection, its stream, its address in the log."""
    peer = await RtmpPublisher.connect(live.rtmp_port)
    try:
        stream_id, code = await peer.publish(key)
        assert code == "NetStream.Publish.Start"
        yield peer, stream_id, "{}:{}".format(*peer.writer.get_extra_info("sockname"))
    finally:
        await peer.aclose()


def video(stream_id: int, at_ms: int, body: bytes, *, key: bool = False, kind: int = 1) -> bytes:
    return chunk(9, tag_video(kind, body, key=key), timestamp_ms=at_ms & 0xFFFFFFFF, stream_id=stream_id, csid=6)


async def room_view(live: LiveClass, name: str, token: str) -> dict:
    url = f"{live.node['api_url']}/api/rooms/{name}"
    async with live.session.get(url, headers={"Authorization": f"Bearer {token}"}) as response:
        assert response.status == 200
        return await response.json()


async def test_video_without_a_key_frame(live: LiveClass, room: tuple[str, str, str]):
    name, key, token = room
    async with live.unharmed(), publisher(live, key) as (peer, stream_id, _):
        peer.send(video(stream_id, 0, AVCC, kind=0, key=True))
        for index in range(500):
            peer.send(video(stream_id, index * 33, INTER_FRAME))

        async def counted() -> bool:
            found = await room_view(live, name, token)
            return found["state"] == "live" and found["stream"]["dropped_samples"] >= 500

        await eventually(counted, what="the dropped samples are counted")
        assert count_log_lines(live.node, "video_before_key_frame_dropped", name) == 1
        for index in range(90):
            is_key = index % 30 == 0
            peer.send(video(stream_id, 17_000 + index * 33, KEY_FRAME if is_key else INTER_FRAME, key=is_key))
        await eventually(lambda: playlist(live, name, token), what="it plays from its first key frame on")


def count_log_lines(node: AirnodeProcess, event: str, room: str) -> int:
    """Return the number of log lines of an event in a room."""
    return sum(f'"event":"{event}"' in line and f'"room":"{room}"' in line for line in node.log.splitlines())


async def playlist(live: LiveClass, name: str, token: str) -> str:
    async with live.session.get(f"{live.node['media_url']}/v/{token}/{name}/media.m3u8") as response:
        return await response.text() if response.status == 200 else ""


async def test_timestamps_that_jump_by_hours(live: LiveClass, room: tuple[str, str, str]):
    name, key, token = room
    hour_ms = 3_600_000
    starts_ms = (0, 5 * hour_ms, hour_ms, 0, 1190 * hour_ms, 0xFFFFFF00, 0)
    async with live.unharmed(), publisher(live, key) as (peer, stream_id, remote):
        peer.send(video(stream_id, 0, AVCC, kind=0, key=True))
        for start_ms in starts_ms:
            for index in range(60):
                body, is_key = (KEY_FRAME, True) if index % 30 == 0 else (INTER_FRAME, False)
                peer.send(video(stream_id, start_ms + index * 33, body, key=is_key))
            await peer.writer.drain()

        async def counted() -> bool:
            text = await playlist(live, name, token)
            return "#EXT-X-DISCONTINUITY" in text

        await eventually(counted, what="each jump is a discontinuity")
        await eventually(lambda: live.metric("airnode_media_stream_faults_total"), what="jumps are counted")
        assert count_log_lines(live.node, "timestamps_jumped", name) == 1
        durations = [float(each) for each in re.findall(r"#EXTINF:([\d.]+)", await playlist(live, name, token))]
        assert durations
        assert max(durations) < 15
        assert logged_ends(live.node, remote) == []
    assert (await logged_end(live.node, remote))["room"] == name


async def test_ten_thousand_tiny_chunks(live: LiveClass, room: tuple[str, str, str]):
    name, key, token = room
    async with live.unharmed(), publisher(live, key) as (peer, stream_id, remote):
        peer.send(chunk(1, struct.pack(">I", 1), csid=2))
        peer.send(chunk(9, tag_video(0, AVCC, key=True), stream_id=stream_id, csid=6, chunk_size_bytes=1))
        big = KEY_FRAME[:3] + bytes([2]) + KEY_FRAME[4:]
        filler = struct.pack(">I", 9_990) + b"\x65" + bytes(9_989)
        peer.send(chunk(9, tag_video(1, big + filler, key=True), stream_id=stream_id, csid=6, chunk_size_bytes=1))
        for index in range(10_000):
            peer.send(chunk(18, b"\x05", timestamp_ms=index, stream_id=stream_id, csid=7, chunk_size_bytes=1))
        for index in range(1, 100):
            is_key = index % 30 == 0
            body = KEY_FRAME if is_key else INTER_FRAME
            data = tag_video(1, body, key=is_key)
            peer.send(chunk(9, data, timestamp_ms=index * 33, stream_id=stream_id, csid=6, chunk_size_bytes=1))
        await peer.writer.drain()
        await eventually(lambda: playlist(live, name, token), what="the stream is complete after them")
        assert logged_ends(live.node, remote) == []


def long_string(size: int) -> bytes:
    """Return the start of an AMF0 long string of this claimed size."""
    return b"\x0c" + struct.pack(">I", size) + b"x" * 100


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"\x06" + bytes(3) + b"\xff\xff\xff" + b"\x09" + bytes(4) + bytes(128), id="16 MB message"),
        pytest.param(
            b"".join(
                bytes([0x40 - 0x40, csid]) + bytes(3) + b"\0\1\0\x09" + bytes(4) + bytes(128) for csid in range(200)
            ),
            id="200 chunk streams",
        ),
    ],
)
async def test_claimed_sizes_without_the_bytes(live: LiveClass, room: tuple[str, str, str], sent: bytes):
    name, key, _ = room
    async with live.unharmed():
        errors = await live.metric("airnode_rtmp_protocol_errors_total")
        async with publisher(live, key) as (peer, _, remote):
            peer.send(sent)
            assert await peer.closes()
        line = await logged_end(live.node, remote)
        assert line["level"] == "warning"
        assert (line["room"], bool(line["reason"]), bool(line["detail"])) == (name, True, True)
        assert await live.metric("airnode_rtmp_protocol_errors_total") == errors + 1


@pytest.mark.parametrize(
    ("sent", "skipped"),
    [
        pytest.param(chunk(20, amf0.encode(("@setDataFrame", 1.0)) + long_string(100 << 20)), 1, id="100 MB string"),
        pytest.param(chunk(18, amf0.encode(("@setDataFrame",)) + long_string(100 << 20)), 1, id="100 MB of metadata"),
        pytest.param(chunk(1, struct.pack(">I", 0), csid=2), 1, id="empty chunks"),
        pytest.param(chunk(1, struct.pack(">I", 128 | 1 << 31), csid=2), 0, id="the reserved bit"),
        pytest.param(chunk(20, amf0.encode(("x", 1.0)) + b"\x03\0\1a" * 5000), 1, id="deep AMF"),
    ],
)
async def test_what_makes_no_sense_is_skipped(live: LiveClass, room: tuple[str, str, str], sent: bytes, skipped: int):
    _, key, _ = room
    async with live.unharmed():
        errors = await live.metric("airnode_rtmp_protocol_errors_total")
        async with publisher(live, key) as (peer, _, remote):
            peer.send(sent)
            # An answer shows that all of it was read.
            peer.send(chunk(4, struct.pack(">HI", 6, 7), csid=2))
            while (message := await peer.message()) is not None and message.type_id != 4:
                pass
            assert message is not None
            assert message.payload == struct.pack(">HI", 7, 7)
            assert logged_ends(live.node, remote) == []
        assert await live.metric("airnode_rtmp_protocol_errors_total") == errors + skipped


async def test_a_flood_of_bad_keys(live: LiveClass):
    async with live.unharmed():
        rejected = await live.metric("airnode_rtmp_rejected_total")

        async def attempt(number: int) -> None:
            peer = await RtmpPublisher.connect(live.rtmp_port)
            try:
                assert (await peer.publish(f"guess-{number}"))[1] == "NetStream.Publish.BadName"
            finally:
                await peer.aclose()

        for start in range(0, 60, 20):
            await asyncio.gather(*(attempt(number) for number in range(start, start + 20)))
        assert await live.metric("airnode_rtmp_rejected_total") == rejected + 60
    assert "guess-" not in live.node.log


async def test_more_connections_than_are_allowed(live: LiveClass):
    async with live.unharmed(), contextlib.AsyncExitStack() as stack:
        rejected = await live.metric("airnode_rtmp_rejected_total")
        for _ in range(120):
            _, writer = await asyncio.open_connection("127.0.0.1", live.rtmp_port)
            stack.callback(writer.close)

        async def refused() -> bool:
            return await live.metric("airnode_rtmp_rejected_total") > rejected

        await eventually(refused, what="connections above the limit are refused")
        assert live.node.log.count("rtmp_connections_refused") < 10
