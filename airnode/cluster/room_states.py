"""The master's view of the rooms.

Masters have no state of their own: the view is read from the leases in Redis, and updated with what nodes publish.
"""

import time
from collections.abc import Callable, Mapping

from airnode.bus.client import Bus
from airnode.bus.leased_records import LeasedRecords, RecordChange
from airnode.bus.leased_view import LeasedView
from airnode.bus.leases import Leases
from airnode.bus.messages import ROOMS, RoomState, room_rules
from airnode.cluster.api_types import RoomView
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope

#: An origin reports each second. No publisher is sent to one that has not reported for this long.
_SILENT_S = 3.0
#: Origins forget an ended room within a minute; pages show for this long that it has ended.
_ENDED_FOR_S = 3600.0
#: The phases of a class that has a publisher, or had one until a moment ago.
ON_AIR = ("live", "reconnecting")


class RoomStates(Service):
    """Holds the view, and notifies its listeners when a room has changed.

    Args:
        watched: returns {room: {node_id: viewers there}}, from the nodes' heartbeats.
    """

    name = "room-states"

    def __init__(
        self,
        bus: Bus,
        tasks: TaskScope,
        *,
        watched: Callable[[], Mapping[str, Mapping[str, int]]] = dict,
    ) -> None:
        super().__init__()
        self._watched = watched
        self._leases = Leases(bus)
        #: The state of each room. A room without one is waiting for its teacher.
        self._rooms: LeasedRecords[RoomState] = LeasedRecords(room_rules())
        #: {room: its last state}, for ended rooms without a lease, in the order in which they ended.
        self._ended: dict[str, RoomState] = {}
        self._rooms_view = LeasedView(
            bus,
            self._rooms,
            tasks,
            group=ROOMS,
            kind=RoomState,
            failed="room_board_not_synced",
            on_change=self._notify,
        )
        self._listeners: list[Callable[[str], None]] = []

    async def start(self) -> None:
        """Read the leases, and follow the reports from then on."""
        await self._rooms_view.start()

    async def stop(self) -> None:
        await self._rooms_view.stop()

    def add_listener(self, listener: Callable[[str], None]) -> None:
        """Call ``listener`` with the name of each room that changes."""
        self._listeners.append(listener)

    def states(self) -> list[RoomState]:
        """Return the rooms that are live or were until a moment ago."""
        return list(self._rooms)

    def room(self, room: str) -> RoomState | None:
        """Return the state that the room's origin reported; None: the room is waiting for its teacher."""
        return self._rooms.get(room)

    async def is_on_air(self, room: str) -> bool:
        """Return whether a room is live or reconnecting, as Redis has it now: the view may be a moment behind.

        Raises:
            Unavailable: (503) Redis does not answer.
        """
        state = await self._leases.read_lease(ROOMS, room, RoomState)
        return state is not None and state.phase in ON_AIR

    def origin(self, room: str) -> str | None:
        """Return the id of the node that takes the room's publisher; None: nobody published lately."""
        state = self._rooms.get(room)
        return state.node_id if state is not None else None

    def silent(self, room: str) -> bool:
        """Return whether the room's origin has missed its reports while Redis delivered those of others."""
        if self._rooms.get(room) is None:
            return False
        reported_s = max(self._rooms.received_s(room), self._rooms.complete_since_s)
        return time.monotonic() - reported_s > _SILENT_S

    def view(self, room: str) -> RoomView:
        """Return the room as pages show it."""
        state = self._rooms.get(room)
        now = time.time()
        if state is None:
            ended = self._ended.get(room)
            if ended is not None and now - ended.since < _ENDED_FOR_S:
                return RoomView(room, "ended", ended.since, None, 0, ended.epoch, now, None)
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
            live_since=state.live_since if state.phase in ON_AIR else 0.0,
        )

    def _notify(self, change: RecordChange[RoomState]) -> None:
        self._remember_ended(change)
        for listener in self._listeners:
            listener(change.key)

    def _remember_ended(self, change: RecordChange[RoomState]) -> None:
        self._ended.pop(change.key, None)
        if change.after is not None or change.before is None or change.before.phase != "ended":
            return
        self._ended[change.key] = change.before
        oldest = time.time() - _ENDED_FOR_S
        while (first := next(iter(self._ended))) != change.key and self._ended[first].since < oldest:
            del self._ended[first]
