"""Rooms that come from another node: pulled once, however many watch here (docs/adr/0008).

While somebody watches, one blocking reload is open at the origin, and each part is fetched once, as soon as the
playlist hints at it. ``live.mp4`` is one response of the origin, taken apart and given out through the same feed as at
the origin. When the origin changes, what is open is dropped and the new one is asked; viewers' requests wait meanwhile,
as they do for a slow publisher, and are told to come back after that.

An origin that reports to the cluster and does not answer here is cut off from this node: viewers are sent away, to
nodes that reach it, and this node tells masters so and tries on until the way is whole again.
"""

import asyncio
import random
import time
from collections.abc import Callable

import aiohttp
import structlog
from prometheus_client import CollectorRegistry

from airnode.errors import AirnodeError, InvalidInput, NotFound, Unavailable
from airnode.media.live import LiveFeed
from airnode.media.livesplit import LiveSplitter, Piece
from airnode.media.origins import Origin, Origins
from airnode.media.reach import Reach
from airnode.media.relaywindow import RelayedWindow
from airnode.media.rooms import Rooms
from airnode.media.upstream import NodeToken, RelayMetrics, Upstream, connector
from airnode.media.viewers import Viewers
from airnode.media.waiters import Waiters
from airnode.media.watchable import Asked, WatchableRoom
from airnode.runtime.service import Service
from airnode.runtime.tasks import TaskScope

log = structlog.get_logger(__name__)

_MULTIVARIANT = "index.m3u8"
_SWEEP_S = 0.5
#: An origin reports each second; one that was not heard for this long may be dead, and the way to it whole.
_HEARD_S = 3.0
#: The multivariant playlist tells bit rates, which become known with time.
_MULTIVARIANT_AGE_S = 10.0
_BACKOFF_FIRST_S, _BACKOFF_LAST_S = 0.1, 2.0
#: Plain HLS cannot be waited for.
_POLL_S = 0.5
_FETCH_ATTEMPTS = 3
#: Below all decode times, and below a fragment that has none.
_NOTHING = -2


class Backoff:
    """Pauses that grow, each at random between half of it and all of it; many edges must not come at once."""

    def __init__(self) -> None:
        self._pause_s = _BACKOFF_FIRST_S

    def reset(self) -> None:
        """It went well."""
        self._pause_s = _BACKOFF_FIRST_S

    async def pause(self) -> None:
        """Wait before the next attempt."""
        pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, _BACKOFF_LAST_S)
        await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311 - spreads load, guards nothing


