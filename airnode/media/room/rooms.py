"""The rooms of this node: accepts publishers into them, and ends a room after its publisher has left.

::

    (no room) ──publisher──▶ live ──leaves─▶ reconnecting ──grace over──▶ ended ──shown for a while──▶ (no room)
                              ▲                   │                         │
                              └────publisher──────┴─────────────────────────┘ (a new window after "ended")
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import structlog
from prometheus_client import CollectorRegistry

from airnode.bus.messages import RoomPhase
from airnode.config.sections.hls import HlsSection
from airnode.errors import AirnodeError, Conflict, Draining, Unavailable
from airnode.kernel.logging import LogLimiter
from airnode.kernel.meter import Meter
from airnode.kernel.service import Service
from airnode.kernel.trouble import Trouble
from airnode.media.codecs.libav import LIBAV
from airnode.media.frames import IngestEvent
from airnode.media.live.feed import LiveFeed, LiveLimits, LiveMetrics
from airnode.media.room.live_room import LiveRoom, Ownership
from airnode.media.room.metrics import RoomMetrics
from airnode.media.rtmp.publishing import PublisherInfo
from airnode.media.samples.examiner import Examiner
from airnode.media.samples.findings import Findings

log = structlog.get_logger(__name__)

#: An ended room is kept for this long, so that players see the end of the class.
_ENDED_FOR_S = 30.0
#: An encoder that connects again by itself is refused for this long after the teacher ended the class.
_STAYS_ENDED_S = 15.0
#: Longest time that an encoder waits for a silent publisher with the same key.
_LONGEST_TURN_WAIT_S = 4.0
_TURN_POLL_S = 0.05
#: Least time between two log lines about segments of one room that were removed early.
_REMOVED_EARLY_LOG_S = 60.0


class RoomIngest:
    """Receives a publisher's media: examines the samples and passes them to the packager of the room."""

    def __init__(self, rooms: "Rooms", room: LiveRoom, publisher: PublisherInfo) -> None:
        self._rooms = rooms
        self._room = room
        self._publisher = publisher
        self._examiner = Examiner(room.findings, LIBAV)

    @property
    def needs_audio_at_once(self) -> bool:
        """Return whether audio must not wait for the next video frame: ``live.mp4`` has viewers."""
        return self._room.live.working

    def push(self, events: Sequence[IngestEvent], received_bytes: int) -> None:
        """Examine and package the publisher's samples.

        Raises:
            Conflict: another publisher has taken over.
            AirnodeError: raised by the examiner or the packager: the caller disconnects the publisher.
        """
        if self._room.publisher is not self._publisher:
            raise Conflict("Another publisher has taken over.")
        self._room.last_media_s = self._rooms.now_s()
        self._room.packager.push(self._examiner.examine(events, time.time()))

    def close(self, reason: str, *, final: bool = False) -> None:
        """End the publisher's stream: it has left. ``final``: on purpose, so the class ends without a grace time."""
        if self._room.publisher is self._publisher:
            with suppress(AirnodeError):  # the publisher has left: the error cannot be reported to it
                self._room.packager.push(self._examiner.finish())
            self._rooms.dropped(self._room, reason, grace=not final)


