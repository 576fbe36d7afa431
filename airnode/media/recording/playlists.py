"""Answers with playlists of recordings: each is rendered or fetched, and compressed, once for all viewers."""

import asyncio
import gzip
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from aiohttp import web

from airnode.media.hls.window import PLAYLIST_TYPE
from airnode.media.recording.catalog import Recording, RecordingCatalog
from airnode.media.recording.playlist import is_settled, render
from airnode.media.recording.remote_recordings import RecordingLocation, RemoteRecordings

#: A playlist of another node is fetched again after this time.
_FRESH_S = 1.0
#: Most playlists that are kept.
_KEPT = 256
#: Shorter playlists are not compressed.
_GZIP_MIN_BYTES = 1024


@dataclass(slots=True)
class _CachedPlaylist:
    """A cached playlist.

    Attributes:
        fresh_until_s: loop time until which a playlist of another node is not fetched again.
        state: of the index when the playlist was rendered.
    """

    body: bytes = b""
    gzipped: bytes = b""
    fresh_until_s: float = float("-inf")
    state: tuple[object, ...] = ()
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Playlists:
    """The playlists of recordings on this node and on other nodes."""

    def __init__(self, catalog: RecordingCatalog, remote_recordings: RemoteRecordings) -> None:
        self._catalog = catalog
        self._remote_recordings = remote_recordings
        #: {recording_id: playlist}, least recently requested first.
        self._texts: OrderedDict[str, _CachedPlaylist] = OrderedDict()

    async def own(self, request: web.Request, recording: Recording) -> web.Response:
        """Return a response with the playlist of a recording on this node."""
        index = await self._catalog.index(recording)
        now_unix_s = time.time()
        state = (len(index.segments), index.ended is not None, is_settled(index, now_unix_s))
        text = self._text(recording.recording_id)
        if text.state != state:
            text.body, text.gzipped, text.state = render(index, now_unix_s), b"", state
        return await self._answer(request, text)

    async def other(self, request: web.Request, recording_id: str, location: RecordingLocation) -> web.Response:
        """Return a response with the playlist of a recording on another node."""
        text, loop = self._text(recording_id), asyncio.get_running_loop()
        async with text.lock:
            if loop.time() >= text.fresh_until_s:
                body = await self._remote_recordings.playlist(location)
                if body != text.body:
                    text.body, text.gzipped, text.state = body, b"", ()
                text.fresh_until_s = loop.time() + _FRESH_S
        return await self._answer(request, text)

    def _text(self, recording_id: str) -> _CachedPlaylist:
        text = self._texts.setdefault(recording_id, _CachedPlaylist())
        self._texts.move_to_end(recording_id)
        while len(self._texts) > _KEPT:
            self._texts.popitem(last=False)
        return text

    async def _answer(self, request: web.Request, text: _CachedPlaylist) -> web.Response:
        headers = {"Content-Type": PLAYLIST_TYPE, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        body = text.body
        if len(body) < _GZIP_MIN_BYTES or "gzip" not in request.headers.get("Accept-Encoding", ""):
            return web.Response(body=body, headers=headers)
        gzipped = text.gzipped
        if not gzipped:
            gzipped = await self._catalog.threads.run(gzip.compress, body, 5)
            if text.body is body:
                text.gzipped = gzipped
        return web.Response(body=gzipped, headers={**headers, "Content-Encoding": "gzip"})
