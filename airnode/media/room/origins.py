"""The origin of each room, as this node knows it; masters keep the same view."""

from collections.abc import Callable
from dataclasses import dataclass

from airnode.bus.client import Bus
from airnode.bus.leased_records import LeasedRecords, RecordChange
from airnode.bus.leased_view import LeasedView
from airnode.bus.messages import ROOMS, RoomState, room_rules
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of a room.

    Attributes:
        base_url: of the origin's media port.
    """

    node_id: str
    epoch: int
    base_url: str


class OriginTable:
    """The origins of all rooms. No I/O and no clock.

    Args:
        node_id: of this node.
        default_host: used for origins that report no host: they have the address of the master.
        keep_s: a room without a lease is forgotten this long after its last report. Until then its publisher may come
            back to another node. The room is forgotten at once when its origin reports its end.
    """

    def __init__(self, node_id: str, default_host: str, keep_s: float) -> None:
        self._node_id = node_id
        self._default_host = default_host
        self.rooms: LeasedRecords[RoomState] = LeasedRecords(room_rules(keep_s))

    def state(self, room: str) -> RoomState | None:
        """Return the newest state of a room; its origin may be this node."""
        return self.rooms.get(room)

    def last_report_s(self, room: str) -> float:
        """Return the monotonic time of the room's last report in seconds; minus infinity: no report has come."""
        return self.rooms.received_s(room)

    def origin(self, room: str) -> Origin | None:
        """Return the room's origin if it is another node; None: the room has no origin, or it is this node."""
        return self._origin_of(self.state(room))

    def base_url(self, scheme: str, host: str, port: int) -> str:
        """Return the base URL of a node's media port, from the parts that the node reports."""
        return f"{scheme}://{host or self._default_host}:{port}"

    def is_moved(self, change: RecordChange[RoomState]) -> bool:
        """Return whether the room appeared, disappeared, or has another origin now."""
        if change.before is None or change.after is None:
            return True
        return self._origin_of(change.before) != self._origin_of(change.after)

    def _origin_of(self, state: RoomState | None) -> Origin | None:
        if state is None or state.node_id == self._node_id or not state.media_port:
            return None
        return Origin(state.node_id, state.epoch, self.base_url(state.scheme, state.host, state.media_port))


class Origins(Service):
    """Keeps the table up to date, and notifies listeners of each room whose origin changed."""

    name = "origins"

    def __init__(self, bus: Bus, table: OriginTable, tasks: TaskScope) -> None:
        super().__init__()
        self.table = table
        self._listeners: list[Callable[[str], None]] = []
        self._view = LeasedView(
            bus,
            table.rooms,
            tasks,
            group=ROOMS,
            kind=RoomState,
            failed="origins_not_synced",
            on_change=self._changed,
        )

    def on_change(self, listener: Callable[[str], None]) -> None:
        """Call ``listener`` with the name of each room whose origin changed."""
        self._listeners.append(listener)

    def keep_while(self, is_received: Callable[[str], bool]) -> None:
        """Keep a room without a lease while ``is_received`` returns True: its media still arrive here."""
        self.table.rooms.keep_while = is_received

    async def start(self) -> None:
        """Subscribe to reports and read the leases."""
        await self._view.start()

    async def stop(self) -> None:
        """Stop the view."""
        await self._view.stop()

    def _changed(self, change: RecordChange[RoomState]) -> None:
        if self.table.is_moved(change):
            for listener in self._listeners:
                listener(change.key)
