"""The API from which other nodes pull rooms: ``/relay/<room>/<name>`` on the media port, for a node's credential.

Edges of the first tier pull the rooms that are published to this node. Edges of the second tier pull the rooms that
this node itself pulls from the origin (docs/adr/0009). The credential contains the tier of the edge, and the wrong tier
is refused: an edge never pulls from an edge of its own tier, so loops are impossible.
"""

import asyncio
import contextlib
from collections.abc import Iterator

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge

from airnode.config.sections.relay import RelaySection
from airnode.errors import Forbidden, NotFound, Unauthenticated
from airnode.media.hls.media_store import MEDIA_TYPE
from airnode.media.hls.window import PLAYLIST_TYPE
from airnode.media.relay.relayed_room import RelayedRoom
from airnode.media.relay.relays import Relays
from airnode.media.relay.tiers import FIRST, SECOND, EdgeNode, NoRelayPlace, RelayPlaces
from airnode.media.room.rooms import Rooms
from airnode.media.room.watchable import WatchableRoom
from airnode.media.viewer_answers import MULTIVARIANT
from airnode.media.viewer_api import LIVE, MediaApi, Reload
from airnode.web.credentials import credential
from airnode.web.openapi import operation
from airnode.web.tokens import RelayClaims, Tokens

_PATH = (("room", "The class's room."),)


class RelayApi:
    """The handlers. They answer like the media port.

    Args:
        rooms: the rooms that are published to this node.
        relays: the rooms that are pulled from other nodes.
    """

    def __init__(
        self,
        rooms: Rooms,
        relays: Relays,
        media: MediaApi,
        tokens: Tokens,
        section: RelaySection,
        registry: CollectorRegistry,
    ) -> None:
        self._rooms = rooms
        self._relays = relays
        self._section = section
        #: {(room, tier of the edges): places}; entries without edges are removed when the next entry is added.
        self._places: dict[tuple[str, int], RelayPlaces] = {}
        self._media = media
        self._tokens = tokens
        requests = Counter("airnode_media_relay_requests_total", "Requests of other nodes", ["kind"], registry=registry)
        self._playlists, self._objects, self._lives = (requests.labels(kind) for kind in ("playlist", "object", "live"))
        self._refused = Counter(
            "airnode_media_relay_refused_total",
            "Requests without a node's credential, or of the wrong tier",
            registry=registry,
        )
        self._turned_away = Counter(
            "airnode_media_relay_places_refused_total",
            "Requests of edges that relay.fanout left no place for",
            registry=registry,
        )
        edges = Gauge("airnode_media_relay_edge_nodes", "Places taken by edges that pull from here", registry=registry)
        edges.set_function(self._count)

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get(f"/relay/{{room}}/{LIVE}", self.live)
        app.router.add_get("/relay/{room}/{name}", self.media)

    @operation(
        summary="For edges: a playlist, part, segment or initialization section of a class that is published here",
        tag="relay",
        description="Behind a credential that only nodes of the cluster can sign, and that names the class and the "
        "edge's tier. Where `relay.fanout` leaves no place, the answer is 409 with the edges to ask in `parents`.",
        returns=PLAYLIST_TYPE,
        errors=(400, 401, 403, 404, 409, 503),
        auth="node",
        query=Reload,
        path_params=(*_PATH, ("name", "`index.m3u8`, or what a playlist names.")),
    )
    async def media(self, request: web.Request) -> web.StreamResponse:
        """Return a playlist, a part, a segment or an initialization section."""
        name = request.match_info["name"]
        with self._entered(request) as room:
            (self._playlists if name in (MULTIVARIANT, room.window.media_uri) else self._objects).inc()
            return await self._media.answer(request, room, name)

    @operation(
        summary="For edges: the class as one endless fragmented MP4",
        tag="relay",
        returns=MEDIA_TYPE,
        errors=(401, 403, 404, 409, 503),
        auth="node",
        path_params=_PATH,
    )
    async def live(self, request: web.Request) -> web.StreamResponse:
        """Stream the endless response."""
        with self._entered(request) as room:
            self._lives.inc()
            if not isinstance(room, RelayedRoom):
                return await self._media.stream(request, room)
            with room.live_child(request.transport):
                return await self._media.stream(request, room)

    @contextlib.contextmanager
    def _entered(self, request: web.Request) -> Iterator[WatchableRoom]:
        """Yield the room, and keep a place for the requesting edge until its request ends."""
        try:
            claims = self._tokens.verify_relay(credential(request))
            room = self._room(claims, request.match_info["room"])
        except (Unauthenticated, Forbidden):
            self._refused.inc()
            raise
        now_s = asyncio.get_running_loop().time
        places = self._places_of(claims, now_s())
        if not places.enter(EdgeNode(claims.node_id, claims.scheme, claims.host, claims.port), now_s()):
            self._turned_away.inc()
            raise NoRelayPlace(
                f"As many edges as relay.fanout allows ({self._section.fanout}) pull this class from here already.",
                places.children(now_s()) if claims.tier == FIRST else (),
            )
        try:
            yield room
        finally:
            places.leave(claims.node_id, now_s())

    def _room(self, claims: RelayClaims, name: str) -> WatchableRoom:
        """Return the room.

        Raises:
            Forbidden: (403) an edge of this tier must not pull it from here.
            NotFound: (404) this node does not have the room.
            NoRelayPlace: (409) this node is not in the first tier.
        """
        if claims.room != name:
            raise Forbidden("This credential is for another class.")
        own, relayed = self._rooms.get(name), self._relays.relayed(name)
        if own is not None:
            if claims.tier != FIRST:
                raise Forbidden("This node is the origin of that class: only edges of the first tier pull from it.")
            return own
        if relayed is None:
            raise NotFound("This node is not the origin of that class.")
        if claims.tier != SECOND:
            raise Forbidden("This node is an edge of that class: an edge never pulls from an edge of the same tier.")
        if relayed.tier != FIRST:
            raise NoRelayPlace("This node is no edge of the first tier in that class; ask its origin for one.")
        return relayed

    def _places_of(self, claims: RelayClaims, now_s: float) -> RelayPlaces:
        key = (claims.room, claims.tier)
        if key not in self._places:
            self._places = {each: places for each, places in self._places.items() if places.children(now_s)}
            self._places[key] = RelayPlaces(self._section.fanout, self._section.place_s)
        return self._places[key]

    def _count(self) -> float:
        now_s = asyncio.get_running_loop().time()
        return sum(len(places.children(now_s)) for places in self._places.values())
