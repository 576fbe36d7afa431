"""A publisher that sends FLV tags in real time, as a test has changed them."""

import asyncio
import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from airnode.media.rtmp import amf0
from tests.support.node import AirnodeProcess, Classroom
from tests.support.rtmp import RtmpPublisher, chunk

CHUNK_BYTES = 60_000
_CSIDS = {8: 4, 9: 6}


@dataclass(frozen=True)
class Tag:
    """One message at its time. ``raw``: the bytes of chunks, in place of a message."""

    kind: int
    at_ms: int
    body: bytes
    stream_id: int | None = None
    raw: bool = False


def raw(at_ms: int, data: bytes) -> Tag:
    """Return bytes that are sent as they are."""
    return Tag(0, at_ms, data, raw=True)


@dataclass
class TagPublisher:
    """Publishes into a class until its tags end or :meth:`stop`.

    Attributes:
        statuses: the information objects of the server's statuses, after the start.
        sent: all tags are sent.
        ended: the server ended the publish.
    """

    classroom: AirnodeProcess | Classroom
    tags: Iterable[Tag]
    key: str | None = None
    app: str = "live"
    started: str = ""
    statuses: list[dict] = field(default_factory=list)
    sent: bool = False
    ended: bool = False

    async def start(self) -> "TagPublisher":
        port = int(self.classroom["rtmp_server"].rpartition(":")[2].split("/")[0])
        self._peer = await RtmpPublisher.connect(port)
        key = self.classroom["stream_key"] if self.key is None else self.key
        self._stream_id, self.started = await self._peer.publish(key, self.app)
        self._reading = asyncio.create_task(self._read())
        self._sending = asyncio.create_task(self._send())
        return self

    async def stop(self) -> None:
        for task in (self._sending, self._reading):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await task
        await self._peer.aclose()

    async def _read(self) -> None:
        with contextlib.suppress(ConnectionError):
            while (message := await self._peer.message()) is not None:
                values = amf0.decode(message.payload) if message.type_id == 20 else [""]
                if values[0] == "onStatus":
                    assert isinstance(values[3], dict)
                    self.statuses.append(values[3])
        self.ended = True

    async def _send(self) -> None:
        loop = asyncio.get_running_loop()
        self._peer.send(chunk(1, CHUNK_BYTES.to_bytes(4, "big"), csid=2))
        began_s = loop.time()
        for tag in self.tags:
            wait_s = began_s + tag.at_ms / 1000 - loop.time()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            if self.ended:
                return
            self._peer.send(tag.body if tag.raw else self._message(tag))
            with contextlib.suppress(ConnectionError):
                await self._peer.writer.drain()
        self.sent = True

    def _message(self, tag: Tag) -> bytes:
        stream_id = self._stream_id if tag.stream_id is None else tag.stream_id
        return chunk(
            tag.kind,
            tag.body,
            timestamp_ms=tag.at_ms & 0xFFFFFFFF,
            stream_id=stream_id,
            csid=_CSIDS.get(tag.kind, 5),
            chunk_size_bytes=CHUNK_BYTES,
        )
