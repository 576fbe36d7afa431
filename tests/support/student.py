"""A student without a browser, who acts as the page does: joins, plays, and requests another place when the node dies.

The media clock is the decode time of the received media, read from the media itself.
"""

import asyncio
import math
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import aiohttp
from yarl import URL

from tests.support import bmff
from tests.support.background import Background
from tests.support.follower import Follower, Refused
from tests.support.livemp4 import VIDEO, boxes, prft

#: The values of the page: first pause, longest pause, tries of live.mp4 on one node, and the pause between these tries.
_BASE_S, _CAP_S, _TRIES, _RETRY_S = 0.6, 6.0, 2, 0.25
_CONNECT_S, _ASK_S = 3.0, 10.0
_TIMESCALE_HZ = 90_000


@dataclass(frozen=True, slots=True)
class Tick:
    """New video: its time of arrival (monotonic seconds), its node, and its decode time in that node's timeline.

    ``late_s``: delay since the origin received it, known only for live.mp4.
    """

    at_s: float
    node: str
    media_s: float
    late_s: float = math.inf


class Moved(Exception):
    """This node does not deliver media any more: another place is needed."""


class Student:
    """Plays in the background until it is stopped.

    Args:
        silence_s: it gives up a live.mp4 response without data for this long.

    Attributes:
        ticks: the media clock over time. places: names of the nodes that the student got, in order.
        refusals: (sender, status, Retry-After or error) of answers that were neither a place nor media.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        api_url: str,
        code: str,
        user_id: str = "mina",
        path: Literal["hls", "live"] = "live",
        *,
        silence_s: float = 10.0,
    ) -> None:
        self._session = session
        self._api_url = api_url
        self._path = path
        self._silence_s = silence_s
        self._asked = {"user_type": "student", "user_id": user_id, "code": code}
        self._place: dict[str, Any] = {}
        self._task = Background()
        self.user_id = user_id
        self.ticks: list[Tick] = []
        self.places: list[str] = []
        self.refusals: list[tuple[str, int, str | None]] = []

    async def start(self, place: dict[str, Any] | None = None) -> "Student":
        """Begin to play, and return self; ``place``: an earlier answer of a master, if there is one."""
        self._sit(place or await self._ask())
        self._task.start(self._live_on())
        return self

    async def stop(self) -> None:
        await self._task.stop()

    @property
    def node(self) -> str:
        return self.places[-1]

    def __str__(self) -> str:
        return f"{self.user_id} plays ({len(self.ticks)} ticks, at {self.places}, refused {self.refusals[-5:]})"

    async def plays(
        self,
        *,
        after_s: float | None = None,
        ticks: int = 5,
        away_from: str = "",
        at: str = "",
        late_s: float = math.inf,
        within_s: float = 30,
    ) -> None:
        """Wait for ``ticks`` ticks, at most ``late_s`` late, after ``after_s`` (default: now).

        Args:
            at: only on this node. away_from: only on other nodes than this.
        """
        begin_s = time.monotonic() if after_s is None else after_s

        def enough() -> bool:
            fresh = self.since(begin_s, away_from)
            return sum(at in ("", tick.node) and tick.late_s <= late_s for tick in fresh) >= ticks

        await self._task.until(enough, within_s, self)

    def since(self, after_s: float, away_from: str = "") -> list[Tick]:
        return [tick for tick in self.ticks if tick.at_s > after_s and tick.node != away_from]

    # -- as the page does ---------------------------------------------------------------------------------------------

    async def _live_on(self) -> None:
        attempt = 0
        while True:
            before = len(self.ticks)
            try:
                await (self._hls() if self._path == "hls" else self._live())
            except (aiohttp.ClientError, TimeoutError, Refused, Moved):
                attempt = 0 if len(self.ticks) > before else attempt + 1
            await asyncio.sleep(_jittered(attempt))
            self._sit(await self._ask(avoid=self._place["node_id"]))

    def _sit(self, place: dict[str, Any]) -> None:
        self._place = place
        self.places.append(place["node_name"])

    async def _ask(self, **fields: str) -> dict[str, Any]:
        """Return a place; repeat the request until a master gives one."""
        attempt = 0
        while True:
            retry_after = None
            try:
                async with self._session.post(
                    f"{self._api_url}/api/token",
                    json=self._asked | fields,
                    headers={"Authorization": f"Bearer {self._place['token']}"} if self._place else {},
                    timeout=aiohttp.ClientTimeout(total=_ASK_S),
                ) as response:
                    if response.status == 200:
                        return dict(await response.json())
                    assert response.status == 503, await response.text()
                    retry_after = response.headers.get("Retry-After")
                    self.refusals.append(("master", response.status, retry_after))
            except (aiohttp.ClientError, TimeoutError) as error:
                self.refusals.append(("master", 0, repr(error)))
            await asyncio.sleep(max(_jittered(attempt), float(retry_after or 0)))
            attempt += 1

    def _url(self, name: str) -> URL:
        return URL(self._place["hls_url"]).origin() / "v" / self._place["token"] / self._place["room"] / name

    def _tick(self, fragment: bytes, late_s: float = math.inf) -> None:
        if video := bmff.samples(fragment).get(VIDEO):
            self.ticks.append(Tick(time.monotonic(), self.node, video[-1].time / _TIMESCALE_HZ, late_s))

    async def _hls(self) -> None:
        url = str(self._url("media.m3u8"))
        await Follower(self._session, url, taken=self._tick, patience=4, at_once=True).run()

    async def _live(self) -> None:
        failures = 0
        while failures < _TRIES:
            before = len(self.ticks)
            try:
                await self._read_live()
            except (aiohttp.ClientError, TimeoutError) as error:
                self.refusals.append((self.node, 0, repr(error)))
            failures = 0 if len(self.ticks) > before else failures + 1
            await asyncio.sleep(_RETRY_S * random.uniform(0.5, 1.5))
        raise Moved

    async def _read_live(self) -> None:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=self._silence_s)
        async with self._session.get(self._url("live.mp4"), timeout=timeout) as response:
            if response.status != 200:
                assert response.status in (404, 503), (self.node, response.status, await response.text())
                self.refusals.append((self.node, response.status, response.headers.get("Retry-After")))
                return
            pending, unix_s, moof = b"", 0.0, b""
            async for data in response.content.iter_any():
                pending += data
                for kind, box in boxes(pending):
                    pending = pending[len(box) :]
                    if kind == "prft":
                        unix_s = prft(box)[0]
                    elif kind == "moof":
                        moof = box
                    elif kind == "mdat":
                        self._tick(moof + box, time.time() - unix_s)


def _jittered(attempt: int) -> float:
    step = min(_CAP_S, _BASE_S * 2**attempt)
    return step / 2 + step / 2 * random.random()


def recoveries(students: Sequence[Student], died_s: float, node: str) -> Iterator[float]:
    """Yield for each student of the node the seconds until new media came from another node."""
    for student in students:
        before = [tick for tick in student.ticks if tick.at_s <= died_s]
        if before and before[-1].node == node:
            yield student.since(died_s, node)[0].at_s - died_s


def told(what: str, took_s: Sequence[float]) -> str:
    """Return one line for the test's output."""
    return f"{what}: {len(took_s)} students, p50 {statistics.median(took_s):.2f} s, max {max(took_s):.2f} s"
