"""A reader of ``live.mp4`` that is independent of the writer."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from struct import unpack_from

import aiohttp

from tests.support import bmff
from tests.support.waiting import eventually

VIDEO, AUDIO = 1, 2
_NTP_EPOCH_S = 2_208_988_800


@dataclass
class Fragment:
    """The samples of one moof and mdat, and the wall clock of its prft (unix seconds; 0: there is none)."""

    tracks: dict[int, list[bmff.Sample]]
    unix_s: float
    media_time: int

    @property
    def key(self) -> bool:
        return VIDEO in self.tracks and self.tracks[VIDEO][0].sync


@dataclass
class Stream:
    """A parsed stream. ``inits``: (number of fragments before it, its bytes)."""

    inits: list[tuple[int, bytes]] = field(default_factory=list)
    fragments: list[Fragment] = field(default_factory=list)

    def samples(self, track: int) -> list[bmff.Sample]:
        return [sample for fragment in self.fragments for sample in fragment.tracks.get(track, [])]


def boxes(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield (type, whole box) of all complete boxes."""
    at = 0
    while at + 8 <= len(data):
        size, kind = unpack_from(">I4s", data, at)
        assert size >= 8, (kind, size)
        if at + size > len(data):
            return
        yield kind.decode(), data[at : at + size]
        at += size


def whole(data: bytes) -> bytes:
    """Return ``data`` without an incomplete box or fragment at its end."""
    kept, pending = [], []
    for kind, box in boxes(data):
        pending.append(box)
        if kind in ("moov", "mdat"):
            kept += pending
            pending = []
    return b"".join(kept)


def prft(box: bytes) -> tuple[float, int]:
    """Return (unix seconds, media time) of a producer reference time box (ISO/IEC 14496-12, 8.16.5)."""
    assert unpack_from(">I", box, 8)[0] >> 24 == 1
    ntp, media_time = unpack_from(">QQ", box, 16)
    return ntp / (1 << 32) - _NTP_EPOCH_S, media_time


def read(data: bytes) -> Stream:
    """Return a parsed stream, which may be cut off. Fail on any box that is unexpected or out of order."""
    stream, ftyp, moof = Stream(), b"", b""
    unix_s, media_time = 0.0, 0
    for kind, box in boxes(data):
        if kind == "ftyp":
            assert not moof
            ftyp = box
        elif kind == "moov":
            assert ftyp
            stream.inits.append((len(stream.fragments), ftyp + box))
            ftyp = b""
        elif kind == "prft":
            unix_s, media_time = prft(box)
        elif kind == "moof":
            assert not moof
            moof = box
        else:
            assert kind == "mdat"
            assert moof
            stream.fragments.append(Fragment(bmff.samples(moof + box), unix_s, media_time))
            moof, unix_s, media_time = b"", 0.0, 0
    return stream


class LiveReader:
    """Reads ``live.mp4`` into memory in the background until it ends or is closed."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url
        self._data = bytearray()
        self._task: asyncio.Task[None] | None = None
        self.headers: dict[str, str] = {}

    async def start(self) -> "LiveReader":
        response = await self._session.get(self._url, timeout=aiohttp.ClientTimeout(total=None))
        assert response.status == 200, await response.text()
        self.headers = dict(response.headers)
        self._task = asyncio.create_task(self._read(response))
        return self

    async def _read(self, response: aiohttp.ClientResponse) -> None:
        async with response:
            async for data in response.content.iter_any():
                self._data += data

    @property
    def data(self) -> bytes:
        return bytes(self._data)

    @property
    def stream(self) -> Stream:
        return read(self.data)

    @property
    def ended(self) -> bool:
        return self._task is not None and self._task.done()

    async def fragments(self, count: int, within_s: float = 20.0) -> Stream:
        """Wait for ``count`` more fragments, and return the whole stream."""
        wanted = len(self.stream.fragments) + count
        await eventually(lambda: len(self.stream.fragments) >= wanted, within_s, f"{count} fragments come")
        return self.stream

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
