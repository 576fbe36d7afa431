"""The master's view of the rooms, and the event streams that pages read it through.

Masters keep nothing of their own: the view is read from the leases in Redis and kept fresh by what nodes publish.
"""

import asyncio
import math
import time
from collections.abc import Callable, Mapping

import msgspec
import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge

from airnode.bus.client import Bus
from airnode.bus.leased_records import LeasedRecords, RecordChange
from airnode.bus.leased_view import LeasedView
from airnode.bus.messages import ROOMS, RoomState, room_rules
from airnode.cluster.api_types import RoomView
from airnode.errors import Unavailable
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope

log = structlog.get_logger(__name__)

#: An origin reports each second; one that missed so much is not a place to publish to.
_SILENT_S = 3.0
_HEARTBEAT_S = 15.0
#: How often viewers and figures may be told again, for teachers and for students.
_STATS_S = 1.0
_COUNT_S = 2.0


class RoomBoard(Service):
    """Holds the view; tells event streams when a room changed.

    Args:
        write_timeout_s: a page that takes nothing for this long loses its stream.
        watched: {room: {node_id: viewers there}}, as nodes' heartbeats say.
    """

    name = "room-board"

    def __init__(
        self,
        bus: Bus,
        tasks: TaskScope,
        registry: CollectorRegistry,
        *,
        write_timeout_s: float,
        watched: Callable[[], Mapping[str, Mapping[str, int]]] = dict,
    ) -> None:
        super().__init__()
        self._watched = watched
        self._write_timeout_s = write_timeout_s
        #: The state of each room. A room without one is waiting for its teacher.
        self._rooms: LeasedRecords[RoomState] = LeasedRecords(room_rules())
        self._rooms_view = LeasedView(
            bus,
            self._rooms,
            tasks,
            group=ROOMS,
            kind=RoomState,
            failed="room_board_not_synced",
            on_change=self._changed,
        )
        #: {room: events to set when it changes}, one for each open stream.
        self._watchers: dict[str, set[asyncio.Event]] = {}
        self._closing = False
        self._streams = Gauge("airnode_room_event_streams", "Open event streams of pages", registry=registry)
        self._stuck = Counter("airnode_room_events_stuck_total", "Event streams cut: nobody read", registry=registry)

    async def start(self) -> None:
        """Read the leases, then listen."""
        await self._rooms_view.start()

    async def drain(self) -> None:
        """End the event streams; pages come back to another master, or to this one restarted."""
        self._closing = True
        for events in self._watchers.values():
            for event in events:
                event.set()

    async def stop(self) -> None:
        """End listening."""
        await self.drain()
        await self._rooms_view.stop()

    # -- the view -----------------------------------------------------------------------------------------------------

    def states(self) -> list[RoomState]:
        """Rooms that are live or were a moment ago, by name."""
        return list(self._rooms)

    def room(self, room: str) -> RoomState | None:
        """The room as its origin says; None: it is waiting for its teacher."""
        return self._rooms.get(room)

    def origin(self, room: str) -> str | None:
        """The node that takes the room's publisher; None: nobody published it lately."""
        state = self._rooms.get(room)
        return state.node_id if state is not None else None

    def silent(self, room: str) -> bool:
        """Whether the room's origin has missed its reports, though Redis would have brought them."""
        if self._rooms.get(room) is None:
            return False
        reported_s = max(self._rooms.received_s(room), self._rooms.complete_since_s)
        return time.monotonic() - reported_s > _SILENT_S

    def view(self, room: str) -> RoomView:
        """The room as pages show it."""
        state = self._rooms.get(room)
        now = time.time()
        if state is None:
            return RoomView(room, "waiting", 0.0, None, 0, 0, now, None)
        edges = self._watched().get(room, {})
        viewers = state.viewers + sum(count for node_id, count in edges.items() if node_id != state.node_id)
        return RoomView(
            room,
            state.phase,
            state.since,
            state.reconnect_deadline,
            viewers,
            state.epoch,
            now,
            state.stream,
            recording=bool(state.recording_id),
        )

    def _changed(self, change: RecordChange[RoomState]) -> None:
        for event in self._watchers.get(change.key, ()):
            event.set()

    # -- streams ------------------------------------------------------------------------------------------------------

    async def stream(
        self, request: web.Request, room: str, *, stats: bool, expires_at: float = math.inf
    ) -> web.StreamResponse:
        """Answer with Server-Sent Events (HTML Living Standard, 9.2) until the client leaves, its token expires or the
        node drains.

        Args:
            stats: tell the stream's figures too, each second; otherwise only phases at once and the count at times.
            expires_at: unix seconds.
        """
        if self._closing:
            raise Unavailable("This node is shutting down.", retry_after_s=2)
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",
            }
        )
        await response.prepare(request)
        changed = asyncio.Event()
        watchers = self._watchers.setdefault(room, set())
        watchers.add(changed)
        self._streams.inc()
        try:
            await self._write(response, b"retry: 1000\n\n")
            await self._tell(response, room, changed, stats, expires_at)
        except ConnectionError:
            pass
        except TimeoutError:
            self._stuck.inc()
            log.info("event_stream_stuck", room=room)
            if request.transport is not None:
                request.transport.abort()
        finally:
            self._streams.dec()
            watchers.discard(changed)
            if not watchers:
                self._watchers.pop(room, None)
        return response

    async def _tell(
        self, response: web.StreamResponse, room: str, changed: asyncio.Event, stats: bool, expires_at: float
    ) -> None:
        """Write the view now and when it changed: a phase at once, figures after a pause."""
        pause_s = _STATS_S if stats else _COUNT_S
        told: tuple[object, ...] = ()
        told_s = -pause_s
        while not self._closing and (left_s := expires_at - time.time()) > 0:
            changed.clear()
            view = self.view(room)
            phase = (view.state, view.epoch, view.since, view.reconnect_deadline, view.recording)
            figures = (*phase, view.viewers, view.stream if stats else None)
            now_s = time.monotonic()
            due_s = told_s + pause_s - now_s
            if figures != told and (phase != told[: len(phase)] or due_s <= 0):
                await self._write(response, b"event: room\ndata: " + msgspec.json.encode(view) + b"\n\n")
                told, told_s, due_s = figures, now_s, pause_s
            wait_s = due_s if figures != told else _HEARTBEAT_S
            try:
                async with asyncio.timeout(max(min(wait_s, left_s), 0.01)):
                    await changed.wait()
            except TimeoutError:
                if figures == told:
                    await self._write(response, b": still here\n\n")

    async def _write(self, response: web.StreamResponse, data: bytes) -> None:
        """Write; what is not read is not buffered beyond the socket: TimeoutError when nobody reads for too long."""
        async with asyncio.timeout(self._write_timeout_s):
            await response.write(data)
