"""Reading one path of MediaMTX: its LL-HLS, taken apart into samples as the parts appear.

Each rendition is followed by blocking reloads, and each part is fetched once. The secret of MediaMTX's CDN hook goes
along, so there are no sessions, cookies and redirects; viewers' tokens never come near it.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote, urljoin

import aiohttp
import structlog

from airnode.errors import AirnodeError
from airnode.kernel.tasks import TaskScope
from airnode.media.frames import AudioConfig, Frame, MediaEvent, TrackKind
from airnode.media.mediamtx.fmp4 import Fmp4Demuxer
from airnode.media.mediamtx.interleave import Interleaver
from airnode.media.mediamtx.metrics import MediaMtxMetrics
from airnode.media.mediamtx.playlist import (
    MuxerRestarted,
    ParsedPlaylist,
    PlaylistCursor,
    PlaylistItem,
    parse_media_playlist,
    parse_multivariant_playlist,
)

log = structlog.get_logger(__name__)

_RETRY_S = 0.3
#: Between two looks at a playlist that cannot be waited for, or that has nothing new.
_POLL_S = 0.1
#: MediaMTX answers a blocked reload when the part is there, or never when the publisher has stopped.
_TIMEOUT_S = 15.0
_CONNECT_S = 3.0
_MAX_PLAYLIST_BYTES = 4 << 20
_MAX_OBJECT_BYTES = 64 << 20

Push = Callable[[Sequence[MediaEvent], int], None]


class _ReadFailed(Exception):
    """This attempt is over; another one may do better."""


class _Rendition:
    """One media playlist that is followed. ``items``: what of it is to be fetched next."""

    def __init__(self, uri: str, playlist: ParsedPlaylist) -> None:
        self.uri = uri
        self.playlist = playlist
        self.cursor = PlaylistCursor()
        self.items = self.cursor.take(playlist)
        self.demuxer: Fmp4Demuxer | None = None
        self._init = ""

    def needs(self, item: PlaylistItem) -> bool:
        """Whether another initialization section comes first."""
        return self.demuxer is None or item.init != self._init

    def begin(self, item: PlaylistItem, init: bytes) -> list[MediaEvent]:
        """Take it; the configurations of its tracks."""
        self.demuxer, self._init = Fmp4Demuxer(init), item.init
        return [track.config for track in self.demuxer.tracks]


class PathReader:
    """Reads a path until it is cancelled.

    Args:
        base_url: of MediaMTX's HLS. secret: its ``hlsCDNSecret``.
        push: takes samples in order; what it raises ends the reading.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        path: str,
        secret: str,
        metrics: MediaMtxMetrics,
        push: Push,
        *,
        room: str,
    ) -> None:
        self._session = session
        self._base = f"{base_url}/{quote(path)}/"
        self._headers = {"Authorization": f"Bearer {secret}"}
        self._metrics = metrics
        self._push = push
        self._log = log.bind(room=room)

    async def run(self) -> None:
        """Read; begin anew whenever something is wrong with what comes.

        Raises:
            AirnodeError: what ``push`` raised, or a codec is not carried.
        """
        said = ""
        while True:
            try:
                await self._attempt()
            except (_ReadFailed, MuxerRestarted, ValueError) as error:
                reason = str(error) or type(error).__name__
                if reason != said:
                    self._log.info("mediamtx_reading_failed", reason=reason)
                said = reason
                await asyncio.sleep(_RETRY_S)

    async def _attempt(self) -> None:
        """From the multivariant playlist to whatever ends it."""
        uris = parse_multivariant_playlist(await self._text("index.m3u8"))
        renditions = [_Rendition(uri, parse_media_playlist(await self._text(uri))) for uri in uris]
        configs: list[MediaEvent] = []
        for rendition in renditions:
            if not rendition.items:
                raise _ReadFailed("there is no media yet")
            configs += await self._begin(rendition, rendition.items[0])
        self._push(configs, 0)
        together = Interleaver({_kind(config) for config in configs})
        scope = TaskScope("mediamtx-renditions")
        try:
            following = [scope.spawn("follow", self._ended(each, together)) for each in renditions]
            done, _ = await asyncio.wait(following, return_when=asyncio.FIRST_COMPLETED)
            raise next(iter(done)).result()
        finally:
            await scope.aclose()

    async def _ended(self, rendition: _Rendition, together: Interleaver) -> Exception:
        """Follow it; what ended that, which is no failure of the task."""
        try:
            while True:
                await self._fetch(rendition, together)
                await self._reload(rendition)
        except (_ReadFailed, MuxerRestarted, ValueError, AirnodeError) as error:
            return error

    async def _fetch(self, rendition: _Rendition, together: Interleaver) -> None:
        """Fetch what is listed, and pass on what it brings."""
        for item in rendition.items:
            events: list[MediaEvent] = await self._begin(rendition, item) if rendition.needs(item) else []
            body = await self._get(item.name, {}, _MAX_OBJECT_BYTES)
            self._metrics.received.inc(len(body))
            if rendition.demuxer is not None:
                events += rendition.demuxer.read(body, time.time())
            ready: list[MediaEvent] = []
            kinds: tuple[TrackKind, ...] = ("video", "audio")
            for kind in kinds:
                if mine := [event for event in events if _kind(event) == kind]:
                    ready += together.add(kind, mine)
            self._push(ready, len(body))

    async def _reload(self, rendition: _Rendition) -> None:
        """Wait for something new."""
        if rendition.playlist.ended:
            raise _ReadFailed("the playlist has ended")
        query = rendition.cursor.query(rendition.playlist)
        if not query or not rendition.items:
            await asyncio.sleep(_POLL_S)
        rendition.playlist = parse_media_playlist(await self._text(rendition.uri, query))
        lost = rendition.cursor.lost
        rendition.items = rendition.cursor.take(rendition.playlist)
        if rendition.cursor.lost > lost:
            self._metrics.lost.inc(rendition.cursor.lost - lost)
            self._log.warning("mediamtx_segments_lost", count=rendition.cursor.lost - lost)

    async def _begin(self, rendition: _Rendition, item: PlaylistItem) -> list[MediaEvent]:
        if not item.init:
            raise ValueError("a media playlist without an initialization section")
        return rendition.begin(item, await self._get(item.init, {}, _MAX_OBJECT_BYTES))

    async def _text(self, uri: str, query: Mapping[str, str] | None = None) -> str:
        return (await self._get(uri, query or {}, _MAX_PLAYLIST_BYTES)).decode()

    async def _get(self, uri: str, query: Mapping[str, str], limit: int) -> bytes:
        url = urljoin(self._base, uri)
        if not url.startswith(self._base):
            raise ValueError("a playlist names what is not beside it")
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S, sock_connect=_CONNECT_S)
        try:
            async with self._session.get(
                url, params=query, headers=self._headers, timeout=timeout, allow_redirects=False
            ) as response:
                self._check(response.status)
                if (response.content_length or 0) > limit:
                    raise _ReadFailed(f"{response.content_length} bytes, which is more than {limit}")
                return await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self._metrics.failures.labels("hls").inc()
            raise _ReadFailed(f"MediaMTX does not answer: {error!r}") from error

    def _check(self, status: int) -> None:
        if status == 200:
            return
        if status != 404:
            self._metrics.failures.labels("hls").inc()
        if 300 <= status < 400:
            raise _ReadFailed("MediaMTX wants a session instead of hlsCDNSecret: it must be 1.18.1 or later")
        raise _ReadFailed(f"MediaMTX answers {status}")


def _kind(event: MediaEvent) -> TrackKind:
    if isinstance(event, Frame):
        return event.track
    return "audio" if isinstance(event, AudioConfig) else "video"
