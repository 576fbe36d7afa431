"""This node's view of which node is the origin of which room: what masters see too, kept from the same messages.

Requests are answered from it without a question to Redis. What pub/sub loses is read again from the leases.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from airnode.bus.client import Bus
from airnode.bus.leases import Leases
from airnode.bus.messages import ROOMS, RoomState
from airnode.errors import Unavailable
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope

log = structlog.get_logger(__name__)

_RESYNC_S = 2.0
#: When Redis was away, leases may have run out: origins get so long to write them anew.
_SETTLE_S = 10.0


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a room comes from.

    Attributes:
        base_url: of the node's media port.
    """

    node_id: str
    epoch: int
    base_url: str


class OriginTable:
    """The view itself. No I/O and no clock.

    Args:
        node_id: this node's. default_host: for origins that are reached as the master is.
        keep_s: a room that is neither heard of nor leased for this long is gone: until then its publisher may come back
            to another node. One whose origin says that it is gone goes at once.
    """

    def __init__(self, node_id: str, default_host: str, keep_s: float) -> None:
        self._node_id = node_id
        self._default_host = default_host
        self._keep_s = keep_s
        #: {room: (its newest state, monotonic seconds when it was heard of)}.
        self._rooms: dict[str, tuple[RoomState, float]] = {}
        #: Monotonic seconds since when messages and leases come without a gap; infinity: they do not.
        self._hearing_since_s = float("-inf")

    def state(self, room: str) -> RoomState | None:
        """What is known of a room; its origin may be this node."""
        known = self._rooms.get(room)
        return known[0] if known is not None else None

    def heard_s(self, room: str) -> float:
        """When it was heard of last; minus infinity: never."""
        known = self._rooms.get(room)
        return known[1] if known is not None else float("-inf")

    def origin(self, room: str) -> Origin | None:
        """The other node that it comes from; None: nobody, or this node."""
        state = self.state(room)
        if state is None or state.node_id == self._node_id or not state.media_port:
            return None
        return Origin(state.node_id, state.epoch, self.base_url(state.scheme, state.host, state.media_port))

    def base_url(self, scheme: str, host: str, port: int) -> str:
        """Of a node's media port, as nodes tell of it."""
        return f"{scheme}://{host or self._default_host}:{port}"

    def deafen(self) -> None:
        """Messages were missed, or Redis does not answer: until :meth:`sync` all that is known stays as it is."""
        self._hearing_since_s = float("inf")

    def hear(self, state: RoomState, now_s: float) -> bool:
        """Take what a node says; whether the origin changed."""
        known = self.state(state.room)
        if known is not None and (state.epoch, state.node_id) < (known.epoch, known.node_id):
            return False
        if state.phase == "waiting":
            return self._rooms.pop(state.room, None) is not None
        before = self.origin(state.room)
        self._rooms[state.room] = (state, now_s)
        return known is None or self.origin(state.room) != before

    def sync(
        self, leased: dict[str, RoomState], now_s: float, *, comes: Callable[[str], bool] = lambda room: False
    ) -> list[str]:
        """Take what the leases say; rooms whose origin changed. Those heard of lately stay, and those that still come:
        their origin may have lost Redis only.
        """
        changed = [room for room, state in leased.items() if self.state(room) != state and self._learn(state, now_s)]
        if self._hearing_since_s > now_s:
            self._hearing_since_s = now_s
        if now_s - self._hearing_since_s < _SETTLE_S:
            return changed
        gone = [
            room
            for room, (_, heard_s) in self._rooms.items()
            if room not in leased and now_s - heard_s > self._keep_s and not comes(room)
        ]
        for room in gone:
            del self._rooms[room]
        return changed + gone

    def _learn(self, state: RoomState, now_s: float) -> bool:
        known = self.state(state.room)
        if known is not None and known.node_id == state.node_id and known.epoch == state.epoch:
            return False  # what is heard is as new as the lease, and says when it was heard
        return self.hear(state, now_s)


class Origins(Service):
    """Keeps the table; tells listeners of each room whose origin changed."""

    name = "origins"

    def __init__(self, bus: Bus, table: OriginTable, tasks: TaskScope) -> None:
        super().__init__()
        self.table = table
        self._bus = bus
        self._leases = Leases(bus)
        self._tasks = tasks
        self._listeners: list[Callable[[str], None]] = []
        self._comes: Callable[[str], bool] = lambda room: False

    def on_change(self, listener: Callable[[str], None]) -> None:
        """Call ``listener`` with the name of each room whose origin changed."""
        self._listeners.append(listener)

    def keep_while(self, comes: Callable[[str], bool]) -> None:
        """Do not forget a room of which no lease is left for as long as ``comes`` says that its media come here."""
        self._comes = comes

    async def start(self) -> None:
        """Read the leases, then listen."""
        await self._bus.subscribe(ROOMS, RoomState, self._heard, on_resubscribed=self._resync_after_gap)
        await self._resync()
        self._tasks.spawn("resync", self._resync_for_ever())

    async def stop(self) -> None:
        """End listening."""
        await self._tasks.aclose()

    async def _heard(self, state: RoomState) -> None:
        if self.table.hear(state, asyncio.get_running_loop().time()):
            self._tell(state.room)

    def _tell(self, room: str) -> None:
        for listener in self._listeners:
            listener(room)

    async def _resync_for_ever(self) -> None:
        while True:
            await asyncio.sleep(_RESYNC_S)
            try:
                await self._resync()
            except Unavailable as error:
                self.table.deafen()
                log.warning("origins_not_synced", error=str(error))

    async def _resync_after_gap(self) -> None:
        self.table.deafen()
        await self._resync()

    async def _resync(self) -> None:
        leased = await self._leases.read_leases(ROOMS, RoomState)
        for room in self.table.sync(leased, asyncio.get_running_loop().time(), comes=self._comes):
            self._tell(room)
