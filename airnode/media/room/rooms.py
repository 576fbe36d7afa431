"""The rooms of this node: who publishes into which, what of it can be watched, and what happens when a publisher drops.

::

    (no room) ──publisher──▶ live ──drops──▶ reconnecting ──grace over──▶ ended ──shown for a while──▶ (no room)
                              ▲                   │                         │
                              └────publisher──────┴─────────────────────────┘ (a new window after "ended")
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from airnode.bus.messages import RoomPhase, RoomState, StreamInfo
from airnode.bus.recordings import RecordingMode
from airnode.config.sections.hls import HlsSection
from airnode.errors import Conflict, Draining, Unavailable
from airnode.kernel.service import Service
from airnode.media.frames import MediaEvent
from airnode.media.hls.blocking_reload import Waiters
from airnode.media.hls.window import Continuation, Window
from airnode.media.live.feed import LiveFeed, LiveLimits, LiveMetrics
from airnode.media.room.packager import Packager
from airnode.media.room.viewers import Viewers
from airnode.media.room.watchable import Asked
from airnode.media.rtmp.publishing import PublisherInfo

log = structlog.get_logger(__name__)

#: How long the end of a class can still be seen by players.
_ENDED_FOR_S = 30.0


class RoomMetrics:
    """Metrics of all rooms; single rooms are no labels."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.live = Gauge("airnode_media_rooms_live", "Rooms with a publisher", registry=registry)
        self.viewers = Gauge("airnode_media_viewers", "Viewers (token sessions)", registry=registry)
        self.window_bytes = Gauge("airnode_media_window_bytes", "Media held in memory", registry=registry)
        self.drops = Counter("airnode_media_publisher_drops_total", "Publishers that went away", registry=registry)
        self.takeovers = Counter("airnode_media_takeovers_total", "Silent publishers replaced", registry=registry)
        self.refused = Counter("airnode_media_publishers_refused_total", "Publishers refused", registry=registry)
        self.lost = Counter("airnode_media_rooms_lost_total", "Rooms that went to another node", registry=registry)
        self.faults = Counter(
            "airnode_media_stream_faults_total", "What was wrong with publishers' streams", ["kind"], registry=registry
        )


@dataclass(frozen=True, slots=True)
class Ownership:
    """This node may publish a room: with the epoch of its claim, behind what another node made of it."""

    epoch: int
    after: Continuation | None = None


class LiveRoom:
    """One room: its window, its packager and whoever publishes at the moment.

    Attributes:
        epoch: of this node's claim: unix milliseconds at which the room went live here, or more.
        recording_id: of the recording that is being made; empty: none is. Owned by the recorder.
        recording_mode: which classes this node records; None: it does not say.
        closed: nothing will change any more.
    """

    def __init__(
        self, name: str, settings: HlsSection, viewer_window_s: float, live: LiveFeed, ownership: Ownership
    ) -> None:
        self.name = name
        self.epoch = ownership.epoch
        self.window = Window(
            segment_count=settings.segment_count, low_latency=settings.low_latency, after=ownership.after
        )
        self.live = live
        self.packager = Packager(settings, self.window, room=name, live=live)
        self.waiters = Waiters()
        self.viewers = Viewers(viewer_window_s)
        self.phase: RoomPhase = "live"
        self.since = time.time()
        self.reconnect_deadline: float | None = None
        self.closed = False
        self.cut = False
        self.publisher: PublisherInfo | None = None
        self.recording_id = ""
        self.recording_mode: RecordingMode | None = None
        #: {kind: how many of the packager's faults are in the metrics already}.
        self.counted_faults: dict[str, int] = {}
        #: Loop time of the last samples.
        self.heard_s = 0.0
        #: What ends the grace time or the showing of the end.
        self.timer: asyncio.TimerHandle | None = None
        self.window.add_listener(self.waiters.wake)

    def asked(self, what: Asked) -> None:
        """A viewer wants the window or the live feed: both are here anyway."""

    def state(self, node_id: str, now_s: float) -> RoomState:
        """What the cluster is told; ``now_s`` is the loop's time."""
        return RoomState(
            room=self.name,
            node_id=node_id,
            phase=self.phase,
            since=self.since,
            viewers=self.viewers.count(now_s),
            epoch=self.epoch,
            reconnect_deadline=self.reconnect_deadline,
            stream=self._stream() if self.phase == "live" else None,
            next_msn=self.window.next_msn,
            target_duration_s=self.window.target_duration_s,
            discontinuities=self.window.discontinuities,
            silent_s=round(max(0.0, now_s - self.heard_s), 1),
            recording_id=self.recording_id,
            recording_mode=self.recording_mode,
            part_target_s=self.window.part_target_s,
        )

    def _stream(self) -> StreamInfo:
        stats = self.packager.stats
        return StreamInfo(
            width=stats.width,
            height=stats.height,
            frame_rate=round(stats.frame_rate, 2),
            bitrate_bps=round(stats.bitrate_bps(time.time())),
            video_codecs=stats.video_codecs,
            audio_codecs=stats.audio_codecs,
            key_frame_interval_s=round(stats.key_frame_interval_s, 2),
            encoder=stats.encoder,
            uptime_s=round(time.time() - self.since, 1),
            dropped_samples=stats.dropped.total(),
        )


