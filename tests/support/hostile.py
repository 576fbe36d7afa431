"""A live class with a viewer, while a test sends bad input to its node."""

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator

import aiohttp
import psutil

from tests.support.ffmpeg import Publisher
from tests.support.node import AirnodeProcess
from tests.support.waiting import eventually

AVCC = bytes.fromhex("0142c01effe100196742c01eda0280bfe5c044000003000400000300f03c58ba8001000468ce0fc8")

KEY_FRAME = b"\0\0\0\2\x65\x88"

INTER_FRAME = b"\0\0\0\2\x41\x9a"

#: Longest pause between two parts of 200 ms on a busy machine.
LONGEST_PAUSE_S = 4.0

MOST_MEMORY_BYTES = 64 << 20


class LiveClass:
    """A class with a publisher, and a viewer that fetches one part after another."""

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
            elif response.status != 404:  # the request was too late
                self.errors.append(f"{hint[1]}: {response.status} {body[:200]!r}")

    async def metric(self, name: str) -> float:
        """Return the sum of the metric over all labels."""
        async with self.session.get(self.node["api_url"] + "/metrics") as response:
            text = await response.text()
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.M))

    @contextlib.asynccontextmanager
    async def unharmed(self) -> AsyncIterator[None]:
        """Check after the block: parts arrived without a long pause, the log has no error, memory has not grown."""
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


async def make_class(node: AirnodeProcess, session: aiohttp.ClientSession, room: str) -> tuple[str, str]:
    """Return the stream key and a teacher's token of a new class."""
    headers = {"Authorization": f"Bearer {node['teacher_secret']}", "X-Forwarded-For": "198.19.0.1"}
    url, fields = node["api_url"] + "/api/classes", {"title": room, "room": room}
    async with session.post(url, json=fields, headers=headers) as response:
        assert response.status == 201, await response.text()
    fields = {"user_type": "teacher", "user_id": "t", "room": room}
    async with session.post(node["api_url"] + "/api/token", json=fields, headers=headers) as response:
        body = await response.json()
        return body["stream_key"], body["token"]


async def send_and_read(port: int, data: bytes, within_s: float = 10) -> tuple[bytes, str]:
    """Send bytes and an end of input. Return the whole answer, and our address as the server logs it."""
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


#: {node: length of its log when the test began}. A connection may reuse the port of an earlier test.
LOG_FROM: dict[AirnodeProcess, int] = {}


def logged_ends(node: AirnodeProcess, remote: str) -> list[dict]:
    """Return the log lines about the end of the RTMP connection from ``remote``."""
    log = node.log[LOG_FROM[node] :]
    lines = [line for line in log.splitlines() if "rtmp_connection_ended" in line and f'"{remote}"' in line]
    return [json.loads(line) for line in lines]


async def logged_end(node: AirnodeProcess, remote: str) -> dict:
    """Return the only log line about it."""
    await eventually(lambda: logged_ends(node, remote), what=f"the end of {remote} is logged")
    (line,) = logged_ends(node, remote)
    return line
