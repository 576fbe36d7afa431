"""The master's HTTP API that ends a class."""

import structlog
from aiohttp import web

from airnode.bus.class_orders import CLASS_ORDERS, EndClass
from airnode.bus.client import Bus
from airnode.cluster.api_types import RoomView
from airnode.cluster.room_states import RoomStates
from airnode.errors import Conflict
from airnode.web.credentials import Authorizer, Right
from airnode.web.inputs import json_response
from airnode.web.openapi import operation

log = structlog.get_logger(__name__)


class EndClassApi:
    """The handler. It holds no state."""

    def __init__(self, authorizer: Authorizer, rooms: RoomStates, bus: Bus) -> None:
        self._authorizer = authorizer
        self._rooms = rooms
        self._bus = bus

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/api/rooms/{room}/end", self.end)

    @operation(
        summary="End a class",
        tag="classes",
        description="Disconnects the publisher and ends the class at once, without the grace time for a lost encoder. "
        "For 15 s an encoder that connects again by itself is refused. The answer is the state at the time of the "
        "order; the room's event stream tells when the class has ended.",
        returns=RoomView,
        status=202,
        errors=(401, 403, 409, 429, 503),
        auth="teacher",
        path_params=(("room", "The class's room."),),
    )
    async def end(self, request: web.Request) -> web.Response:
        """Send the order to the node that the class is published to."""
        room = request.match_info["room"]
        self._authorizer.require(request, Right.TEACHER, room)
        state = self._rooms.room(room)
        if state is None or state.phase not in ("live", "reconnecting"):
            raise Conflict("This class is not live.")
        await self._bus.publish(CLASS_ORDERS, EndClass(state.node_id, room))
        log.info("class_end_ordered", room=room, node_id=state.node_id)
        return json_response(self._rooms.view(room), status=202)
