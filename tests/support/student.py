"""A student without a screen, who moves as the page does: joins, plays, and asks for another place when the node dies.

The media clock is the decode time of what came; it is read from the media itself.
"""

import asyncio
import contextlib
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import aiohttp

from tests.support import bmff
from tests.support.follower import Follower, Refused
from tests.support.livemp4 import boxes
from tests.support.waiting import eventually

#: As the page has them: first pause, longest pause, tries of live.mp4 on one node.
_BASE_S, _CAP_S, _TRIES = 0.6, 6.0, 2
_RETRY_S = 0.25
_READ_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Tick:
    """New media: when it came (monotonic seconds), from which node, and its decode time in that timeline."""

    at_s: float
    node_id: str
    media_s: float


class Moved(Exception):
    """This node gives nothing more: another place is needed."""


class Student:
    """Plays in the background until it is closed.

    Attributes:
        ticks: the media clock as it went on. places: node ids in the order in which they were given.
        refusals: (status, Retry-After) of refused requests for a place.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        api_url: str,
        code: str,
        user_id: str,
        path: Literal["hls", "live"] = "live",
    ) -> None:
        self._session = session
        self._api_url = api_url
        self._path = path
        self._ask = {"user_type": "student", "user_id": user_id, "code": code}
        self._grant: dict[str, Any] = {}
        self._task: asyncio.Task[None] | None = None
        self.user_id = user_id
        self.ticks: list[Tick] = []
        self.places: list[str] = []
        self.refusals: list[tuple[int, str | None]] = []

    async def start(self) -> "Student":
        await self._place(None)
        self._task = asyncio.create_task(self._live_on())
        return self

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            if not self._task.cancelled() and (error := self._task.exception()):
                raise error

    @property
    def node_id(self) -> str:
        return self.places[-1]

    async def plays(self, *, after_s: float = 0.0, ticks: int = 5, away_from: str = "", within_s: float = 30) -> None:
        """Wait for media that came after a moment, from any node but this one."""

        def found() -> bool:
            assert self._task is not None
            if self._task.done():
                self._task.result()
            return len(self.since(after_s, away_from)) >= ticks

        await eventually(found, within_s, f"{self.user_id} plays ({self.places}, {self.refusals[-3:]})")

    def since(self, after_s: float, away_from: str = "") -> list[Tick]:
        return [tick for tick in self.ticks if tick.at_s > after_s and tick.node_id != away_from]

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
            await self._place(self.node_id)

    async def _place(self, avoid: str | None) -> None:
        """Ask until there is a place."""
        attempt = 0
        while True:
            body = self._ask | ({"avoid": avoid} if avoid else {})
            headers = {"Authorization": f"Bearer {self._grant['token']}"} if self._grant else {}
            try:
                async with self._session.post(f"{self._api_url}/api/token", json=body, headers=headers) as response:
                    if response.status == 200:
                        self._grant = await response.json()
                        self.places.append(self._grant["node_id"])
                        return
                    retry_after = response.headers.get("Retry-After")
                    self.refusals.append((response.status, retry_after))
                    assert response.status == 503, await response.text()
            except aiohttp.ClientError:
                self.refusals.append((0, None))
                retry_after = None
            await asyncio.sleep(max(_jittered(attempt), float(retry_after or 0)))
            attempt += 1

    def _url(self, name: str) -> str:
        base = self._grant["hls_url"].partition("/live/")[0]
        return f"{base}/v/{self._grant['token']}/{self._grant['room']}/{name}"

    def _tick(self, fragment: bytes, timescale: int = 90_000) -> None:
        samples = bmff.samples(fragment).get(1)
        if samples:
            self.ticks.append(Tick(time.monotonic(), self.node_id, samples[-1].time / timescale))

    async def _hls(self) -> None:
        follower = Follower(self._session, self._url("media.m3u8"), taken=self._tick, patience=4, at_once=True)
        await follower.run()

    async def _live(self) -> None:
        failures = 0
        while failures < _TRIES:
            before = len(self.ticks)
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                await self._read_live()
            failures = 0 if len(self.ticks) > before else failures + 1
            await asyncio.sleep(_RETRY_S * random.uniform(0.5, 1.5))
        raise Moved

    async def _read_live(self) -> None:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=3, sock_read=_READ_TIMEOUT_S)
        async with self._session.get(self._url("live.mp4"), timeout=timeout) as response:
            if response.status != 200:
                return
            pending, moof = b"", b""
            async for data in response.content.iter_any():
                pending += data
                for kind, box in boxes(pending):
                    if kind == "moof":
                        moof = box
                    elif kind == "mdat":
                        self._tick(moof + box)
                    pending = pending[len(box) :]


def _jittered(attempt: int) -> float:
    step = min(_CAP_S, _BASE_S * 2**attempt)
    return step / 2 + step / 2 * random.random()


def recoveries(students: Sequence[Student], died_s: float, node_id: str) -> Iterator[float]:
    """For each student who was on the node: seconds until new media came from another node."""
    for student in students:
        before = [tick for tick in student.ticks if tick.at_s <= died_s]
        if before and before[-1].node_id == node_id:
            yield student.since(died_s, node_id)[0].at_s - died_s


def told(what: str, took_s: Sequence[float]) -> str:
    """One line for the test's output."""
    return f"{what}: {len(took_s)} students, p50 {statistics.median(took_s):.2f} s, max {max(took_s):.2f} s"
