"""Carries out what teachers order for the classes of this node."""

import structlog

from airnode.bus.class_orders import CLASS_ORDERS, EndClass
from airnode.bus.client import Bus
from airnode.kernel.service import Service
from airnode.media.room.rooms import Rooms

log = structlog.get_logger(__name__)


class ClassOrders(Service):
    """Receives the orders for this node."""

    name = "class-orders"

    def __init__(self, bus: Bus, rooms: Rooms, node_id: str) -> None:
        super().__init__()
        self._bus = bus
        self._rooms = rooms
        self._node_id = node_id

    async def start(self) -> None:
        """Subscribe."""
        await self._bus.subscribe(CLASS_ORDERS, EndClass, self._receive)

    async def _receive(self, order: EndClass) -> None:
        if order.node_id == self._node_id and not self._rooms.end(order.room):
            log.warning("class_to_end_not_here", room=order.room)
