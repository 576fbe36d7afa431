"""A clip with frame numbers in its picture, and a publisher that records when each frame was sent."""

import asyncio
import contextlib
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.ffmpeg import Publisher, clock_filter, make_clip
from tests.support.flvfile import read_tags
from tests.support.rtmp import RtmpPublisher, chunk

#: Long enough for all measurements by frame number, and short enough for the 12 bits of the number (136 s).
CLIP_S = 90
_CHUNK_BYTES = 4096
_SET_CHUNK_SIZE = 1
_AUDIO, _VIDEO = 8, 9
_ENCODING = (
    "-vf",
    clock_filter() + ",scale=1280:720,noise=alls=8:allf=t",
    "-profile:v",
    "main",
    "-coder",
    "1",
    "-bf",
    "0",
    "-b:v",
    "2500k",
    "-maxrate",
    "2500k",
    "-bufsize",
    "1250k",
    "-b:a",
    "128k",
)


def bench_clip(directory: Path) -> Path:
    """Return a clip: 720p30 H.264 main, one key frame per second, 2.5 Mbit/s, AAC 128 kbit/s; encoded once and kept."""
    directory.mkdir(parents=True, exist_ok=True)
    return make_clip(directory / f"clip-720p30-{CLIP_S}s.flv", CLIP_S, extra=_ENCODING)


def without_sound(clip: Path) -> Path:
    """Return the clip without its sound; it is made once."""
    path = clip.with_name(clip.stem + "-silent.flv")
    if not path.exists():
        command = ["ffmpeg", "-v", "error", "-y", "-i", str(clip), "-an", "-c", "copy", str(path)]
        subprocess.run(command, check=True)
    return path


def loop_publisher(url: str, clip: Path) -> Publisher:
    """Return ``ffmpeg -re -c copy`` with the clip in an endless loop: it does not encode during a measurement."""
    return Publisher(url, "-stream_loop", "-1", "-re", "-i", str(clip), "-c", "copy")


class TimedPublisher:
    """Sends each tag of the clip at its time, as an encoder would.

    Attributes:
        sent_s: {frame number: unix seconds at which its last byte was given to the socket}.
    """

    def __init__(self, rtmp_url: str, clip: Path) -> None:
        self._url = urlsplit(rtmp_url)
        self._clip = clip
        self.sent_s: dict[int, float] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._peer: RtmpPublisher | None = None

    async def start(self) -> "TimedPublisher":
        app, _, key = self._url.path.strip("/").partition("/")
        assert self._url.port is not None
        self._peer = await RtmpPublisher.connect(self._url.port)
        stream_id, status = await self._peer.publish(key, app)
        assert status == "NetStream.Publish.Start", status
        self._peer.send(chunk(_SET_CHUNK_SIZE, _CHUNK_BYTES.to_bytes(4, "big"), csid=2))
        self._tasks = [
            asyncio.create_task(self._send(self._peer, stream_id)),
            asyncio.create_task(self._hear(self._peer)),
        ]
        return self

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._peer is not None:
            await self._peer.aclose()

    async def _send(self, peer: RtmpPublisher, stream_id: int) -> None:
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        for kind, stamp_ms, body in read_tags(self._clip):
            await asyncio.sleep(max(0.0, started_s + stamp_ms / 1000 - loop.time()))
            csid = {_AUDIO: 4, _VIDEO: 6}.get(kind, 5)
            peer.send(
                chunk(kind, body, timestamp_ms=stamp_ms, stream_id=stream_id, csid=csid, chunk_size_bytes=_CHUNK_BYTES)
            )
            if kind == _VIDEO and body[1] == 1:
                self.sent_s[len(self.sent_s)] = time.time()
            await peer.writer.drain()

    async def _hear(self, peer: RtmpPublisher) -> None:
        """Read and drop the server's messages."""
        with contextlib.suppress(ConnectionError):
            while await peer.message() is not None:
                pass
