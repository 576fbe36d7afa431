"""The event streams through which pages follow a room (Server-Sent Events; HTML Living Standard, 9.2)."""

import asyncio
import contextlib
import math
import time
from collections.abc import Iterator

import msgspec
import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge

from airnode.cluster.room_states import RoomStates
from airnode.errors import Unavailable
from airnode.kernel.service import Service
from airnode.web.event_stream import EventStream, event_stream

log = structlog.get_logger(__name__)

#: A stream without news gets a comment this often, so that proxies keep the connection open.
_KEEP_ALIVE_S = 15.0
#: Least time between two events in which only figures differ, for teachers and for students.
_STATS_S = 1.0
_COUNT_S = 2.0


class RoomEvents(Service):
    """Streams the state of rooms to pages.

    Args:
        write_timeout_s: a page that reads nothing for this long loses its stream.
    """

    name = "room-events"

    def __init__(self, rooms: RoomStates, registry: CollectorRegistry, *, write_timeout_s: float) -> None:
        super().__init__()
        self._rooms = rooms
        self._write_timeout_s = write_timeout_s
        #: {room: events to set when it changes}, one for each open stream.
        self._wakeups: dict[str, set[asyncio.Event]] = {}
        self._closing = False
        self._streams = Gauge("airnode_room_event_streams", "Open event streams of pages", registry=registry)
        self._stuck = Counter("airnode_room_events_stuck_total", "Event streams cut: nobody read", registry=registry)
        rooms.add_listener(self._wake)

    async def drain(self) -> None:
        """End the streams; the pages connect again, to another master or to this one after its restart."""
        self._closing = True
        for room in self._wakeups:
            self._wake(room)

    async def stop(self) -> None:
        await self.drain()

    async def stream(
        self, request: web.Request, room: str, *, stats: bool, expires_at: float = math.inf
    ) -> web.StreamResponse:
        """Return the response after the client left, its token expired or the node drained.

        Args:
            stats: stream the figures of the publisher's stream too, each second; otherwise phases at once, and the
                number of viewers every two seconds.
            expires_at: unix seconds.

        Raises:
            Unavailable: (503) the node is shutting down.
        """
        if self._closing:
            raise Unavailable("This node is shutting down.", retry_after_s=2)
        async with event_stream(request, write_timeout_s=self._write_timeout_s) as stream:
            with self._following(room) as changed:
                await stream.write(b"retry: 1000\n\n")
                await self._stream_changes(stream, room, changed, stats, expires_at)
        if stream.is_stuck:
            self._stuck.inc()
            log.info("event_stream_stuck", room=room)
        return stream.response

    @contextlib.contextmanager
    def _following(self, room: str) -> Iterator[asyncio.Event]:
        changed = asyncio.Event()
        wakeups = self._wakeups.setdefault(room, set())
        wakeups.add(changed)
        self._streams.inc()
        try:
            yield changed
        finally:
            self._streams.dec()
            wakeups.discard(changed)
            if not wakeups:
                self._wakeups.pop(room, None)

    def _wake(self, room: str) -> None:
        for event in self._wakeups.get(room, ()):
            event.set()

    async def _stream_changes(
        self, stream: EventStream, room: str, changed: asyncio.Event, stats: bool, expires_at: float
    ) -> None:
        """Write the state now and after each change: a phase at once, figures after a pause."""
        pause_s = _STATS_S if stats else _COUNT_S
        written: tuple[object, ...] = ()
        written_s = -pause_s
        while not self._closing and (left_s := expires_at - time.time()) > 0:
            changed.clear()
            view = self._rooms.view(room)
            phase = (view.state, view.epoch, view.since, view.reconnect_deadline, view.recording)
            figures = (*phase, view.viewers, view.stream if stats else None)
            now_s = time.monotonic()
            due_s = written_s + pause_s - now_s
            if figures != written and (phase != written[: len(phase)] or due_s <= 0):
                await stream.write(b"event: room\ndata: " + msgspec.json.encode(view) + b"\n\n")
                written, written_s, due_s = figures, now_s, pause_s
            wait_s = due_s if figures != written else _KEEP_ALIVE_S
            try:
                async with asyncio.timeout(max(min(wait_s, left_s), 0.01)):
                    await changed.wait()
            except TimeoutError:
                if figures == written:
                    await stream.write(b": still here\n\n")