class RelayedRoom:
    """One room of another node, as the media port sees it.

    Args:
        upstream: makes the way to an origin. feed: makes a live feed.
        over: whether the class has ended, as far as is known.
        viewer_window_s: it is also let go when nobody asked for so long.
    """

    def __init__(
        self,
        name: str,
        origin: Origin,
        *,
        upstream: Callable[[str, Origin], Upstream],
        feed: Callable[[], LiveFeed],
        over: Callable[[], bool],
        viewer_window_s: float,
        tasks: TaskScope,
    ) -> None:
        self.name = name
        self.closed = False
        self.cut = False
        self.waiters = Waiters()
        self.viewers = Viewers(viewer_window_s)
        self.window = RelayedWindow(self._fetch)
        self.live = feed()
        self._make_feed = feed
        self._over = over
        self._idle_s = viewer_window_s
        self._make_upstream = upstream
        self._upstream = upstream(name, origin)
        self._tasks = tasks
        self._log = log.bind(room=name)
        #: {what: loop time when somebody asked for it last}.
        self._asked_s: dict[Asked, float] = {}
        self._pulling: dict[Asked, asyncio.Task[None]] = {}
        self._fetching: set[str] = set()
        self._multivariant_s = 0.0
        #: Decode time of the last live fragment.
        self._live_time = -1
        #: Loop time when something new came from the origin last.
        self.came_s = float("-inf")

    # -- viewers ------------------------------------------------------------------------------------------------------

    def asked(self, what: Asked) -> None:
        """A viewer wants it: begin to pull, or go on."""
        self._asked_s[what] = _now_s()
        task = self._pulling.get(what)
        if self.closed or (task is not None and not task.done()):
            return
        if self.window.ended if what == "window" else self.live.ended:
            return
        pull = self._pull_window() if what == "window" else self._pull_live()
        self._pulling[what] = self._tasks.spawn(f"pull-{what}-{self.name}", pull)

    def wanted(self, what: Asked) -> bool:
        """Whether anybody watches it, or would if its origin could be reached."""
        if self.cut or (what == "live" and len(self.live)):
            return True
        return _now_s() - self._asked_s.get(what, float("-inf")) < self._idle_s

    @property
    def idle(self) -> bool:
        """Nobody watches."""
        return not self.wanted("window") and not self.wanted("live")

    # -- its origin ---------------------------------------------------------------------------------------------------

    @property
    def origin_id(self) -> str:
        """The node that it is pulled from."""
        return self._upstream.origin.node_id

    def sever(self, *, on: bool) -> None:
        """The way to its origin is broken, or whole again."""
        if on == self.cut:
            return
        self.cut = on
        if not on:
            self._log.info("relay_restored", origin=self.origin_id)
            return
        self._log.warning("relay_cut", origin=self.origin_id, detail="it reports, and does not answer this node")
        self.live.interrupt()
        self._live_time = -1
        self.waiters.wake()

    def follow(self, origin: Origin) -> None:
        """Pull from there from now on."""
        self._log.info("relay_moved", origin=origin.node_id, epoch=origin.epoch)
        self._upstream = self._make_upstream(self.name, origin)
        self.cut = False
        self.window.ended = False
        self._live_time = -1
        ended, self.live = self.live, self._make_feed()
        was_live = len(ended) > 0
        ended.interrupt()
        pulling, self._pulling = self._pulling, {}
        for what, task in pulling.items():
            task.cancel()
            if self.wanted(what) or (what == "live" and was_live):
                self.asked(what)
        self.waiters.wake()

    def close(self) -> None:
        """The room is gone, or this node has become its origin, or nobody watches."""
        self.closed = True
        for task in self._pulling.values():
            task.cancel()
        self.live.end()
        self.waiters.wake()

    # -- playlists and objects ----------------------------------------------------------------------------------------

    async def _pull_window(self) -> None:
        backoff, follow_on = Backoff(), False
        while self.wanted("window") and not self.window.ended:
            try:
                await self._reload(follow_on=follow_on)
            except (InvalidInput, ValueError) as error:
                follow_on = False
                self._log.warning("relay_playlist_refused", error=str(error), origin=self._upstream.origin.node_id)
                await backoff.pause()
            except (NotFound, Unavailable) as error:
                self._log.info("relay_playlist_failed", error=str(error), origin=self._upstream.origin.node_id)
                await backoff.pause()
            else:
                follow_on = True
                backoff.reset()
        if not self.window.ended:
            self.window.clear()

    async def _reload(self, *, follow_on: bool) -> None:
        """One blocking reload; what it brings is given out at once, and what it names is fetched."""
        window, upstream = self.window, self._upstream
        query, inits = {}, window.inits
        position = window.position
        if follow_on and position is not None:
            if position.blocks:
                query = {"_HLS_msn": str(position.next_msn), "_HLS_part": str(position.open_parts)}
            else:
                await asyncio.sleep(_POLL_S)
        for name in window.update(await upstream.playlist(window.media_uri, query)):
            self._fetch(name)
        now_s = _now_s()
        if window.inits != inits or now_s - self._multivariant_s > _MULTIVARIANT_AGE_S or not window.has_multivariant:
            window.set_multivariant(await upstream.playlist(_MULTIVARIANT, {}))
            self._multivariant_s = now_s
        self.came_s = now_s
        self.waiters.wake()

    def _fetch(self, name: str) -> None:
        """Fetch an object, once."""
        if name not in self._fetching and not self.closed:
            self._fetching.add(name)
            self._tasks.spawn(f"fetch-{name}", self._fetch_object(name))

    async def _fetch_object(self, name: str) -> None:
        backoff = Backoff()
        try:
            for _ in range(_FETCH_ATTEMPTS):
                try:
                    self.window.keep(name, await self._upstream.object(name))
                    return
                except (NotFound, InvalidInput):
                    self.window.miss(name)
                    return
                except Unavailable:
                    await backoff.pause()
        finally:
            self._fetching.discard(name)
            self.waiters.wake()

    # -- live.mp4 -----------------------------------------------------------------------------------------------------

    async def _pull_live(self) -> None:
        backoff = Backoff()
        while self.wanted("live"):
            before = self._live_time
            try:
                await self._read_live()
            except (AirnodeError, ValueError) as error:
                self._log.info("relay_live_failed", error=str(error), origin=self._upstream.origin.node_id)
                if self._over():
                    return self._end_live()
            if self._live_time != before:
                backoff.reset()
            await backoff.pause()
        self.live.interrupt()
        self._live_time = -1

    def _end_live(self) -> None:
        self.live.end()
        self.waiters.wake()

    async def _read_live(self) -> None:
        splitter, seen = LiveSplitter(), self._live_time if self._live_time >= 0 else _NOTHING
        async for kind, data in self._upstream.live():
            for piece in splitter.feed(data):
                seen = self._take(piece, kind, seen)
            if not self.wanted("live"):
                return

    def _take(self, piece: Piece, kind: str, seen: int) -> int:
        """Pass a piece on. What came already before the connection was lost, up to ``seen``, is left out."""
        if piece.fragment is None:
            self.live.renew(piece.init, codecs_of(kind))
            self.waiters.wake()
            return seen
        if piece.time <= seen:
            return seen
        self.came_s = _now_s()
        self.live.take(piece.fragment)
        self._live_time = max(self._live_time, piece.time)
        return _NOTHING