class RoomIngest:
    """A publisher's way into its room."""

    def __init__(self, rooms: "Rooms", room: LiveRoom, publisher: PublisherInfo) -> None:
        self._rooms = rooms
        self._room = room
        self._publisher = publisher

    def push(self, events: Sequence[MediaEvent], received_bytes: int) -> None:
        """Package what came. Raises what the packager raises: the publisher is then cut off."""
        if self._room.publisher is not self._publisher:
            raise Conflict("Another publisher has taken over.")
        self._room.heard_s = self._rooms.now_s()
        self._room.packager.push(events)

    def close(self, reason: str) -> None:
        """The publisher is gone."""
        if self._room.publisher is self._publisher:
            self._rooms.dropped(self._room, reason)


class Rooms(Service):
    """All rooms of this node.

    Args:
        takeover_after_s: a publisher that has been silent for this long gives way to another with the same key.
    """

    name = "rooms"

    def __init__(
        self,
        settings: HlsSection,
        *,
        takeover_after_s: float,
        viewer_window_s: float,
        max_rooms: int,
        registry: CollectorRegistry,
        live_sent_bytes: Counter,
        live: LiveLimits | None = None,
    ) -> None:
        super().__init__()
        self._settings = settings
        self._takeover_after_s = takeover_after_s
        self._viewer_window_s = viewer_window_s
        self._max_rooms = max_rooms
        self._metrics = RoomMetrics(registry)
        self._live_limits = live or LiveLimits()
        self._live_metrics = LiveMetrics(registry, live_sent_bytes)
        #: {room: it}; those that are live, reconnecting, or ended a moment ago.
        self._rooms: dict[str, LiveRoom] = {}
        #: {room: what was claimed for its next publisher}; taken by :meth:`open`.
        self._ownerships: dict[str, Ownership] = {}
        self.draining = False
        self._listeners: list[Callable[[LiveRoom], None]] = []

    @staticmethod
    def now_s() -> float:
        """The loop's clock."""
        return asyncio.get_running_loop().time()

    def get(self, name: str) -> LiveRoom | None:
        """The room, if there is anything to watch."""
        return self._rooms.get(name)

    def all(self) -> list[LiveRoom]:
        """All rooms."""
        return list(self._rooms.values())

    def on_change(self, listener: Callable[[LiveRoom], None]) -> None:
        """Call ``listener`` with each room whose phase changed."""
        self._listeners.append(listener)

    def tell(self, room: LiveRoom) -> None:
        """Something else than the phase changed that the cluster should know at once."""
        for listener in self._listeners:
            listener(room)

    def viewers(self) -> int:
        """Viewers of all rooms."""
        now_s = self.now_s()
        return sum(room.viewers.count(now_s) for room in self._rooms.values())

    def streams(self) -> int:
        """Rooms that have a publisher, or wait for one that dropped."""
        return sum(room.phase in ("live", "reconnecting") for room in self._rooms.values())

    def measure(self) -> None:
        """Refresh the gauges, and count what packagers found wrong since the last time."""
        for room in self._rooms.values():
            for kind, count in room.packager.stats.faults().items():
                self._metrics.faults.labels(kind).inc(count - room.counted_faults.get(kind, 0))
                room.counted_faults[kind] = count
        self._metrics.live.set(sum(room.phase == "live" for room in self._rooms.values()))
        self._metrics.viewers.set(self.viewers())
        self._metrics.window_bytes.set(sum(room.window.media_bytes for room in self._rooms.values()))

    # -- publishers ---------------------------------------------------------------------------------------------------

    def require_space(self, name: str) -> None:
        """Raise what :meth:`open` would raise for want of space: Draining or Unavailable (503)."""
        if self.draining:
            raise Draining("This node is shutting down.", retry_after_s=2)
        if name not in self._rooms and len(self._rooms) >= self._max_rooms:
            raise Unavailable(f"This node has {len(self._rooms)} live rooms; media.max_rooms allows no more.")

    def require_turn(self, name: str, key: str) -> None:
        """Raise the Conflict that :meth:`open` would raise because somebody else publishes there."""
        room = self._rooms.get(name)
        if room is not None and room.publisher is not None:
            self._require_turn(room, room.publisher, key)

    def _require_turn(self, room: LiveRoom, current: PublisherInfo, key: str) -> None:
        if current.key != key or self.now_s() - room.heard_s < self._takeover_after_s:
            raise Conflict("This class is live already; end the other stream first.")

    def own(self, name: str, ownership: Ownership) -> None:
        """The room is this node's; its next window is made so."""
        self._ownerships[name] = ownership

    def lose(self, room: LiveRoom, owner: str) -> None:
        """The room is another node's by now: cut the publisher off and let go of it."""
        log.warning("room_lost", room=room.name, owner=owner, epoch=room.epoch)
        self._metrics.lost.inc()
        publisher, room.publisher = room.publisher, None
        if publisher is not None:
            publisher.disconnect("this class is published to another node now")
        self._forget(room)

    def open(self, name: str, publisher: PublisherInfo) -> RoomIngest:
        """Let a publisher into a room.

        Raises:
            Conflict: (409) someone else publishes there and is not silent, or holds another key.
            Draining, Unavailable: (503) this node goes down, or has all the rooms it takes.
        """
        try:
            room = self._room_for(name, publisher)
        except (Conflict, Unavailable):
            self._metrics.refused.inc()
            raise
        room.publisher = publisher
        room.heard_s = self.now_s()
        if room.timer is not None:
            room.timer.cancel()
            room.timer = None
        room.reconnect_deadline = None
        self._enter(room, "live")
        log.info("publisher_joined", room=name, remote=publisher.remote)
        return RoomIngest(self, room, publisher)

    def _room_for(self, name: str, publisher: PublisherInfo) -> LiveRoom:
        self.require_space(name)
        room = self._rooms.get(name)
        if room is None or room.phase == "ended":
            if room is not None:
                self._forget(room)
            room = self._rooms[name] = self._new_room(name)
            return room
        if room.publisher is not None:
            self._take_over(room, publisher)
        room.packager.restart()
        return room

    def new_feed(self) -> LiveFeed:
        """A live feed with this node's limits and metrics."""
        return LiveFeed(self._live_limits, self._live_metrics, time.monotonic)

    def _new_room(self, name: str) -> LiveRoom:
        ownership = self._ownerships.pop(name, None) or Ownership(time.time_ns() // 1_000_000)
        return LiveRoom(name, self._settings, self._viewer_window_s, self.new_feed(), ownership)

    def _take_over(self, room: LiveRoom, publisher: PublisherInfo) -> None:
        """Replace a silent publisher, or raise Conflict."""
        current = room.publisher
        if current is None:
            return
        self._require_turn(room, current, publisher.key)
        log.warning("publisher_replaced", room=room.name, silent_s=round(self.now_s() - room.heard_s, 1))
        self._metrics.takeovers.inc()
        room.publisher = None
        current.disconnect("another publisher with the same key took over")

    def dropped(self, room: LiveRoom, reason: str) -> None:
        """The publisher is gone: keep the class for the grace time."""
        self._metrics.drops.inc()
        room.publisher = None
        grace_s = self._settings.grace_s
        log.info("publisher_left", room=room.name, reason=reason, grace_s=grace_s)
        room.packager.finish()
        if grace_s <= 0:
            self._end(room)
            return
        room.reconnect_deadline = time.time() + grace_s
        room.timer = asyncio.get_running_loop().call_later(grace_s, self._end, room)
        self._enter(room, "reconnecting")

    def _end(self, room: LiveRoom) -> None:
        """The grace time is over: the playlist ends, and a moment later the room is gone."""
        log.info("class_ended", room=room.name)
        room.window.end()
        room.live.end()
        room.viewers.clear()
        room.reconnect_deadline = None
        room.timer = asyncio.get_running_loop().call_later(_ENDED_FOR_S, self._forget, room)
        self._enter(room, "ended")

    def _forget(self, room: LiveRoom) -> None:
        if room.timer is not None:
            room.timer.cancel()
        room.closed = True
        room.live.end()
        if self._rooms.get(room.name) is room:
            del self._rooms[room.name]
        room.waiters.wake()
        self._enter(room, "waiting")

    def _enter(self, room: LiveRoom, phase: RoomPhase) -> None:
        if room.phase != phase:
            room.since = time.time()
        room.phase = phase
        self.tell(room)

    # -- life ---------------------------------------------------------------------------------------------------------

    async def drain(self) -> None:
        """Take no new publishers; release requests that are open, whose players then look for another node."""
        self.draining = True
        for room in self._rooms.values():
            room.waiters.wake()
            room.live.end()

    async def stop(self) -> None:
        """Let go of all rooms."""
        self.draining = True
        for room in list(self._rooms.values()):
            if room.timer is not None:
                room.timer.cancel()
            room.closed = True
            room.waiters.wake()
            room.live.end()
        self._rooms.clear()
