"""A publisher that speaks the protocol of docs/browser-ingest.md, in place of the studio page."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import aiohttp

from airnode.media.browser.framing import AUDIO, CODECS, CONFIG, VIDEO
from airnode.media.frames import CodecRecord, Frame, IngestEvent
from airnode.media.rtmp.flv import FlvDemuxer
from tests.support.flvfile import read_tags

PROTOCOL = "airnode.publish.v1"
_NUMBERS = {name: number for number, name in CODECS.items()}


def config(codec: str, record: bytes) -> bytes:
    """Return the message of a configuration."""
    return bytes((CONFIG, _NUMBERS[codec])) + record


def video(at_us: int, data: bytes, *, key: bool = False) -> bytes:
    """Return the message of a video frame."""
    return bytes((VIDEO, key)) + at_us.to_bytes(6, "big") + data


def audio(at_us: int, data: bytes) -> bytes:
    """Return the message of an AAC frame or Opus packet."""
    return bytes((AUDIO, 0)) + at_us.to_bytes(6, "big") + data


def message_of(event: IngestEvent) -> bytes | None:
    """Return the message of an event of another ingest; None: there is none."""
    if isinstance(event, CodecRecord):
        return config(event.codec, event.record)
    if not isinstance(event, Frame):
        return None
    at_us = event.dts_90k * 100 // 9
    return video(at_us, event.data, key=event.is_key) if event.track == "video" else audio(at_us, event.data)


def clip_messages(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (time in ms, message) of an FLV file without B-frames."""
    demuxer = FlvDemuxer()
    for kind, stamp_ms, body in read_tags(path):
        events: list[IngestEvent] = []
        if kind in (8, 9):
            events = (demuxer.video if kind == 9 else demuxer.audio)(stamp_ms, body, 0.0)
        for event in events:
            message = message_of(event)
            if message is not None:
                yield stamp_ms, message


class BrowserPublisher:
    """One connection.

    Attributes:
        answers: the server's messages so far, without acknowledgements.
        acked: the last acknowledgement.
        close_code: of the ended connection; None: it is open.
    """

    def __init__(self, session: aiohttp.ClientSession, ws: aiohttp.ClientWebSocketResponse) -> None:
        self._session = session
        self.ws = ws
        self.answers: list[dict] = []
        self.acked: dict = {"messages": 0, "bytes": 0}
        self.close_code: int | None = None
        self._tasks = [asyncio.create_task(self._read())]

    @classmethod
    async def connect(cls, url: str, **kwargs) -> "BrowserPublisher":
        session = aiohttp.ClientSession()
        try:
            ws = await session.ws_connect(url, protocols=(PROTOCOL,), **kwargs)
        except BaseException:
            await session.close()
            raise
        return cls(session, ws)

    async def publish(self, key: str, **fields: str) -> None:
        await self.ws.send_str(json.dumps({"type": "publish", "key": key, **fields}))

    def answer(self, kind: str) -> dict | None:
        """Return the first answer of a kind."""
        return next((each for each in self.answers if each["type"] == kind), None)

    def send_in_real_time(self, messages: Iterator[tuple[int, bytes]]) -> None:
        self._tasks.append(asyncio.create_task(self._send(messages)))

    async def aclose(self) -> None:
        """Cut the connection."""
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await task
        await self._session.close()

    async def _send(self, messages: Iterator[tuple[int, bytes]]) -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        for at_ms, message in messages:
            wait_s = began_s + at_ms / 1000 - loop.time()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            if self.ws.closed:
                return
            await self.ws.send_bytes(message)

    async def _read(self) -> None:
        async for message in self.ws:
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            answer = json.loads(message.data)
            if answer["type"] == "ack":
                self.acked = answer
            else:
                self.answers.append(answer)
        self.close_code = self.ws.close_code
