"""The load generator as a process: ``python -m tests.bench.loadgen``, with orders as JSON on standard input.

It prints ``steady`` when all viewers play, measures for ``seconds``, and prints its result as one line of JSON. Then
the viewers play uncounted until its standard input closes, so that the bench can measure the node with all of them.
"""

import asyncio
import contextlib
import json
import os
import re
import sys
import time
from array import array
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import uvloop

from tests.bench.http1 import Answer, HttpConnection
from tests.bench.meters import quantile

_PART = re.compile(rb'#EXT-X-PART:[^\n]*?URI="([^"]+)"[^\n]*')
_INIT = re.compile(rb'#EXT-X-MAP:URI="([^"]+)"')
_NUMBER = {name: re.compile(name + rb"[:=](\d+)") for name in (b"MEDIA-SEQUENCE", b"SKIPPED-SEGMENTS")}
#: Number of playlists whose first arrival is remembered.
_REMEMBERED = 200
_REDIRECTS = 5
#: Where the system allows it.
_NICE = -10


class Listing(NamedTuple):
    """The values of a media playlist that a low-latency client needs; ``msn``, ``part``: of its next request."""

    msn: int
    part: int
    parts: tuple[str, ...]
    independent: int
    init: str


@lru_cache(maxsize=64)
def read_listing(playlist: bytes) -> Listing:
    """Return the listing of a media playlist or a delta update. Cached: all viewers get the same bytes."""
    first, skipped = (_number(playlist, name) for name in (b"MEDIA-SEQUENCE", b"SKIPPED-SEGMENTS"))
    found = list(_PART.finditer(playlist))
    open_from = playlist.rfind(b"#EXTINF")
    key_frames = [index for index, each in enumerate(found) if b"INDEPENDENT=YES" in each[0]]
    init = _INIT.search(playlist)
    return Listing(
        first + skipped + playlist.count(b"#EXTINF"),
        sum(each.start() > open_from for each in found),
        tuple(each[1].decode() for each in found),
        key_frames[-1] if key_frames else 0,
        init[1].decode() if init else "",
    )


def _number(playlist: bytes, name: bytes) -> int:
    found = _NUMBER[name].search(playlist)
    return int(found[1]) if found else 0


@dataclass
class Tally:
    """The results of all viewers of this process since the measurement began."""

    requests: int = 0
    received_bytes: int = 0
    playlists: int = 0
    parts: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    #: Seconds from the playlist that lists a part to the part's last byte.
    part_s: "array[float]" = field(default_factory=lambda: array("d"))
    #: Seconds by which a viewer's playlist came after the first viewer's playlist with the same newest part.
    late_s: "array[float]" = field(default_factory=lambda: array("d"))
    first_s: OrderedDict[str, float] = field(default_factory=OrderedDict)

    def took(self, answer: Answer) -> None:
        self.requests += 1
        self.received_bytes += answer.size

    def listed(self, newest: str, now_s: float) -> None:
        self.playlists += 1
        self.late_s.append(now_s - self.first_s.setdefault(newest, now_s))
        if len(self.first_s) > _REMEMBERED:
            self.first_s.popitem(last=False)

    def result(self, seconds: float) -> dict[str, Any]:
        return {
            "seconds": seconds,
            "requests": self.requests,
            "received_bytes": self.received_bytes,
            "playlists": self.playlists,
            "parts": self.parts,
            "errors": dict(self.errors),
            "part_ms": _quantiles_ms(self.part_s),
            "playlist_late_ms": _quantiles_ms(self.late_s),
        }


def _quantiles_ms(values: "array[float]") -> dict[str, float | None]:
    found = sorted(values)
    names = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {name: round(quantile(found, q) * 1000, 2) if found else None for name, q in names.items()}


