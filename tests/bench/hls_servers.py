"""The two servers that :mod:`tests.bench.hls` compares, behind one interface."""

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.bench import Bench
from tests.bench.http1 import HttpConnection
from tests.bench.meters import ProcessMeter
from tests.bench.report import Skipped

_CONFIG = """
logLevel: warn
rtmpAddress: 127.0.0.1:{rtmp}
hlsAddress: 127.0.0.1:{hls}
hlsAlwaysRemux: yes
rtsp: no
srt: no
webrtc: no
moq: no
paths:
  all_others:
"""
_START_S = 15.0


@dataclass
class LowLatencyServer:
    """A server that a publisher can reach.

    Attributes:
        at: host and port of its LL-HLS.
        entries: returns the paths with which so many viewers enter.
        live: waits until its playlist can be fetched.
    """

    name: str
    rtmp_url: str
    at: tuple[str, int]
    meter: ProcessMeter
    entries: Callable[[int], list[str]]
    live: Callable[[], Awaitable[None]]


@asynccontextmanager
async def airnode_server(bench: Bench) -> AsyncIterator[LowLatencyServer]:
    """Yield a fresh airnode with its defaults."""
    async with bench.node() as node:
        yield LowLatencyServer("airnode", node.process["rtmp_url"], node.media, node.meter, node.entries, node.live)


@asynccontextmanager
async def mediamtx_server(bench: Bench) -> AsyncIterator[LowLatencyServer]:
    """Yield a fresh MediaMTX with its defaults for LL-HLS.

    Raises:
        Skipped: no ``mediamtx`` is on PATH.
    """
    program = shutil.which("mediamtx")
    if program is None:
        raise Skipped("there is no mediamtx on PATH")
    rtmp, hls = _free_ports()
    directory = bench.data_dir()
    directory.mkdir(parents=True)
    config = directory / "mediamtx.yml"
    config.write_text(_CONFIG.format(rtmp=rtmp, hls=hls))
    with (directory / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(program, str(config), stdout=log, stderr=log, cwd=directory)
    try:
        await _until(lambda: _answers("/none/index.m3u8", hls, {302, 404}), directory / "log")
        yield LowLatencyServer(
            "MediaMTX",
            f"rtmp://127.0.0.1:{rtmp}/stream",
            ("127.0.0.1", hls),
            ProcessMeter(process.pid),
            lambda count: ["/stream/index.m3u8"] * count,
            lambda: _until(lambda: _answers("/stream/index.m3u8?cookieCheck=1", hls, {200}), directory / "log"),
        )
    finally:
        process.terminate()
        await process.wait()


SERVERS = (airnode_server, mediamtx_server)


async def _answers(path: str, port: int, statuses: set[int]) -> bool:
    try:
        connection = await HttpConnection.open("127.0.0.1", port)
    except OSError:
        return False
    try:
        async with asyncio.timeout(5):
            return (await connection.get(path)).status in statuses
    except (TimeoutError, OSError):
        return False
    finally:
        connection.close()


async def _until(check: Callable[[], Awaitable[bool]], log: Path) -> None:
    try:
        async with asyncio.timeout(_START_S):
            while not await check():
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise RuntimeError(f"MediaMTX did not answer in {_START_S:g} s: {log.read_text()[-500:]}") from None


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        for sock in (first, second):
            sock.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]