class Relays(Service):
    """The rooms that this node serves: its own, and those of others as long as somebody watches them here.

    Args:
        lost_after_s: an origin that did not answer for this long is out of reach.
    """

    name = "relays"

    def __init__(
        self,
        rooms: Rooms,
        origins: Origins,
        token: NodeToken,
        registry: CollectorRegistry,
        *,
        viewer_window_s: float,
        lost_after_s: float,
        tasks: TaskScope,
    ) -> None:
        super().__init__()
        self._reach = Reach(lost_after_s)
        self._own = rooms
        self._origins = origins
        self._token = token
        self._metrics = RelayMetrics(registry)
        self._viewer_window_s = viewer_window_s
        self._tasks = tasks
        self._session: aiohttp.ClientSession | None = None
        #: {room: it}, of other nodes' rooms that are watched here.
        self._relayed: dict[str, RelayedRoom] = {}
        origins.on_change(self._moved)
        origins.keep_while(self._comes)

    @property
    def draining(self) -> bool:
        """The node is going down."""
        return self._own.draining

    def get(self, name: str) -> WatchableRoom | None:
        """The room, if there is anything to watch anywhere."""
        own = self._own.get(name)
        if own is not None:
            return own
        return self._relayed.get(name) or self._open(name)

    def all(self) -> list[WatchableRoom]:
        """All rooms that are watched here."""
        return [*self._own.all(), *self._relayed.values()]

    def viewers(self) -> int:
        """Viewers of all rooms."""
        now_s = _now_s()
        return sum(room.viewers.count(now_s) for room in self.all())

    def cut_from(self) -> list[str]:
        """Origins that report to the cluster and do not answer here."""
        return sorted({room.origin_id for room in self._relayed.values() if room.cut})

    async def start(self) -> None:
        """Begin to look after rooms that nobody watches any more."""
        self._session = aiohttp.ClientSession(connector=connector())
        self._tasks.spawn("sweep", self._sweep_for_ever())

    async def drain(self) -> None:
        """Release requests that are open, whose players then look for another node."""
        for room in self._relayed.values():
            room.waiters.wake()
            room.live.end()

    async def stop(self) -> None:
        """Let go of all."""
        for room in list(self._relayed.values()):
            self._close(room)
        await self._tasks.aclose()
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self, name: str) -> RelayedRoom | None:
        origin = self._origins.table.origin(name)
        if origin is None or self._session is None or self.draining:
            return None
        room = self._relayed[name] = RelayedRoom(
            name,
            origin,
            upstream=self._upstream,
            feed=self._own.new_feed,
            over=lambda: self._is_over(name),
            viewer_window_s=self._viewer_window_s,
            tasks=self._tasks,
        )
        log.info("relay_opened", room=name, origin=origin.node_id)
        self._metrics.rooms.set(len(self._relayed))
        return room

    def _upstream(self, room: str, origin: Origin) -> Upstream:
        if self._session is None:
            raise Unavailable("This node is shutting down.", retry_after_s=1)
        return Upstream(self._session, self._token, self._metrics, self._reach, room, origin)

    def _is_over(self, name: str) -> bool:
        state = self._origins.table.state(name)
        return state is None or state.phase == "ended"

    def _moved(self, name: str) -> None:
        origin = self._origins.table.origin(name)
        own = self._own.get(name)
        if own is not None and origin is not None and origin.epoch > own.epoch:
            self._own.lose(own, origin.node_id)
        room = self._relayed.get(name)
        if room is None:
            return
        if origin is None:
            self._close(room)
        else:
            self._metrics.moves.inc()
            room.follow(origin)

    def _close(self, room: RelayedRoom) -> None:
        room.close()
        self._relayed.pop(room.name, None)
        self._metrics.rooms.set(len(self._relayed))
        log.info("relay_closed", room=room.name)

    async def _sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            now_s = _now_s()
            for room in list(self._relayed.values()):
                room.sever(on=self._is_cut(room, now_s))
                if room.idle and not room.viewers.count(now_s):
                    self._close(room)
            self._metrics.cut.set(sum(room.cut for room in self._relayed.values()))

    def _comes(self, name: str) -> bool:
        room = self._relayed.get(name)
        return room is not None and _now_s() - room.came_s < _HEARD_S

    def _is_cut(self, room: RelayedRoom, now_s: float) -> bool:
        heard = now_s - self._origins.table.heard_s(room.name) < _HEARD_S
        return heard and self._reach.lost(room.origin_id, time.monotonic())


def codecs_of(content_type: str) -> tuple[str, ...]:
    """The codecs that a Content-Type names (RFC 6381)."""
    named = content_type.partition('codecs="')[2].partition('"')[0]
    return tuple(named.split(",")) if named else ()


def _now_s() -> float:
    return asyncio.get_running_loop().time()