class Rooms(Service):
    """All rooms of this node.

    Args:
        takeover_after_s: another publisher with the same key replaces one that has been silent for this long.
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
        live_sent_bytes: Meter,
        live: LiveLimits | None = None,
    ) -> None:
        super().__init__()
        self._settings = settings
        #: Rooms that have a publisher and cannot be played.
        self._unplayable = Trouble("stream_not_playable", "stream_playable_again")
        self._takeover_after_s = takeover_after_s
        self._viewer_window_s = viewer_window_s
        self._max_rooms = max_rooms
        self._metrics = RoomMetrics(registry)
        self._live_limits = live or LiveLimits()
        self._live_metrics = LiveMetrics(registry, live_sent_bytes)
        #: {room name: the room}, for live, reconnecting, and recently ended rooms.
        self._rooms: dict[str, LiveRoom] = {}
        #: {room name: the ownership for its next publisher}; :meth:`open` removes it.
        self._ownerships: dict[str, Ownership] = {}
        self.draining = False
        self._listeners: list[Callable[[LiveRoom], None]] = []
        self._log_limiter = LogLimiter(_REMOVED_EARLY_LOG_S)

    @staticmethod
    def now_s() -> float:
        """Return the time of the event loop's clock."""
        return asyncio.get_running_loop().time()

    def get(self, name: str) -> LiveRoom | None:
        """Return the room; None: this node does not have it."""
        return self._rooms.get(name)

    def all(self) -> list[LiveRoom]:
        """Return all rooms."""
        return list(self._rooms.values())

    def on_change(self, listener: Callable[[LiveRoom], None]) -> None:
        """Call ``listener`` with each room whose phase changed."""
        self._listeners.append(listener)

    def notify(self, room: LiveRoom) -> None:
        """Call the listeners after a change that the cluster should know at once, such as a new phase."""
        for listener in self._listeners:
            listener(room)

    def viewers(self) -> int:
        """Return the number of viewers of all rooms."""
        now_s = self.now_s()
        return sum(room.viewers.count(now_s) for room in self._rooms.values())

    def streams(self) -> int:
        """Return the number of rooms that have a publisher, or wait for their publisher to come back."""
        return sum(room.phase in ("live", "reconnecting") for room in self._rooms.values())

    def measure(self) -> None:
        """Update the gauges, and count the faults that packagers found since the last call."""
        for room in self._rooms.values():
            faults = {**room.packager.stats.faults(), "segment_removed_early": room.window.removed_early}
            for kind, count in faults.items():
                more = count - room.counted_faults.get(kind, 0)
                self._metrics.faults.labels(kind).inc(more)
                room.counted_faults[kind] = count
                if more and kind == "segment_removed_early":
                    self._log_removed_early(room, count)
            self._check_playable(room)
        self._metrics.unplayable.set(sum(room.not_playable is not None for room in self._rooms.values()))
        self._metrics.live.set(sum(room.phase == "live" for room in self._rooms.values()))
        self._metrics.viewers.set(self.viewers())
        self._metrics.window_bytes.set(sum(room.window.media_bytes for room in self._rooms.values()))
        self._metrics.retained_bytes.set(sum(room.window.retained_bytes for room in self._rooms.values()))

    def _log_removed_early(self, room: LiveRoom, segments: int) -> None:
        if self._log_limiter.held_back(room.name) is not None:
            log.warning(
                "segments_removed_early",
                room=room.name,
                segments=segments,
                retained_max_bytes=self._settings.retained_max_bytes,
                hint="Players that are behind get 404. Raise hls.retained_max_bytes, or lower the encoder's bitrate.",
            )

    def _check_playable(self, room: LiveRoom) -> None:
        room.check_playable(time.time())
        if room.not_playable is not None:
            self._unplayable.begin(room.not_playable, room.name, room=room.name, reason=room.not_playable.code)
        else:
            self._unplayable.end(room.name, room=room.name)

    # -- publishers ---------------------------------------------------------------------------------------------------

    def require_space(self, name: str) -> None:
        """Raise Draining or Unavailable (503), as :meth:`open` does, if this node accepts no more rooms."""
        if self.draining:
            raise Draining("This node is shutting down.", retry_after_s=2)
        if name not in self._rooms and len(self._rooms) >= self._max_rooms:
            raise Unavailable(f"This node has {len(self._rooms)} live rooms; media.max_rooms allows no more.")

    def require_turn(self, name: str, key: str) -> None:
        """Raise Conflict (409), as :meth:`open` does, if another publisher has the room."""
        room = self._rooms.get(name)
        if room is not None:
            self._require_not_just_ended(room)
            if room.publisher is not None:
                self._require_turn(room, room.publisher, key)

    def _require_not_just_ended(self, room: LiveRoom) -> None:
        left_s = room.stays_ended_until_s - self.now_s()
        if left_s > 0:
            raise Conflict(f"The teacher ended this class a moment ago; start the stream again in {left_s:.0f} s.")

    def _require_turn(self, room: LiveRoom, current: PublisherInfo, key: str) -> None:
        if current.key != key or self.now_s() - room.last_media_s < self._takeover_after_s:
            raise Conflict("This class is live already; end the other stream first.")

    async def wait_for_turn(self, name: str, key: str) -> None:
        """Wait while a publisher with the same key is silent, but not long enough to be replaced.

        An encoder that lost its network comes back before the node notices that its first connection is dead. If the
        first publisher is alive, it soon sends something, and :meth:`open` then refuses the second one.
        """
        room = self._rooms.get(name)
        current = room.publisher if room is not None else None
        if room is None or current is None or current.key != key:
            return
        heard_s = room.last_media_s
        until_s = min(heard_s + self._takeover_after_s, self.now_s() + _LONGEST_TURN_WAIT_S)
        # This loop polls, because an event would have to be set with each push of media.
        while room.publisher is current and room.last_media_s == heard_s and self.now_s() < until_s:  # noqa: ASYNC110
            await asyncio.sleep(_TURN_POLL_S)

    def own(self, name: str, ownership: Ownership) -> None:
        """Store the ownership of a room for its next publisher."""
        self._ownerships[name] = ownership

    def lose(self, room: LiveRoom, owner: str) -> None:
        """Disconnect the publisher and remove the room: it belongs to another node now."""
        log.warning("room_lost", room=room.name, owner=owner, epoch=room.epoch)
        self._metrics.lost.inc()
        publisher, room.publisher = room.publisher, None
        if publisher is not None:
            publisher.disconnect("this class is published to another node now")
        self._forget(room)

    def open(self, name: str, publisher: PublisherInfo) -> RoomIngest:
        """Return the ingest of a room, after accepting a publisher into it.

        Raises:
            Conflict: (409) another publisher has the room, and it is not silent or has another key.
            Draining, Unavailable: (503) this node is shutting down, or accepts no more rooms.
        """
        try:
            room = self._room_for(name, publisher)
        except (Conflict, Unavailable):
            self._metrics.refused.inc()
            raise
        room.publisher = publisher
        room.published_s = time.time()
        room.last_media_s = self.now_s()
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
                self._require_not_just_ended(room)
                self._forget(room)
            room = self._rooms[name] = self._new_room(name)
            return room
        if room.publisher is not None:
            self._take_over(room, publisher)
        room.packager.restart()
        return room

    def new_feed(self) -> LiveFeed:
        """Return a live feed with this node's limits and metrics."""
        return LiveFeed(self._live_limits, self._live_metrics, time.monotonic)

    def _new_room(self, name: str) -> LiveRoom:
        ownership = self._ownerships.pop(name, None) or Ownership(time.time_ns() // 1_000_000)
        findings = Findings(name, self._metrics.odd_samples)
        return LiveRoom(name, self._settings, self._viewer_window_s, self.new_feed(), ownership, findings)

    def _take_over(self, room: LiveRoom, publisher: PublisherInfo) -> None:
        """Replace a silent publisher, or raise Conflict."""
        current = room.publisher
        if current is None:
            return
        self._require_turn(room, current, publisher.key)
        log.warning("publisher_replaced", room=room.name, silent_s=round(self.now_s() - room.last_media_s, 1))
        self._metrics.takeovers.inc()
        room.publisher = None
        current.disconnect("another publisher with the same key took over")

    def dropped(self, room: LiveRoom, reason: str, *, grace: bool = True) -> None:
        """Keep the room for the grace time after its publisher has left; without ``grace``, end it."""
        self._metrics.drops.inc(grace)
        room.publisher = None
        grace_s = self._settings.grace_s if grace else 0.0
        log.info("publisher_left", room=room.name, reason=reason, grace_s=grace_s)
        room.packager.finish()
        if grace_s <= 0:
            self._end(room)
            return
        room.reconnect_deadline = time.time() + grace_s
        room.timer = asyncio.get_running_loop().call_later(grace_s, self._end, room)
        self._enter(room, "reconnecting")

    def end(self, name: str) -> bool:
        """End a class on purpose: disconnect its publisher, and wait for nobody. Return whether it was live."""
        room = self._rooms.get(name)
        if room is None or room.phase not in ("live", "reconnecting"):
            return False
        room.stays_ended_until_s = self.now_s() + _STAYS_ENDED_S
        publisher = room.publisher
        if publisher is not None:
            self.dropped(room, "the teacher ended the class", grace=False)
            publisher.disconnect("the teacher ended the class")
        else:
            if room.timer is not None:
                room.timer.cancel()
            self._end(room)
        return True

    def _end(self, room: LiveRoom) -> None:
        """End the playlist after the grace time, and remove the room `_ENDED_FOR_S` later."""
        log.info("publish_ended", room=room.name)
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
        self._unplayable.forget(room.name)
        room.live.end()
        if self._rooms.get(room.name) is room:
            del self._rooms[room.name]
        room.waiters.wake()
        self._enter(room, "waiting")

    def _enter(self, room: LiveRoom, phase: RoomPhase) -> None:
        if room.phase != phase:
            room.since = time.time()
            if room.phase == "ended":
                room.live_since = room.since
        room.phase = phase
        self.notify(room)

    # -- drain and stop -----------------------------------------------------------------------------------------------

    async def drain(self) -> None:
        """Accept no new publishers, and answer the requests that wait: their players then try another node."""
        self.draining = True
        for room in self._rooms.values():
            room.waiters.wake()
            room.live.end()

    async def stop(self) -> None:
        """Close all rooms."""
        self.draining = True
        for room in list(self._rooms.values()):
            if room.timer is not None:
                room.timer.cancel()
            room.closed = True
            room.waiters.wake()
            room.live.end()
        self._rooms.clear()
