"""Reads one path of MediaMTX: fetches the parts of its LL-HLS and demuxes them into samples.

Each rendition is followed with blocking reloads, and each part is fetched once. Requests contain MediaMTX's
``hlsCDNSecret``, so no sessions, cookies or redirects are needed. Viewers' tokens are never sent to MediaMTX.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote, urljoin

import aiohttp
import structlog

from airnode.errors import AirnodeError
from airnode.kernel.tasks import TaskScope
from airnode.media.frames import CodecRecord, Frame, IngestEvent, TrackKind
from airnode.media.mediamtx.api import MediaMtxMetrics
from airnode.media.mediamtx.fmp4 import Fmp4Demuxer
from airnode.media.mediamtx.interleave import Interleaver
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
#: Time between two requests of a playlist without blocking reload, or without new items.
_POLL_S = 0.1
#: MediaMTX answers a blocking reload when the part exists. If the publisher has stopped, it never answers.
_TIMEOUT_S = 15.0
_CONNECT_TIMEOUT_S = 3.0
_MAX_PLAYLIST_BYTES = 4 << 20
_MAX_OBJECT_BYTES = 64 << 20

Push = Callable[[Sequence[IngestEvent], int], None]


class _ReadFailed(Exception):
    """This attempt to read has failed; the reader tries again."""


class _Rendition:
    """One media playlist that is followed.

    Attributes:
        items: parts and segments to fetch next.
        listed_s: unix time at which the items were listed: their last one was complete then.
    """

    def __init__(self, uri: str, playlist: ParsedPlaylist) -> None:
        self.uri = uri
        self.cursor = PlaylistCursor()
        self.update(playlist)
        self.demuxer: Fmp4Demuxer | None = None
        self._init = ""

    def update(self, playlist: ParsedPlaylist) -> None:
        """Replace the playlist, and list its new items."""
        self.playlist = playlist
        self.listed_s = time.time()
        self.items = self.cursor.take(playlist)

    def arrived_s(self, index: int) -> float:
        """Return the unix time at which the first frame of an item arrived at MediaMTX.

        The items of the first playlist are up to one segment old. If they had the time of their arrival here, all later
        items would have a time in the future (EXT-X-PROGRAM-DATE-TIME).
        """
        return self.listed_s - sum(item.duration_s for item in self.items[index:])

    def needs_init(self, item: PlaylistItem) -> bool:
        """Return whether the item needs another initialization section than the current one."""
        return self.demuxer is None or item.init != self._init

    def begin(self, item: PlaylistItem, init: bytes) -> list[IngestEvent]:
        """Return the configurations of the tracks in a new initialization section, which is used from now on."""
        self.demuxer, self._init = Fmp4Demuxer(init), item.init
        return [CodecRecord(track.config.codec, track.config.record) for track in self.demuxer.tracks]


class PathReader:
    """Reads a path until it is cancelled.

    Args:
        base_url: the URL of MediaMTX's HLS.
        secret: MediaMTX's ``hlsCDNSecret``.
        push: receives the samples in order; its errors end the reader.
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
        """Read the path; start again after each error in the playlists or the media.

        Raises:
            AirnodeError: ``push`` raised it, or a codec is not supported.
        """
        logged_reason = ""
        while True:
            try:
                await self._attempt()
            except (_ReadFailed, MuxerRestarted, ValueError) as error:
                reason = str(error) or type(error).__name__
                if reason != logged_reason:
                    self._log.info("mediamtx_reading_failed", reason=reason)
                logged_reason = reason
                await asyncio.sleep(_RETRY_S)

    async def _attempt(self) -> None:
        """Fetch the multivariant playlist, then read its renditions until an error."""
        uris = parse_multivariant_playlist(await self._text("index.m3u8"))
        renditions = [_Rendition(uri, parse_media_playlist(await self._text(uri))) for uri in uris]
        configs: list[IngestEvent] = []
        for rendition in renditions:
            if not rendition.items:
                raise _ReadFailed("there is no media yet")
            configs += await self._begin(rendition, rendition.items[0])
        self._push(configs, 0)
        interleaver = Interleaver({_kind(config) for config in configs})
        scope = TaskScope("mediamtx-renditions")
        try:
            following = [scope.spawn("follow", self._follow(each, interleaver)) for each in renditions]
            done, _ = await asyncio.wait(following, return_when=asyncio.FIRST_COMPLETED)
            raise next(iter(done)).result()
        finally:
            await scope.aclose()

    async def _follow(self, rendition: _Rendition, interleaver: Interleaver) -> Exception:
        """Return the error that ended the reading of a rendition; it is no failure of the task."""
        try:
            while True:
                await self._fetch(rendition, interleaver)
                await self._reload(rendition)
        except (_ReadFailed, MuxerRestarted, ValueError, AirnodeError) as error:
            return error

    async def _fetch(self, rendition: _Rendition, interleaver: Interleaver) -> None:
        """Fetch the listed items, and push their samples as far as the other track allows."""
        for index, item in enumerate(rendition.items):
            events: list[IngestEvent] = await self._begin(rendition, item) if rendition.needs_init(item) else []
            body = await self._get(item.name, {}, _MAX_OBJECT_BYTES)
            self._metrics.received.inc(len(body))
            if rendition.demuxer is not None:
                events += rendition.demuxer.read(body, rendition.arrived_s(index))
            ready: list[IngestEvent] = []
            kinds: tuple[TrackKind, ...] = ("video", "audio")
            for kind in kinds:
                if of_kind := [event for event in events if _kind(event) == kind]:
                    ready += interleaver.add(kind, of_kind)
            self._push(ready, len(body))

    async def _reload(self, rendition: _Rendition) -> None:
        """Wait for new items."""
        if rendition.playlist.ended:
            raise _ReadFailed("the playlist has ended")
        query = rendition.cursor.query(rendition.playlist)
        if not query or not rendition.items:
            await asyncio.sleep(_POLL_S)
        playlist = parse_media_playlist(await self._text(rendition.uri, query))
        lost_before = rendition.cursor.lost_segments
        rendition.update(playlist)
        lost_segments = rendition.cursor.lost_segments - lost_before
        if lost_segments > 0:
            self._metrics.lost.inc(lost_segments)
            self._log.warning("mediamtx_segments_lost", count=lost_segments)

    async def _begin(self, rendition: _Rendition, item: PlaylistItem) -> list[IngestEvent]:
        if not item.init:
            raise ValueError("a media playlist without an initialization section")
        return rendition.begin(item, await self._get(item.init, {}, _MAX_OBJECT_BYTES))

    async def _text(self, uri: str, query: Mapping[str, str] | None = None) -> str:
        return (await self._get(uri, query or {}, _MAX_PLAYLIST_BYTES)).decode()

    async def _get(self, uri: str, query: Mapping[str, str], max_bytes: int) -> bytes:
        url = urljoin(self._base, uri)
        if not url.startswith(self._base):
            raise ValueError("a playlist names what is not beside it")
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S, sock_connect=_CONNECT_TIMEOUT_S)
        try:
            async with self._session.get(
                url, params=query, headers=self._headers, timeout=timeout, allow_redirects=False
            ) as response:
                self._check(response.status)
                if (response.content_length or 0) > max_bytes:
                    raise _ReadFailed(f"{response.content_length} bytes, which is more than {max_bytes}")
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


def _kind(event: IngestEvent) -> TrackKind:
    if isinstance(event, Frame):
        return event.track
    return "audio" if isinstance(event, CodecRecord) and event.codec in ("aac", "opus") else "video"
