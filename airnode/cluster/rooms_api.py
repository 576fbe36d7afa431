"""The master's HTTP API for the rooms of classes: state, where to publish, settings."""

import msgspec
import structlog
from aiohttp import web

from airnode.cluster.api_types import RoomView
from airnode.cluster.class_urls import ClassUrls, StreamKeyResponse
from airnode.cluster.classes import Classes
from airnode.cluster.room_events import RoomEvents
from airnode.cluster.room_nodes import RoomNodes
from airnode.cluster.room_states import RoomStates
from airnode.cluster.stream_keys import StreamKeyPublisher
from airnode.web.credentials import Authorizer, Right
from airnode.web.inputs import json_response, read_input
from airnode.web.openapi import operation

log = structlog.get_logger(__name__)

#: More nodes that a publisher names are ignored.
_MAX_AVOIDED = 8
_ROOM = (("room", "The class's room."),)


class ClassSettings(msgspec.Struct):
    """What a teacher sets for a class.

    Attributes:
        lowest_delay: airnode's pages play it with the lowest delay (WebCodecs) where the browser can; it
            applies when a page loads the class.
    """

    lowest_delay: bool


class AvoidQuery(msgspec.Struct):
    """Which node to publish to.

    Attributes:
        avoid: ids of nodes that just failed this publisher, with commas between them.
    """

    avoid: str = ""


class RoomsApi:
    """The handlers. They hold no state."""

    def __init__(
        self,
        *,
        authorizer: Authorizer,
        classes: Classes,
        stream_keys: StreamKeyPublisher,
        rooms: RoomStates,
        room_events: RoomEvents,
        room_nodes: RoomNodes,
        urls: ClassUrls,
    ) -> None:
        self._authorizer = authorizer
        self._classes = classes
        self._stream_keys = stream_keys
        self._rooms = rooms
        self._room_events = room_events
        self._room_nodes = room_nodes
        self._urls = urls

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/api/rooms/{room}", self.room)
        app.router.add_get("/api/rooms/{room}/events", self.room_events, allow_head=False)
        app.router.add_get("/api/rooms/{room}/stream-key", self.stream_key)
        app.router.add_post("/api/rooms/{room}/stream-key", self.renew_stream_key)
        app.router.add_post("/api/rooms/{room}/settings", self.change_settings)

    @operation(
        summary="State of a room",
        tag="rooms",
        returns=RoomView,
        errors=(401, 403, 503),
        auth="token",
        path_params=_ROOM,
    )
    async def room(self, request: web.Request) -> web.Response:
        """Return the state once; ``/events`` streams it."""
        self._authorizer.room_claims(request, request.match_info["room"])
        return json_response(self._rooms.view(request.match_info["room"]))

    @operation(
        summary="State of a room, as it changes",
        tag="rooms",
        description="Server-Sent Events: `event: room` with the room's state as JSON, at once and on every change.",
        returns="text/event-stream",
        errors=(401, 403, 503),
        auth="token",
        path_params=_ROOM,
    )
    async def room_events(self, request: web.Request) -> web.StreamResponse:
        """Stream until the client leaves, its token expires or the node drains."""
        claims = self._authorizer.room_claims(request, request.match_info["room"])
        return await self._room_events.stream(
            request, claims.room, stats=claims.user_type == "teacher", expires_at=claims.expires_at
        )

    @operation(
        summary="Where to publish",
        tag="classes",
        description="The room's origin while it reports, else the least loaded node. A publishing browser asks again "
        "when its node has failed.",
        query=AvoidQuery,
        returns=StreamKeyResponse,
        errors=(401, 403, 404, 503),
        auth="teacher",
        path_params=_ROOM,
    )
    async def stream_key(self, request: web.Request) -> web.Response:
        """Return the addresses and the stream key of a class."""
        room = request.match_info["room"]
        self._authorizer.require(request, Right.TEACHER, room)
        avoid = [each for each in request.query.get("avoid", "").split(",") if each]
        node = self._room_nodes.for_publisher(room, avoid[:_MAX_AVOIDED])
        found = await self._classes.by_room(room)
        return json_response(self._urls.ingest(request, found, node))

    @operation(
        summary="Renew the stream key",
        tag="classes",
        description="The old key stops working for new publishers at once; a running class goes on.",
        returns=StreamKeyResponse,
        errors=(401, 403, 404, 429, 503),
        auth="teacher",
        path_params=_ROOM,
    )
    async def renew_stream_key(self, request: web.Request) -> web.Response:
        """Return a new key, and where to publish with it."""
        room = request.match_info["room"]
        self._authorizer.require(request, Right.TEACHER, room)
        node = self._room_nodes.for_publisher(room)
        found = await self._classes.renew_stream_key(room)
        await self._stream_keys.refresh()
        log.info("stream_key_renewed", room=room)
        return json_response(self._urls.ingest(request, found, node))

    @operation(
        summary="Change a class's settings",
        tag="classes",
        body=ClassSettings,
        returns=ClassSettings,
        errors=(400, 401, 403, 404, 408, 413, 429, 503),
        auth="teacher",
        path_params=_ROOM,
    )
    async def change_settings(self, request: web.Request) -> web.Response:
        """Return the settings as they are now."""
        room = request.match_info["room"]
        self._authorizer.require(request, Right.TEACHER, room)
        body = await read_input(request, ClassSettings)
        found = await self._classes.set_lowest_delay(room, body.lowest_delay)
        log.info("class_settings_changed", room=room, lowest_delay=found.lowest_delay)
        return json_response(ClassSettings(found.lowest_delay))
