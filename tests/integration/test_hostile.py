"""Bad input on every port of a running node, while a class is live and somebody watches it."""

import asyncio
import contextlib
import json
import os
import re
import struct
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import psutil
import pytest
import pytest_asyncio

from airnode.media.rtmp import amf0
from tests.support.ffmpeg import Publisher
from tests.support.node import AirnodeProcess
from tests.support.rtmp import RtmpPublisher, chunk, tag_video
from tests.support.waiting import eventually

pytestmark = [pytest.mark.ffmpeg, pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]

AVCC = bytes.fromhex("0142c01effe100196742c01eda0280bfe5c044000003000400000300f03c58ba8001000468ce0fc8")
KEY_FRAME = b"\0\0\0\2\x65\x88"
INTER_FRAME = b"\0\0\0\2\x41\x9a"
#: Longest pause between two parts of 200 ms on a busy machine.
LONGEST_PAUSE_S = 4.0
MOST_MEMORY_BYTES = 64 << 20


class LiveClass:
    """A class with a publisher and a viewer that fetches part after part."""

    def __init__(self, node: AirnodeProcess, session: aiohttp.ClientSession, publisher: Publisher, base: str) -> None:
        self.node = node
        self.session = session
        self.publisher = publisher
        self.base = base
        self.parts = 0
        self.longest_s = 0.0
        self.errors: list[str] = []

    async def watch(self) -> None:
        last_s = time.monotonic()
        while True:
            async with self.session.get(f"{self.base}/media.m3u8") as response:
                text = await response.text()
                if response.status != 200:
                    self.errors.append(f"playlist: {response.status} {text}")
                    continue
            hint = re.search(r'PRELOAD-HINT:TYPE=PART,URI="([^"]+)"', text)
            if hint is None:
                continue
            async with self.session.get(f"{self.base}/{hint[1]}") as response:
                body = await response.read()
            if response.status == 200 and body[4:8] == b"moof":
                now_s = time.monotonic()
                self.longest_s = max(self.longest_s, now_s - last_s)
                self.parts, last_s = self.parts + 1, now_s
            elif response.status != 404:  # asked a moment too late
                self.errors.append(f"{hint[1]}: {response.status} {body[:200]!r}")

    async def metric(self, name: str) -> float:
        """The sum over all labels."""
        async with self.session.get(self.node["api_url"] + "/metrics") as response:
            text = await response.text()
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.M))

    @contextlib.asynccontextmanager
    async def unharmed(self) -> AsyncIterator[None]:
        """Parts keep coming, nothing stands in the log that should not, and memory stays."""
        process = psutil.Process(self.node.pid)
        parts, logged, memory = self.parts, len(self.node.log), process.memory_info().rss
        self.longest_s = 0.0
        yield
        await eventually(lambda: self.parts >= parts + 2, what="parts keep coming")
        assert self.publisher.running
        assert self.errors == []
        assert self.longest_s < LONGEST_PAUSE_S
        new = self.node.log[logged:]
        assert "Traceback" not in new
        assert [line for line in new.splitlines() if '"level":"error"' in line] == []
        assert process.memory_info().rss - memory < MOST_MEMORY_BYTES

    @property
    def ports(self) -> dict[str, int]:
        http, media = (int(self.node[name].rpartition(":")[2]) for name in ("api_url", "media_url"))
        return {"http": http, "media": media, "rtmp": self.rtmp_port}

    @property
    def rtmp_port(self) -> int:
        return int(self.node["rtmp_server"].rpartition(":")[2].split("/")[0])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(school: AirnodeProcess, clip: Path) -> AsyncIterator[LiveClass]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        key, token = await make_class(school, session, "hostile-live")
        publisher = await Publisher.of_clip(f"{school['rtmp_server']}/{key}", clip).start()
        made = LiveClass(school, session, publisher, f"{school['media_url']}/v/{token}/hostile-live")

        async def begun() -> bool:
            async with session.get(f"{made.base}/media.m3u8") as response:
                return response.status == 200

        watching = None
        try:
            await eventually(begun, what="the class is live")
            watching = asyncio.create_task(made.watch())
            await eventually(lambda: made.parts, what="the first part")
            yield made
            assert not watching.done()
        finally:
            if watching is not None:
                watching.cancel()
                await asyncio.wait((watching,))
            await publisher.stop()


async def make_class(node: AirnodeProcess, session: aiohttp.ClientSession, room: str) -> tuple[str, str]:
    """The stream key and a teacher's token of a new class."""
    headers = {"Authorization": f"Bearer {node['teacher_secret']}", "X-Forwarded-For": "198.19.0.1"}
    url, fields = node["api_url"] + "/api/classes", {"title": room, "room": room}
    async with session.post(url, json=fields, headers=headers) as response:
        assert response.status == 201, await response.text()
    fields = {"user_type": "teacher", "user_id": "t", "room": room}
    async with session.post(node["api_url"] + "/api/token", json=fields, headers=headers) as response:
        body = await response.json()
        return body["stream_key"], body["token"]


