"""Viewers of a media playlist: one for LL-HLS that fetches each part once, and one for whole segments on bad links."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp
from yarl import URL

from tests.support.background import Background
from tests.support.hls import Media, SegmentLines, read_media

_PAUSE_S = 0.3


class Refused(AssertionError):
    """An answer after which a player gives up."""


@dataclass
class Run:
    """The fetched parts of one initialization section."""

    init: bytes
    parts: list[bytes] = field(default_factory=list)


class Follower:
    """Follows a media playlist by blocking reload in the background, from its present end on, and keeps all parts.

    Attributes:
        msns: numbers of finished segments, in order of appearance. errors: statuses that a player would retry.

    Args:
        taken: called with each part. patience: number of refusals (503) in a row that end it; 0: no limit.
        at_once: begin with the open segment, not with the next whole one.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        *,
        taken: Callable[[bytes], None] = lambda part: None,
        patience: int = 0,
        at_once: bool = False,
    ) -> None:
        self._session = session
        self._url = url
        self._base = url.rpartition("/")[0]
        self._taken = taken
        self._patience = patience
        self._at_once = at_once
        self._refused = 0
        self._task = Background()
        self._seen: set[str] = set()
        self.runs: list[Run] = []
        self._init_name = ""
        self.msns: list[int] = []
        self.errors: list[int] = []
        self.reloads = 0
        self.media_playlist = Media()

    async def start(self) -> "Follower":
        self._task.start(self.run())
        return self

    async def stop(self) -> None:
        await self._task.stop()

    def media(self, run: int = 0) -> bytes:
        """Return the initialization section with all its parts, as playable media."""
        return self.runs[run].init + b"".join(self.runs[run].parts)

    @property
    def parts(self) -> int:
        return sum(len(run.parts) for run in self.runs)

    async def more_parts(self, count: int, within_s: float = 20) -> None:
        wanted = self.parts + count
        await self._task.until(lambda: self.parts >= wanted, within_s, f"{count} more parts")

    async def segments(self, count: int, within_s: float = 20) -> None:
        await self._task.until(lambda: len(self.msns) >= count, within_s, f"{count} segments")

    async def _get(self, url: str) -> bytes | None:
        """Return the body; None: try again, as players do."""
        async with self._session.get(url) as response:
            body = await response.read()
            if response.status == 200:
                self._refused = 0
                return body
            self._refused += 1
            self.errors.append(response.status)
            if response.status != 503 or self._refused == self._patience:
                raise Refused(url, response.status, body)
            await asyncio.sleep(0.1)
            return None

    async def run(self) -> None:
        """Follow until it is cancelled or fails."""
        query, last_msn = "", -1
        while True:
            text = await self._get(self._url + query)
            if text is None:
                continue
            self.reloads += 1
            playlist = self.media_playlist = read_media(text)
            first = last_msn < 0
            for segment in playlist.segments:
                if segment.msn > last_msn and not segment.gap:
                    if not first:
                        self.msns.append(segment.msn)
                        await self._take(segment)
                    else:
                        self._seen.update(part.uri for part in segment.parts)
            last_msn = max(last_msn, playlist.segments[-1].msn)
            if playlist.open_segment is not None:
                if first and not self._at_once:  # begin with the next whole segment
                    self._seen.update(part.uri for part in playlist.open_segment.parts)
                    last_msn = playlist.open_segment.msn
                elif playlist.open_segment.msn > last_msn:
                    await self._take(playlist.open_segment)
            open_parts = len(playlist.trailing_parts)
            next_msn = playlist.media_sequence + len(playlist.segments)
            query = f"?_HLS_msn={next_msn}&_HLS_part={open_parts}"

    async def _take(self, segment: SegmentLines) -> None:
        for part in segment.parts:
            if part.uri in self._seen:
                continue
            self._seen.add(part.uri)
            if segment.map_uri != self._init_name:
                self._init_name = segment.map_uri
                self.runs.append(Run(await self._must(f"{self._base}/{segment.map_uri}")))
            data = await self._must(f"{self._base}/{part.uri}")
            self.runs[-1].parts.append(data)
            self._taken(data)

    async def _must(self, url: str) -> bytes:
        while (body := await self._get(url)) is None:
            continue
        return body


class Reloader:
    """Plays whole segments in the background: fetches the newest segment, and skips those that it is too late for.

    Attributes:
        msns: listed segments, in the order in which they appeared. taken: segments that were fetched whole.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = URL(url)
        self._task = Background()
        self.msns: list[int] = []
        self.taken: list[int] = []

    async def start(self) -> "Reloader":
        self._task.start(self._reload())
        return self

    async def stop(self) -> None:
        await self._task.stop()

    async def takes(self, count: int, within_s: float = 20.0) -> None:
        """Wait for ``count`` more segments."""
        wanted = len(self.taken) + count
        await self._task.until(lambda: len(self.taken) >= wanted, within_s, f"{count} more segments come")

    async def _reload(self) -> None:
        query = {}
        while True:
            text = await self._get(self._url.with_query(query))
            if text is None:
                continue
            playlist = read_media(text)
            listed = [segment for segment in playlist.segments if not segment.gap]
            self.msns += [segment.msn for segment in listed if not self.msns or segment.msn > self.msns[-1]]
            newest = listed[-1]
            if newest.msn not in self.taken and await self._get(self._url.with_query({}).with_name(newest.uri)):
                self.taken.append(newest.msn)
            query = {"_HLS_msn": str(newest.msn + 1)}

    async def _get(self, url: URL) -> bytes | None:
        """Return the body; None: it is not there yet, or no more."""
        async with self._session.get(url) as response:
            body = await response.read()
            if response.status == 200:
                return body
            assert response.status in (404, 503), (url.name, response.status, body)
            await asyncio.sleep(float(response.headers.get("Retry-After", _PAUSE_S)))
            return None
