"""A student of ``live.mp4`` who may begin at any node, is as patient as a test wants, and knows how late frames are."""

import asyncio
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import aiohttp
from yarl import URL

from tests.support import bmff
from tests.support.hls import read_media
from tests.support.livemp4 import VIDEO, boxes, prft
from tests.support.waiting import eventually

#: The page gives up a response on which nothing comes for so long.
_SILENCE_S = 4.0
_CONNECT_S = 3.0
_PAUSE_S = 0.3


@dataclass(frozen=True)
class Seen:
    """A fragment with video: when it came (monotonic seconds), how late, from which node, and the media clock."""

    at_s: float
    late_s: float
    node: str
    media_time: int


class Watcher:
    """Watches one class in the background, wherever it can.

    Args:
        silence_s: it gives up a response on which nothing comes for so long.

    Attributes:
        seen: what came, in order. places: names of the nodes that were given, in order. refusals: answers of nodes and
            masters that were no media.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        api_url: str,
        code: str,
        user_id: str = "mina",
        *,
        silence_s: float = _SILENCE_S,
    ) -> None:
        self._session = session
        self._silence_s = silence_s
        self._api_url = api_url
        self._asked = {"user_type": "student", "user_id": user_id, "code": code}
        self._token = ""
        self._task: asyncio.Task[None] | None = None
        self.seen: list[Seen] = []
        self.places: list[str] = []
        self.refusals: list[tuple[str, int, str]] = []

    async def start(self, place: dict[str, Any] | None = None) -> "Watcher":
        """Begin to watch; at ``place`` if it is given."""
        self._task = asyncio.create_task(self._watch(place))
        return self

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            if not self._task.cancelled() and (error := self._task.exception()):
                raise error

    async def plays(self, within_s: float = 20.0, *, fragments: int = 10, node: str = "", late_s: float = 1e9) -> None:
        """Wait for so many more fragments; of one node, and not later than so."""
        begin = len(self.seen)

        def found() -> bool:
            assert self._task is not None
            if self._task.done():
                self._task.result()
            fresh = [seen for seen in self.seen[begin:] if node in ("", seen.node) and seen.late_s <= late_s]
            return len(fresh) >= fragments

        try:
            await eventually(found, within_s, f"{fragments} fragments come")
        except AssertionError as error:
            raise AssertionError(f"{error}; {self}") from None

    def longest_gap_s(self, since_s: float) -> float:
        """The longest time without a fragment, from ``since_s`` (monotonic) until now."""
        times = [since_s, *(seen.at_s for seen in self.seen if seen.at_s > since_s), time.monotonic()]
        return max(after - before for before, after in pairwise(times))

    def __str__(self) -> str:
        return f"{len(self.seen)} fragments, places {self.places}, refused {self.refusals[-5:]}"

    async def _watch(self, place: dict[str, Any] | None) -> None:
        while True:
            if place is None:
                place = await self._ask("")
            self.places.append(place["node_name"])
            while await self._play(place):
                pass  # the response ended well: the class may come from elsewhere by now, to the same node
            place = await self._ask(place["node_id"])

    async def _ask(self, avoid: str) -> dict[str, Any]:
        while True:
            headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
            try:
                async with self._session.post(
                    f"{self._api_url}/api/token", json={**self._asked, "avoid": avoid}, headers=headers,
                    timeout=aiohttp.ClientTimeout(total=_SILENCE_S),
                ) as response:  # fmt: skip
                    body = await response.json()
                    if response.status == 200:
                        return dict(body)
                    await self._refused("master", response, str(body))
            except (aiohttp.ClientError, TimeoutError) as error:
                self.refusals.append(("master", 0, repr(error)))
                await asyncio.sleep(_PAUSE_S)

    async def _play(self, place: dict[str, Any]) -> bool:
        """Play at one place; whether media came and ended well."""
        self._token = place["token"]
        url = URL(place["hls_url"]).origin() / "v" / self._token / place["room"] / "live.mp4"
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=self._silence_s)
        before = len(self.seen)
        try:
            async with self._session.get(url, timeout=timeout) as response:
                if response.status != 200:
                    await self._refused(place["node_name"], response, await response.text())
                    return False
                await self._read(response, place["node_name"])
        except (aiohttp.ClientError, TimeoutError) as error:
            self.refusals.append((place["node_name"], 0, repr(error)))
            return False
        return len(self.seen) > before

    async def _refused(self, who: str, response: aiohttp.ClientResponse, text: str) -> None:
        assert response.status in (404, 503), (who, response.status, text)
        self.refusals.append((who, response.status, text))
        await asyncio.sleep(float(response.headers.get("Retry-After", _PAUSE_S)))

    async def _read(self, response: aiohttp.ClientResponse, node: str) -> None:
        buffer, unix_s, moof = b"", 0.0, b""
        async for data in response.content.iter_any():
            buffer += data
            for kind, box in boxes(buffer):
                buffer = buffer[len(box) :]
                if kind == "prft":
                    unix_s = prft(box)[0]
                elif kind == "moof":
                    moof = box
                elif kind == "mdat" and VIDEO in (tracks := bmff.samples(moof + box)):
                    late_s = time.time() - unix_s
                    self.seen.append(Seen(time.monotonic(), late_s, node, tracks[VIDEO][-1].time))


class Reloader:
    """A player of whole segments, for bad links: takes the newest segment, and skips what it comes too late for.

    Attributes:
        msns: segments that were listed, as they were seen first. taken: those that were fetched whole.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = URL(url)
        self._task: asyncio.Task[None] | None = None
        self.msns: list[int] = []
        self.taken: list[int] = []

    async def start(self) -> "Reloader":
        self._task = asyncio.create_task(self._reload())
        return self

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            if not self._task.cancelled() and (error := self._task.exception()):
                raise error

    async def takes(self, count: int, within_s: float = 20.0) -> None:
        """Wait for so many more segments."""
        wanted = len(self.taken) + count

        def found() -> bool:
            assert self._task is not None
            if self._task.done():
                self._task.result()
            return len(self.taken) >= wanted

        await eventually(found, within_s, f"{count} more segments come")

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
        """The body; None: not now, or not any more."""
        async with self._session.get(url) as response:
            body = await response.read()
            if response.status == 200:
                return body
            assert response.status in (404, 503), (url.name, response.status, body)
            await asyncio.sleep(float(response.headers.get("Retry-After", _PAUSE_S)))
            return None
