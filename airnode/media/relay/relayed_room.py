"""One room that comes from another node: pulled once, however many watch here (docs/adr/0008, 0009).

While somebody watches, one blocking reload is open at the origin, and each part is fetched once, as soon as the
playlist hints at it. ``live.mp4`` is one response of the origin, taken apart and given out through the same feed as at
the origin. When the origin changes, what is open is dropped and the new one is asked; viewers' requests wait meanwhile,
as they do for a slow publisher, and are told to come back after that. Where the origin has no place for another edge,
an edge that has one stands for it.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterator

import structlog

from airnode.errors import AirnodeError, InvalidInput, NotFound, Unavailable
from airnode.kernel.backoff import Backoff
from airnode.kernel.tasks import TaskScope
from airnode.media.hls.blocking_reload import Waiters
from airnode.media.live.feed import LiveFeed
from airnode.media.live.splitter import LivePiece, LiveSplitter
from airnode.media.relay.relayed_window import RelayedWindow
from airnode.media.relay.tiers import FIRST, SECOND, NoRelayPlace, Route, UpstreamNode
from airnode.media.relay.upstream import BLOCKED_TIMEOUT_S, UpstreamAccess, UpstreamClient, codecs_of
from airnode.media.room.origins import Origin
from airnode.media.room.viewers import Viewers
from airnode.media.room.watchable import RequestKind

log = structlog.get_logger(__name__)

_MULTIVARIANT = "index.m3u8"
#: The multivariant playlist tells bit rates, which become known with time.
_MULTIVARIANT_AGE_S = 10.0
_BACKOFF_LAST_S = 2.0
#: Plain HLS cannot be waited for.
_POLL_S = 0.5
_FETCH_ATTEMPTS = 3
#: A blocked reload is answered within three target durations (RFC 8216bis 6.2.5.2), and a little on top for the way.
_RELOAD_TARGETS, _RELOAD_SLACK_S = 3.0, 2.0
#: A blocked reload that is refused sooner is refused because of the node, not for want of media.
_PATIENCE_S = 1.0
#: An edge that has just become the parent may be a little behind the last one: so many older playlists are left out.
_OLDER_PLAYLISTS = 5
#: When the origin changes, edges of the second tier come to the new one a little later than those of the first.
_SECOND_TIER_LATER_S = 0.5
#: Below all decode times, and below a fragment that has none.
_BEFORE_ALL_DTS_TICKS = -2


class RelayedRoom:
    """One room of another node, as the media port sees it.

    Args:
        feed: makes a live feed. has_ended: whether the class has ended, as far as is known.
        viewer_window_s: it is also let go when nobody asked for so long.
        max_bytes: of media that are kept.
    """

    def __init__(
        self,
        name: str,
        origin: Origin,
        access: UpstreamAccess,
        *,
        feed: Callable[[], LiveFeed],
        has_ended: Callable[[], bool],
        viewer_window_s: float,
        max_bytes: int,
        tasks: TaskScope,
    ) -> None:
        self.name = name
        self.closed = False
        self.origin_unreachable = False
        self.waiters = Waiters()
        self.viewers = Viewers(viewer_window_s)
        self.window = RelayedWindow(self._fetch, max_bytes)
        self.live = feed()
        self._make_feed = feed
        self._has_ended = has_ended
        self._idle_s = viewer_window_s
        self._access = access
        self._route = Route(name, access.node_id, origin)
        self._upstream = access.upstream(name, self._route.upstream_node)
        self._tasks = tasks
        self._log = log.bind(room=name)
        #: {what: loop time when somebody asked for it last}.
        self._requested_s: dict[RequestKind, float] = {}
        self._pulling: dict[RequestKind, asyncio.Task[None]] = {}
        self._fetching: set[str] = set()
        self._multivariant_s = 0.0
        self._older_playlists = 0
        #: Loop time since when all who answer have no place for this node; None: there is one.
        self._refused_s: float | None = None
        #: Decode time of the last live fragment.
        self._live_dts_ticks = -1
        #: Loop time when something new came from the origin last.
        self.last_media_s = float("-inf")
        #: Live responses to edges of the second tier.
        self._live_children: set[asyncio.Transport] = set()

    # -- viewers ------------------------------------------------------------------------------------------------------

    def note_request(self, what: RequestKind) -> None:
        """A viewer wants it: begin to pull, or go on."""
        self._requested_s[what] = _now_s()
        task = self._pulling.get(what)
        if self.closed or (task is not None and not task.done()):
            return
        if self.window.ended if what == "window" else self.live.ended:
            return
        self._pull(what)

    def _pull(self, what: RequestKind, after_s: float = 0.0) -> None:
        pull = self._pull_window(after_s) if what == "window" else self._pull_live(after_s)
        self._pulling[what] = self._tasks.spawn(f"pull-{what}-{self.name}", pull)

    def is_watched(self, what: RequestKind) -> bool:
        """Whether anybody watches it, or would if its origin could be reached."""
        if self.origin_unreachable or (what == "live" and len(self.live)):
            return True
        return _now_s() - self._requested_s.get(what, float("-inf")) < self._idle_s

    @property
    def idle(self) -> bool:
        """Nobody watches."""
        return not self.is_watched("window") and not self.is_watched("live")

    # -- where it comes from ------------------------------------------------------------------------------------------

    @property
    def upstream_node(self) -> UpstreamNode:
        """The node that it is pulled from."""
        return self._route.upstream_node

    @property
    def tier(self) -> int:
        """1: it is pulled from the origin, and others may pull it from here; 2: from such an edge; 0: not yet."""
        return self._route.tier

    @property
    def origin_id(self) -> str:
        """The node that it comes from in the end."""
        return self._route.origin_id

    def without_place_s(self, now_s: float) -> float:
        """For how long neither the origin nor an edge that it named gave this node a place."""
        return now_s - self._refused_s if self._refused_s is not None else 0.0

    def set_origin_unreachable(self, unreachable: bool) -> None:
        """The way to its origin is broken, or whole again."""
        if unreachable == self.origin_unreachable:
            return
        self.origin_unreachable = unreachable
        if not unreachable:
            self._log.info("relay_restored", origin=self.origin_id)
            return
        self._log.warning(
            "relay_cut", origin=self.origin_id, detail="it reports, and its media do not come to this node"
        )
        self.live.interrupt()
        self._live_dts_ticks = -1
        self.waiters.wake()

    def change_origin(self, origin: Origin) -> None:
        """Pull from there from now on."""
        self._log.info("relay_moved", origin=origin.node_id, epoch=origin.epoch)
        after_s = _SECOND_TIER_LATER_S * random.random() if self.tier == SECOND else 0.0  # noqa: S311 - spreads load
        self._route = Route(self.name, self._access.node_id, origin)
        self._upstream = self._access.upstream(self.name, self._route.upstream_node)
        self._refused_s = None
        self.origin_unreachable = False
        self._older_playlists = _OLDER_PLAYLISTS  # its numbers go on, and where they do not, nothing else can be had
        self.window.ended = False
        self._live_dts_ticks = -1
        ended, self.live = self.live, self._make_feed()
        was_live = len(ended) > 0
        ended.interrupt()
        pulling, self._pulling = self._pulling, {}
        for what, task in pulling.items():
            task.cancel()
            if self.is_watched(what) or (what == "live" and was_live):
                self._requested_s[what] = _now_s()
                self._pull(what, after_s)
        self.waiters.wake()

    def close(self) -> None:
        """The room is gone, or this node has become its origin, or nobody watches."""
        self.closed = True
        for task in self._pulling.values():
            task.cancel()
        self.live.end()
        self.waiters.wake()

    @contextlib.contextmanager
    def live_child(self, transport: asyncio.Transport | None) -> Iterator[None]:
        """While an edge of the second tier reads ``live.mp4``: it is cut off when this node loses its own place."""
        if transport is None:
            yield
            return
        self._live_children.add(transport)
        try:
            yield
        finally:
            self._live_children.discard(transport)

    def _place_refused(self, upstream: UpstreamClient, refusal: NoRelayPlace) -> bool:
        """There is no place for this node; whether another one is to be asked at once."""
        parents = [self._access.upstream_node(parent) for parent in refusal.parents]
        again = self._route.refused(upstream.upstream_node, parents, _now_s())
        self._reroute()
        if not again:
            self._refused_s = self._refused_s or _now_s()
            self._log.info("relay_place_refused", by=upstream.upstream_node.node_id, reason=str(refusal))
        return again

    def _pull_succeeded(self, upstream: UpstreamClient) -> None:
        self._refused_s = None
        self._route.worked(upstream.upstream_node)

    def _pull_failed(self, upstream: UpstreamClient) -> None:
        self._route.failed(upstream.upstream_node, _now_s())
        self._reroute()

    def _reroute(self) -> None:
        """Do as the route says, which may have changed."""
        if self.tier != FIRST:
            for transport in tuple(self._live_children):
                transport.abort()
        upstream_node = self._route.upstream_node
        if upstream_node == self._upstream.upstream_node:
            return
        self._log.info("relay_rerouted", parent=upstream_node.node_id, tier=upstream_node.tier)
        self._access.metrics.reroutes.inc()
        self._upstream = self._access.upstream(self.name, upstream_node)
        live = self._pulling.get("live")
        if live is not None and not live.done() and live is not asyncio.current_task():
            live.cancel()
            self._pull("live")

    # -- playlists and objects ----------------------------------------------------------------------------------------

    async def _pull_window(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        backoff, follow_on = Backoff(last_s=_BACKOFF_LAST_S), False
        while self.is_watched("window") and not self.window.ended:
            upstream, began_s = self._upstream, _now_s()
            try:
                await self._reload(upstream, follow_on=follow_on)
            except NoRelayPlace as refusal:
                if not self._place_refused(upstream, refusal):
                    await backoff.pause()
            except (InvalidInput, ValueError) as error:
                follow_on = False
                self._log.warning("relay_playlist_refused", error=str(error), parent=upstream.upstream_node.node_id)
                await backoff.pause()
            except (NotFound, Unavailable) as error:
                self._log.info("relay_playlist_failed", error=str(error), parent=upstream.upstream_node.node_id)
                if error.retry_after_s is None or _now_s() - began_s < _PATIENCE_S:
                    self._pull_failed(upstream)  # otherwise it answered, late: the publisher is silent
                await backoff.pause()
            else:
                self._pull_succeeded(upstream)
                follow_on = True
                backoff.reset()
        if not self.window.ended:
            self.window.clear()

    async def _reload(self, upstream: UpstreamClient, *, follow_on: bool) -> None:
        """One blocking reload; what it brings is given out at once, and what it names is fetched."""
        window, position = self.window, self.window.position
        query, inits = {}, window.inits
        if follow_on and position is not None:
            if position.blocks:
                query = {"_HLS_msn": str(position.next_msn), "_HLS_part": str(position.open_parts)}
            else:
                await asyncio.sleep(_POLL_S)
        within_s = _RELOAD_TARGETS * window.target_duration_s + _RELOAD_SLACK_S if window.ready else BLOCKED_TIMEOUT_S
        self._show(await upstream.playlist(window.media_uri, query, within_s))
        now_s = _now_s()
        if window.inits != inits or now_s - self._multivariant_s > _MULTIVARIANT_AGE_S or not window.has_multivariant:
            window.set_multivariant(await upstream.playlist(_MULTIVARIANT, {}))
            self._multivariant_s = now_s
        self.last_media_s = now_s
        self.waiters.wake()

    def _show(self, media: bytes) -> None:
        """Take a playlist, unless it is older than the one that viewers have seen."""
        try:
            new = self.window.update(media, forward=self._older_playlists < _OLDER_PLAYLISTS)
        except ValueError:
            self._older_playlists += 1
            raise
        self._older_playlists = 0
        for name in new:
            self._fetch(name)

    def _fetch(self, name: str) -> None:
        """Fetch an object, once."""
        if name not in self._fetching and not self.closed:
            self._fetching.add(name)
            self._tasks.spawn(f"fetch-{name}", self._fetch_object(name))

    async def _fetch_object(self, name: str) -> None:
        backoff = Backoff(last_s=_BACKOFF_LAST_S)
        try:
            for _ in range(_FETCH_ATTEMPTS):
                try:
                    self._keep(name, await self._upstream.object(name))
                    return
                except (NotFound, InvalidInput):
                    if self._route.upstream_node.tier == FIRST:
                        return self.window.miss(name)
                except (Unavailable, NoRelayPlace):
                    pass  # the playlists' requests find another way
                await backoff.pause()  # also for a parent that has not heard of it yet
            if self._route.upstream_node.tier == SECOND:
                self.window.miss(name)
        finally:
            self._fetching.discard(name)
            self.waiters.wake()

    def _keep(self, name: str, body: bytes) -> None:
        before = self.window.evicted
        self.window.keep(name, body)
        if self.window.evicted != before:
            self._access.metrics.evicted.inc(self.window.evicted - before)
            if not before:
                self._log.warning(
                    "relay_memory_full",
                    detail="the class is larger than relay.room_max_bytes; its oldest media are dropped",
                )

    # -- live.mp4 -----------------------------------------------------------------------------------------------------

    async def _pull_live(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        backoff = Backoff(last_s=_BACKOFF_LAST_S)
        while self.is_watched("live"):
            before, upstream = self._live_dts_ticks, self._upstream
            try:
                await self._read_live(upstream)
            except NoRelayPlace as refusal:
                if self._place_refused(upstream, refusal):
                    continue
            except (AirnodeError, ValueError) as error:
                self._log.info("relay_live_failed", error=str(error), parent=upstream.upstream_node.node_id)
                if self._has_ended():
                    return self._end_live()
                if self._live_dts_ticks == before:  # one that brought something may only have been silent
                    self._pull_failed(upstream)
            if self._live_dts_ticks != before:
                backoff.reset()
            await backoff.pause()
        self.live.interrupt()
        self._live_dts_ticks = -1

    def _end_live(self) -> None:
        self.live.end()
        self.waiters.wake()

    async def _read_live(self, upstream: UpstreamClient) -> None:
        splitter, seen = LiveSplitter(), self._live_dts_ticks if self._live_dts_ticks >= 0 else _BEFORE_ALL_DTS_TICKS
        async for kind, data in upstream.live():
            self._pull_succeeded(upstream)
            for piece in splitter.feed(data):
                seen = self._take(piece, kind, seen)
            if not self.is_watched("live"):
                return

    def _take(self, piece: LivePiece, kind: str, seen: int) -> int:
        """Pass a piece on. What came already before the connection was lost, up to ``seen``, is left out."""
        if piece.fragment is None:
            self.live.renew(piece.init, codecs_of(kind))
            self.waiters.wake()
            return seen
        if piece.dts_ticks <= seen:
            return seen
        self.last_media_s = _now_s()
        self.live.take(piece.fragment)
        self._live_dts_ticks = max(self._live_dts_ticks, piece.dts_ticks)
        return _BEFORE_ALL_DTS_TICKS


def _now_s() -> float:
    return asyncio.get_running_loop().time()