class Viewer:
    """Plays as hls.js does: requests the next playlist as soon as one arrived, and fetches parts one by one.

    Times come from the system clock: uvloop's clock does not advance within one turn of the loop.
    """

    def __init__(self, host: str, port: int, entry: str, house: "House") -> None:
        self._at = (host, port)
        self._entry = entry
        #: The folder of the playlists, set by the redirects from the entry.
        self._base = ""
        #: The query of every URI: MediaMTX puts the viewer's session there. Empty: there is none.
        self._query = ""
        self._house = house
        self._wanted: asyncio.Queue[tuple[str, float]] = asyncio.Queue(maxsize=64)

    async def run(self) -> None:
        """Watch without end; count each failure and start again."""
        while True:
            try:
                await self._watch()
            except (OSError, asyncio.QueueFull) as error:
                self._house.tally.errors[type(error).__name__] += 1
                await asyncio.sleep(0.5)

    async def _watch(self) -> None:
        lists, media = await HttpConnection.open(*self._at), await HttpConnection.open(*self._at)
        fetching = asyncio.create_task(self._fetch(media))
        try:
            await self._follow(lists)
        finally:
            fetching.cancel()
            await asyncio.gather(fetching, return_exceptions=True)
            lists.close()
            media.close()

    async def _enter(self, lists: HttpConnection) -> str:
        """Follow the redirects from the entry to the multivariant playlist. Return the media playlist's URI."""
        path = self._entry
        for _ in range(_REDIRECTS):
            answer = await self._get(lists, path, keep=True, expect=(200, 302))
            if answer.status == 302:
                path = answer.location
                continue
            self._base = path.partition("?")[0].rpartition("/")[0] + "/"
            media = next((line for line in answer.body.splitlines() if line and not line.startswith(b"#")), b"")
            return media.decode()
        raise OSError("there are too many redirects")

    async def _follow(self, lists: HttpConnection) -> None:
        uri = await self._enter(lists)
        media, mark, session = (self._base + uri).partition("?")
        self._query = mark + session
        joint = "&" if session else "?"
        query, seen = "", ""
        while True:
            answer = await self._get(lists, media + self._query + query, keep=True)
            if answer.status != 200:
                await asyncio.sleep(0.25)
                query = ""
                continue
            now_s = time.monotonic()
            # Without the session all viewers have the same bytes, which are read only once.
            listing = read_listing(answer.body.replace(self._query.encode(), b"") if session else answer.body)
            self._house.tally.listed(listing.parts[-1] if listing.parts else "", now_s)
            seen = self._want(listing, seen, now_s)
            query = f"{joint}_HLS_msn={listing.msn}&_HLS_part={listing.part}&_HLS_skip=YES"

    def _want(self, listing: Listing, seen: str, now_s: float) -> str:
        """Queue the parts after ``seen``, and return the last part.

        If ``seen`` is empty, queue the init section and the parts from the last key frame on.
        """
        parts = listing.parts
        fresh = parts[parts.index(seen) + 1 :] if seen in parts else parts[listing.independent :]
        if not seen and listing.init:
            self._wanted.put_nowait((listing.init, now_s))
        for name in fresh:
            self._wanted.put_nowait((name, now_s))
        return parts[-1] if parts else seen

    async def _fetch(self, media: HttpConnection) -> None:
        while True:
            name, listed_s = await self._wanted.get()
            answer = await self._get(media, self._base + name + self._query)
            if answer.status == 200 and "_part" in name:
                self._house.played(self, time.monotonic() - listed_s)

    async def _get(
        self, connection: HttpConnection, path: str, *, keep: bool = False, expect: tuple[int, ...] = (200,)
    ) -> Answer:
        answer = await connection.get(path, keep=keep)
        self._house.tally.took(answer)
        if answer.status not in expect:
            self._house.tally.errors[f"http {answer.status}"] += 1
        return answer


class House:
    """All viewers, their results, and those that play."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.playing: set[Viewer] = set()

    def played(self, viewer: Viewer, took_s: float) -> None:
        self.playing.add(viewer)
        self.tally.parts += 1
        self.tally.part_s.append(took_s)


async def watch(orders: dict[str, Any]) -> None:
    """Start the viewers over ``ramp_s``, report ``steady``, and measure."""
    house, entries = House(), orders["entries"]
    tasks = []
    for entry in entries:
        viewer = Viewer(orders["host"], orders["port"], entry, house)
        tasks.append(asyncio.create_task(viewer.run()))
        await asyncio.sleep(orders["ramp_s"] / len(entries))
    async with asyncio.timeout(30):
        while len(house.playing) < len(entries):
            await asyncio.sleep(0.05)
    await asyncio.sleep(orders["warm_s"])
    joining_errors = dict(house.tally.errors)
    house.tally = Tally()
    _emit({"event": "steady", "joining_errors": joining_errors})
    await asyncio.sleep(orders["seconds"])
    _emit({"event": "result", **house.tally.result(orders["seconds"])})
    await asyncio.to_thread(sys.stdin.read)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def hammer(orders: dict[str, Any]) -> None:
    """Request one path repeatedly on many connections."""
    host, port, path = orders["host"], orders["port"], orders["path"]
    tally, loop = Tally(), asyncio.get_running_loop()
    connections = [await HttpConnection.open(host, port) for _ in range(orders["connections"])]
    _emit({"event": "steady"})
    until_s = loop.time() + orders["seconds"]

    async def ask(connection: HttpConnection) -> None:
        while loop.time() < until_s:
            answer = await connection.get(path)
            tally.took(answer)
            if answer.status != 200:
                tally.errors[f"http {answer.status}"] += 1

    await asyncio.gather(*(ask(connection) for connection in connections))
    _emit({"event": "result", **tally.result(orders["seconds"])})
    for connection in connections:
        connection.close()


def _emit(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


def main() -> None:
    # A generator that waits for a core would measure itself.
    with contextlib.suppress(PermissionError):
        os.nice(_NICE)
    orders = json.loads(sys.stdin.readline())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run({"watch": watch, "hammer": hammer}[orders["do"]](orders))


if __name__ == "__main__":
    main()
