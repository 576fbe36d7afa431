"""One room of another node, pulled once for all viewers of this node (docs/adr/0008, 0009).

While somebody watches, one blocking reload is open at the origin, because this has the lowest latency without polling.
Each part is fetched once, as soon as the playlist hints at it. ``live.mp4`` is one endless response of the origin. It
is split into fragments and served by the same feed class as at the origin, so that viewers begin at key frames.

When the origin changes, requests to the old origin are cancelled, and the room is pulled from the new one. Meanwhile
viewers' requests wait, as they do for a slow publisher; after too long a wait they are answered with a Retry-After. If
the origin has no place for another edge, the room is pulled from an edge of the first tier.
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
#: The multivariant playlist is fetched again at this age, because its bit rates are measured during the class.
_MULTIVARIANT_AGE_S = 10.0
_BACKOFF_LAST_S = 2.0
#: Polling interval if the origin offers no blocking reload (plain HLS).
_POLL_S = 0.5
_FETCH_ATTEMPTS = 3
#: A blocked reload is answered within three target durations (RFC 8216bis 6.2.5.2); the slack is for the network.
_RELOAD_TARGETS, _RELOAD_SLACK_S = 3.0, 2.0
#: If a blocked reload is refused sooner than this, the node is the reason, not a silent publisher.
_PATIENCE_S = 1.0
#: Older playlists in a row that are ignored, because a new parent may lag behind the last one.
_OLDER_PLAYLISTS = 5
#: When the origin changes, edges of the second tier wait up to this long, so that the first tier gets its places first.
_SECOND_TIER_LATER_S = 0.5
#: Less than all decode times, and less than the -1 of a fragment without a decode time.
_BEFORE_ALL_DTS_TICKS = -2


class RelayedRoom:
    """One room of another node, as the media port serves it.

    Args:
        feed: returns a new live feed. has_ended: returns whether the class has ended, as far as this node knows.
        viewer_window_s: pulling stops when nobody has requested anything for this long.
        max_bytes: limit of the media that are kept.
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
        #: {kind: loop time of its last request}.
        self._requested_s: dict[RequestKind, float] = {}
        self._pulling: dict[RequestKind, asyncio.Task[None]] = {}
        self._fetching: set[str] = set()
        self._multivariant_s = 0.0
        self._older_playlists = 0
        #: Loop time of the first refusal since this node last had a place; None: nothing has been refused since.
        self._refused_s: float | None = None
        #: Decode time of the last live fragment.
        self._live_dts_ticks = -1
        #: Loop time at which the last new media came from the origin.
        self.last_media_s = float("-inf")
        #: Live responses to edges of the second tier.
        self._live_children: set[asyncio.Transport] = set()

    # -- viewers ------------------------------------------------------------------------------------------------------

    def note_request(self, what: RequestKind) -> None:
        """Note a request of a viewer, and start to pull unless that is already running."""
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
        """Return whether somebody watches, or would watch if the origin could be reached."""
        if self.origin_unreachable or (what == "live" and len(self.live)):
            return True
        return _now_s() - self._requested_s.get(what, float("-inf")) < self._idle_s

    @property
    def idle(self) -> bool:
        """Return whether nobody watches."""
        return not self.is_watched("window") and not self.is_watched("live")

    # -- origin and upstream node -------------------------------------------------------------------------------------

    @property
    def upstream_node(self) -> UpstreamNode:
        """Return the node that the room is pulled from."""
        return self._route.upstream_node

    @property
    def tier(self) -> int:
        """Return this node's tier; 1: it pulls from the origin; 2: from an edge of the first tier; 0: not yet known."""
        return self._route.tier

    @property
    def origin_id(self) -> str:
        """Return the node that publishes the room."""
        return self._route.origin_id

    def without_place_s(self, now_s: float) -> float:
        """Return for how many seconds this node has had no place, at the origin or at one of its edges."""
        return now_s - self._refused_s if self._refused_s is not None else 0.0

    def set_origin_unreachable(self, unreachable: bool) -> None:
        """Set whether this node reaches the origin. If not, open responses end: players then try other nodes."""
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
        """Pull from another origin from now on."""
        self._log.info("relay_moved", origin=origin.node_id, epoch=origin.epoch)
        after_s = _SECOND_TIER_LATER_S * random.random() if self.tier == SECOND else 0.0  # noqa: S311 - spreads load
        self._route = Route(self.name, self._access.node_id, origin)
        self._upstream = self._access.upstream(self.name, self._route.upstream_node)
        self._refused_s = None
        self.origin_unreachable = False
        self._older_playlists = _OLDER_PLAYLISTS  # accept its playlist at once, even if its numbers are lower
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
        """Stop pulling, because the room has ended, this node has become its origin, or nobody watches."""
        self.closed = True
        for task in self._pulling.values():
            task.cancel()
        self.live.end()
        self.waiters.wake()

    @contextlib.contextmanager
    def live_child(self, transport: asyncio.Transport | None) -> Iterator[None]:
        """Register a second-tier edge's connection; it is aborted when this node loses its own place at a parent."""
        if transport is None:
            yield
            return
        self._live_children.add(transport)
        try:
            yield
        finally:
            self._live_children.discard(transport)

    def _place_refused(self, upstream: UpstreamClient, refusal: NoRelayPlace) -> bool:
        """Return whether another node should be tried at once, after noting a refusal."""
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
        """Connect to the upstream node of the route, if it has changed."""
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
                    self._pull_failed(upstream)  # a late answer only means that the publisher is silent
                await backoff.pause()
            else:
                self._pull_succeeded(upstream)
                follow_on = True
                backoff.reset()
        if not self.window.ended:
            self.window.clear()

    async def _reload(self, upstream: UpstreamClient, *, follow_on: bool) -> None:
        """Send one blocking reload, serve the new playlist to viewers at once, and fetch the new objects in it."""
        window, position = self.window, self.window.position
        query, inits = {}, window.inits
        if follow_on and position is not None:
            if position.blocks:
                query = {"_HLS_msn": str(position.next_msn), "_HLS_part": str(position.open_parts)}
            else:
                await asyncio.sleep(_POLL_S)
        within_s = _RELOAD_TARGETS * window.target_duration_s + _RELOAD_SLACK_S if window.ready else BLOCKED_TIMEOUT_S
        self._update_window(await upstream.playlist(window.media_uri, query, within_s))
        now_s = _now_s()
        if window.inits != inits or now_s - self._multivariant_s > _MULTIVARIANT_AGE_S or not window.has_multivariant:
            window.set_multivariant(await upstream.playlist(_MULTIVARIANT, {}))
            self._multivariant_s = now_s
        self.last_media_s = now_s
        self.waiters.wake()

    def _update_window(self, media: bytes) -> None:
        """Replace the playlist by a newer one, and fetch its new objects.

        Raises:
            ValueError: the new playlist is invalid or older: players must never see a playlist go back.
        """
        try:
            new = self.window.update(media, forward=self._older_playlists < _OLDER_PLAYLISTS)
        except ValueError:
            self._older_playlists += 1
            raise
        self._older_playlists = 0
        for name in new:
            self._fetch(name)

    def _fetch(self, name: str) -> None:
        """Start to fetch an object, unless that is already running."""
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
                    pass  # the playlist's requests choose another upstream node
                await backoff.pause()  # a parent may not have the object yet
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
                if self._live_dts_ticks == before:  # if media came, only the publisher may be silent
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
        splitter = LiveSplitter()
        seen_dts_ticks = self._live_dts_ticks if self._live_dts_ticks >= 0 else _BEFORE_ALL_DTS_TICKS
        async for kind, data in upstream.live():
            self._pull_succeeded(upstream)
            for piece in splitter.feed(data):
                seen_dts_ticks = self._forward_piece(piece, kind, seen_dts_ticks)
            if not self.is_watched("live"):
                return

    def _forward_piece(self, piece: LivePiece, content_type: str, seen_dts_ticks: int) -> int:
        """Return ``seen_dts_ticks`` for the next piece, after appending this one to the live feed.

        Args:
            seen_dts_ticks: fragments up to this decode time are skipped: they were received before the connection was
                lost. After the first new fragment, nothing is skipped.
        """
        if piece.fragment is None:
            self.live.renew(piece.init, codecs_of(content_type))
            self.waiters.wake()
            return seen_dts_ticks
        if piece.dts_ticks <= seen_dts_ticks:
            return seen_dts_ticks
        self.last_media_s = _now_s()
        self.live.take(piece.fragment)
        self._live_dts_ticks = max(self._live_dts_ticks, piece.dts_ticks)
        return _BEFORE_ALL_DTS_TICKS


def _now_s() -> float:
    return asyncio.get_running_loop().time()
