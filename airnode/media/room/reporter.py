"""Reports this node's rooms to the cluster: each second, and at once when a phase changes."""

import asyncio
import time

import structlog
from msgspec.structs import replace

from airnode.bus.client import Bus
from airnode.bus.leases import Leases
from airnode.bus.messages import ROOMS, RoomState
from airnode.errors import Unavailable
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope
from airnode.kernel.urls import url_host
from airnode.media.room.claims import room_claim
from airnode.media.room.live_room import LiveRoom
from airnode.media.room.rooms import Rooms
from airnode.web.addresses import Addresses, PortName

log = structlog.get_logger(__name__)

_INTERVAL_S = 1.0


class RoomReporter(Service):
    """Publishes a :class:`RoomState` for each room, and keeps it as a lease.

    Args:
        lease_s: the cluster forgets a room this long after the last report.
    """

    name = "room-reporter"

    def __init__(
        self, rooms: Rooms, bus: Bus, node_id: str, addresses: Addresses, lease_s: float, tasks: TaskScope
    ) -> None:
        super().__init__()
        self._rooms = rooms
        self._bus = bus
        self._leases = Leases(bus)
        self._node_id = node_id
        self._addresses = addresses
        self._lease_s = lease_s
        self._tasks = tasks
        self._wake = asyncio.Event()
        #: {room name: last state of a closed room} that is not reported yet. Bounded by the rooms of this node.
        self._closed: dict[str, RoomState] = {}
        rooms.on_change(self._changed)

    async def start(self) -> None:
        """Start to report."""
        self._tasks.spawn("report", self._report_forever())

    async def stop(self) -> None:
        """Stop reporting, and release the rooms."""
        await self._tasks.aclose()
        try:
            for room in self._rooms.all():
                await self._release_room(room)
        except Unavailable as error:
            log.warning("rooms_not_handed_over", error=str(error))

    async def _release_room(self, room: LiveRoom) -> None:
        """Release the claim. The lease stays while the publisher may reconnect, to this or another node."""
        if not await self._leases.release_claim(room_claim(room.name), self._node_id, room.epoch):
            return
        state = self._state(room)
        left_s = (room.reconnect_deadline or 0.0) - time.time()
        if room.phase == "reconnecting" and left_s > 0:
            state = replace(state, viewers=0)
            await self._leases.put_lease(ROOMS, room.name, state, left_s)
            log.info("room_handed_over", room=room.name, epoch=room.epoch)
        else:
            state = replace(state, phase="waiting")
            await self._leases.drop_lease(ROOMS, room.name)
        await self._bus.publish(ROOMS, state)

    def _changed(self, room: LiveRoom) -> None:
        if room.closed:
            self._closed[room.name] = self._state(room)
        else:
            self._closed.pop(room.name, None)
        self._wake.set()

    async def _report_forever(self) -> None:
        while True:
            self._wake.clear()
            self._rooms.measure()
            try:
                await self._report()
            except Unavailable as error:
                log.warning("rooms_not_reported", error=str(error))
            try:
                async with asyncio.timeout(_INTERVAL_S):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _report(self) -> None:
        for name, state in list(self._closed.items()):
            if await self._leases.release_claim(room_claim(name), self._node_id, state.epoch):
                await self._leases.drop_lease(ROOMS, name)
                await self._bus.publish(ROOMS, state)
            self._closed.pop(name, None)
        for room in self._rooms.all():
            await self._report_room(room)

    async def _report_room(self, room: LiveRoom) -> None:
        """Renew the claim and the lease; give up the room if another node has claimed it."""
        state = self._state(room)
        granted, holder = await self._leases.claim(room_claim(room.name), self._node_id, room.epoch, state)
        if room.closed:
            return
        if granted:
            await self._leases.report(ROOMS, room.name, state, self._lease_s)
        elif holder.owner == self._node_id:
            room.epoch = holder.epoch  # this node claimed it again in the meantime
            self._wake.set()
        elif holder.owner:
            self._rooms.lose(room, holder.owner)
        else:
            room.epoch = holder.epoch + 1  # the claim was released, and nobody else holds it
            self._wake.set()

    def _state(self, room: LiveRoom) -> RoomState:
        return replace(
            room.state(self._node_id, self._rooms.now_s()),
            host=url_host(self._addresses.host),
            scheme=self._addresses.scheme,
            media_port=self._addresses.ports[PortName.MEDIA],
        )
