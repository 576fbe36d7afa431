"""What other nodes pull from here: ``/relay/<room>/<name>`` on the media port, behind a node's credential.

Only rooms that are published here: an edge never pulls from an edge, so there are no loops.
"""

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter

from airnode.errors import Forbidden, NotFound, Unauthenticated
from airnode.media.http import LIVE, MULTIVARIANT, MediaApi, Reload
from airnode.media.rooms import LiveRoom, Rooms
from airnode.media.window import MEDIA_TYPE, PLAYLIST_TYPE
from airnode.web.auth import credential
from airnode.web.openapi import operation
from airnode.web.tokens import Tokens

_PATH = (("room", "The class's room."),)


class RelayApi:
    """The handlers; the answers are the media port's.

    Args:
        rooms: those that are published here.
    """

    def __init__(self, rooms: Rooms, media: MediaApi, tokens: Tokens, registry: CollectorRegistry) -> None:
        self._rooms = rooms
        self._media = media
        self._tokens = tokens
        requests = Counter("airnode_media_relay_requests_total", "Requests of other nodes", ["kind"], registry=registry)
        self._playlists, self._objects, self._lives = (requests.labels(kind) for kind in ("playlist", "object", "live"))
        self._refused = Counter(
            "airnode_media_relay_refused_total", "Requests without a node's credential", registry=registry
        )

    def add_routes(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get(f"/relay/{{room}}/{LIVE}", self.live)
        app.router.add_get("/relay/{room}/{name}", self.media)

    @operation(
        summary="For edges: a playlist, part, segment or initialization section of a class that is published here",
        tag="relay",
        description="Behind a credential that only nodes of the cluster can sign.",
        returns=PLAYLIST_TYPE,
        errors=(400, 401, 403, 404, 503),
        auth="node",
        query=Reload,
        path_params=(*_PATH, ("name", "`index.m3u8`, or what a playlist names.")),
    )
    async def media(self, request: web.Request) -> web.StreamResponse:
        """A playlist, a part, a segment, an initialization section."""
        room, name = self._enter(request), request.match_info["name"]
        (self._playlists if name in (MULTIVARIANT, room.window.media_uri) else self._objects).inc()
        return await self._media.answer(request, room, name)

    @operation(
        summary="For edges: the class as one endless fragmented MP4",
        tag="relay",
        returns=MEDIA_TYPE,
        errors=(401, 403, 404, 503),
        auth="node",
        path_params=_PATH,
    )
    async def live(self, request: web.Request) -> web.StreamResponse:
        """The endless response."""
        room = self._enter(request)
        self._lives.inc()
        return await self._media.stream(request, room)

    def _enter(self, request: web.Request) -> LiveRoom:
        try:
            self._tokens.verify_node(credential(request))
        except (Unauthenticated, Forbidden):
            self._refused.inc()
            raise
        room = self._rooms.get(request.match_info["room"])
        if room is None:
            raise NotFound("This node is not the origin of that class.")
        return room