async def say(port: int, data: bytes, within_s: float = 10) -> tuple[bytes, str]:
    """Send bytes and an end of input. Returns the whole answer, and our address as the server logs it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    name = "{}:{}".format(*writer.get_extra_info("sockname"))
    answer = b""
    try:
        async with asyncio.timeout(within_s):
            writer.write(data)
            await writer.drain()
            # The server may have answered and closed already: then there is nothing to end (ENOTCONN).
            with contextlib.suppress(OSError):
                writer.write_eof()
            while piece := await reader.read(65536):
                answer += piece
    except ConnectionError:
        pass
    finally:
        writer.close()
    return answer, name


#: {node: where its log stood when the test began}: a port of an earlier test's connection may be used again.
_LOG_FROM: dict[AirnodeProcess, int] = {}


@pytest.fixture(autouse=True)
def _log_from_here(live: LiveClass) -> None:
    _LOG_FROM[live.node] = len(live.node.log)


def ends(node: AirnodeProcess, remote: str) -> list[dict]:
    """Return the log lines about the end of the RTMP connection from ``remote``."""
    log = node.log[_LOG_FROM[node] :]
    lines = [line for line in log.splitlines() if "rtmp_connection_ended" in line and f'"{remote}"' in line]
    return [json.loads(line) for line in lines]


async def the_end(node: AirnodeProcess, remote: str) -> dict:
    """Return the only log line about it."""
    await eventually(lambda: ends(node, remote), what=f"the end of {remote} is logged")
    (line,) = ends(node, remote)
    return line


GARBAGE = {
    "random": os.urandom(20_000),
    "zeros": bytes(20_000),
    "tls": bytes.fromhex("16030100a5010000a10303") + os.urandom(160),
    "ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
    "binary http": b"GET /\xff\xfe\x00 HTTP/1.1\r\n\x00\x01: \x02\r\n\r\n",
    "version": b"GET / HTTP/9.9999\r\n\r\n",
    "lines": b"\r\n" * 5000,
    "http 2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + os.urandom(500),
    "one byte": b"\x03",
}


@pytest.mark.parametrize("kind", GARBAGE)
async def test_garbage_on_every_port(live: LiveClass, kind: str):
    async with live.unharmed():
        malformed = await live.metric("airnode_http_malformed_total")
        for name, port in live.ports.items():
            answer, remote = await say(port, GARBAGE[kind])
            if name == "rtmp":
                line = await the_end(live.node, remote)
                assert line["reason"]
            elif answer:
                assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 ", b"HTTP/1.1 404 ", b"HTTP/1.1 505 ")), (
                    answer
                )
        if kind not in ("lines", "one byte"):
            assert await live.metric("airnode_http_malformed_total") >= malformed + 2


async def test_connections_that_say_nothing(live: LiveClass):
    async with live.unharmed(), contextlib.AsyncExitStack() as stack:
        held = []
        for port in live.ports.values():
            for _ in range(40):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                stack.callback(writer.close)
                held.append((port, reader))
        async with asyncio.timeout(10):
            for port, reader in held:
                if port == live.rtmp_port:
                    assert await reader.read() == b"", "cut after the handshake's time"


async def test_slow_clients(live: LiveClass):
    async with live.unharmed(), contextlib.AsyncExitStack() as stack:
        head = b"GET /health HTTP/1.1\r\nX-Slow: "
        slow = []
        for port in live.ports.values():
            for _ in range(20):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                stack.callback(writer.close)
                writer.write(head if port != live.rtmp_port else b"\x03")
                slow.append((port, reader, writer))
        rtmp = [reader for port, reader, _ in slow if port == live.rtmp_port]

        async def all_cut() -> bool:
            for _, _, writer in slow:
                if not writer.is_closing():
                    writer.write(b"a")
            return all(reader.at_eof() or reader.exception() for reader in rtmp)

        await eventually(all_cut, 10, "slow handshakes are cut")
        async with live.session.get(live.node["api_url"] + "/health/readiness") as response:
            assert response.status == 200


HUGE = {
    "path": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "query": b"GET /health?" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "header": b"GET /health HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    "header name": b"GET /health HTTP/1.1\r\nHost: a\r\n" + b"a" * 100_000 + b": b\r\n\r\n",
    "many headers": b"GET /health HTTP/1.1\r\nHost: a\r\n" + b"a: b\r\n" * 50_000 + b"\r\n",
    "token": b"GET /v/" + b"a" * 7000 + b"/stream/index.m3u8 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "endless": b"GET /health HTTP/1.1\r\nHost: a\r\nX: " + b"a" * (8 << 20),
}


@pytest.mark.parametrize("kind", HUGE)
async def test_huge_requests(live: LiveClass, kind: str):
    async with live.unharmed():
        for name in ("http", "media"):
            answer, _ = await say(live.ports[name], HUGE[kind])
            statuses = re.findall(rb"HTTP/1\.[01] (\d+)", answer)
            assert not answer or statuses[0] in (b"400", b"401", b"404", b"414", b"431"), (name, answer[:200])
            assert len(answer) < 4000


NEXT = b"GET /health/liveness HTTP/1.1\r\nHost: smuggled\r\n\r\n"
POST = b"POST /api/token HTTP/1.1\r\nHost: a\r\n"
SMUGGLED = {
    "length and chunks": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + NEXT,
    "two lengths": POST + b"Content-Length: 0\r\nContent-Length: 48\r\n\r\n" + NEXT,
    "signed length": POST + b"Content-Length: +0\r\n\r\n" + NEXT,
    "list of lengths": POST + b"Content-Length: 0, 48\r\n\r\n" + NEXT,
    "unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n" + NEXT,
    "two codings": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + NEXT,
    "blank before colon": POST + b"Content-Length : 48\r\n\r\n" + NEXT,
    "folded": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + NEXT,
    "bare line feed in chunks": POST + b"Transfer-Encoding: chunked\r\n\r\n0\n\r\n" + NEXT,
    "chunk size": POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n" + NEXT,
    "huge chunk size": POST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n" + NEXT,
    "carriage returns": b"POST /api/token HTTP/1.1\rHost: a\r\r" + NEXT,
}


@pytest.mark.parametrize("kind", SMUGGLED)
async def test_a_second_request_is_never_smuggled(live: LiveClass, kind: str):
    async with live.unharmed():
        answer, _ = await say(live.ports["http"], SMUGGLED[kind])
        assert b"alive" not in answer, answer
        assert answer.count(b"HTTP/1.1 ") <= 1


# -- publishers -------------------------------------------------------------------------------------------------------


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


async def view(live: LiveClass, name: str, token: str) -> dict:
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
            found = await view(live, name, token)
            return found["state"] == "live" and found["stream"]["dropped_samples"] >= 500

        await eventually(counted, what="the dropped samples are counted")
        assert lines(live.node, "video_before_key_frame_dropped", name) == 1
        for index in range(90):
            is_key = index % 30 == 0
            peer.send(video(stream_id, 17_000 + index * 33, KEY_FRAME if is_key else INTER_FRAME, key=is_key))
        await eventually(lambda: playlist(live, name, token), what="it plays from its first key frame on")


def lines(node: AirnodeProcess, event: str, room: str) -> int:
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
        assert lines(live.node, "timestamps_jumped", name) == 1
        durations = [float(each) for each in re.findall(r"#EXTINF:([\d.]+)", await playlist(live, name, token))]
        assert durations
        assert max(durations) < 15
        assert ends(live.node, remote) == []
    assert (await the_end(live.node, remote))["room"] == name


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
        assert ends(live.node, remote) == []


def long_string(size: int) -> bytes:
    """Return the start of an AMF0 long string of this claimed size."""
    return b"\x0c" + struct.pack(">I", size) + b"x" * 100


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"\x06" + bytes(3) + b"\xff\xff\xff" + b"\x09" + bytes(4) + bytes(128), id="16 MB message"),
        pytest.param(chunk(20, amf0.encode(("@setDataFrame", 1.0)) + long_string(100 << 20)), id="100 MB string"),
        pytest.param(chunk(1, struct.pack(">I", 0x7FFFFFFF), csid=2), id="2 GB chunks"),
        pytest.param(chunk(1, struct.pack(">I", 0), csid=2), id="empty chunks"),
        pytest.param(
            b"".join(
                bytes([0x40 - 0x40, csid]) + bytes(3) + b"\0\1\0\x09" + bytes(4) + bytes(128) for csid in range(200)
            ),
            id="200 chunk streams",
        ),
        pytest.param(chunk(20, amf0.encode(("x", 1.0)) + b"\x03\0\1a" * 5000), id="deep AMF"),
    ],
)
async def test_claimed_sizes_without_the_bytes(live: LiveClass, room: tuple[str, str, str], sent: bytes):
    name, key, _ = room
    async with live.unharmed():
        errors = await live.metric("airnode_rtmp_protocol_errors_total")
        async with publisher(live, key) as (peer, _, remote):
            peer.send(sent)
            assert await peer.closes()
        line = await the_end(live.node, remote)
        assert line["level"] == "warning"
        assert (line["room"], bool(line["reason"]), bool(line["detail"])) == (name, True, True)
        assert await live.metric("airnode_rtmp_protocol_errors_total") == errors + 1


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
