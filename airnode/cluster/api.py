"""The master's HTTP API: tokens and places, classes, rooms."""

from collections.abc import Collection
from typing import Literal

import msgspec
import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter

from airnode.bus.messages import NodeRecord, RoomPhase
from airnode.cluster.admission import Admission
from airnode.cluster.classes import Class, Classes
from airnode.cluster.codes import ROOM_PATTERN
from airnode.cluster.gate import Gate
from airnode.cluster.node_board import NodeBoard
from airnode.cluster.room_board import RoomBoard
from airnode.cluster.stream_keys import StreamKeyPublisher
from airnode.cluster.views import RoomView
from airnode.errors import FieldError, InvalidInput, NoHealthyNodes, Unauthenticated
from airnode.web.addresses import Addresses, PortName, is_loopback, rtmp_server
from airnode.web.clients import Clients
from airnode.web.credentials import credential
from airnode.web.inputs import json_response, read_input
from airnode.web.openapi import operation
from airnode.web.tokens import Claims, Tokens, is_token

log = structlog.get_logger(__name__)

_MAX_ID_CHARS = 128
_MAX_TITLE_CHARS = 120
_MAX_AVOID_CHARS = 512
_ROOM = (("room", "The class's room."),)


class TokenRequest(msgspec.Struct):
    """What ``POST /api/token`` takes, as query or JSON.

    Attributes:
        avoid: ids of nodes that just failed this student, with commas between them: the cluster may not know yet.
    """

    user_type: Literal["student", "teacher"]
    user_id: str
    code: str = ""
    secret: str = ""
    room: str = ""
    name: str = ""
    avoid: str = ""


class TokenResponse(msgspec.Struct, omit_defaults=True):
    """A token and the place to use it; what stands below ``title`` is for teachers."""

    token: str
    hls_url: str
    node_id: str
    node_name: str
    expires_at: int
    room: str
    title: str
    rtmp_url: str = ""
    rtmp_server: str = ""
    stream_key: str = ""
    class_code: str = ""
    class_url: str = ""


class StreamKeyResponse(msgspec.Struct):
    """Where and with which key the teacher publishes."""

    rtmp_url: str
    rtmp_server: str
    stream_key: str


class ClassRequest(msgspec.Struct):
    """A class to be made."""

    title: str
    room: str = ""


class ClassSummary(msgspec.Struct):
    """A class in a list."""

    room: str
    title: str
    class_code: str
    state: RoomPhase
    viewers: int


class ClassList(msgspec.Struct):
    """All classes."""

    classes: list[ClassSummary]


class MasterApi:
    """The handlers; all state is elsewhere."""

    def __init__(
        self,
        *,
        tokens: Tokens,
        admission: Admission,
        classes: Classes,
        stream_keys: StreamKeyPublisher,
        board: RoomBoard,
        nodes: NodeBoard,
        addresses: Addresses,
        clients: Clients,
        registry: CollectorRegistry,
    ) -> None:
        self._tokens = tokens
        self._admission = admission
        self._classes = classes
        self._stream_keys = stream_keys
        self._board = board
        self._nodes = nodes
        self._addresses = addresses
        self._clients = clients
        self._gate = Gate(tokens, admission, clients)
        self._issued = Counter("airnode_tokens_issued_total", "Tokens issued", ["user_type"], registry=registry)

    def add_routes(self, app: web.Application) -> None:
        """Add the API's routes."""
        app.router.add_post("/api/token", self.token)
        app.router.add_get("/api/classes", self.list_classes)
        app.router.add_post("/api/classes", self.create_class)
        app.router.add_get("/api/rooms/{room}", self.room)
        app.router.add_get("/api/rooms/{room}/events", self.room_events, allow_head=False)
        app.router.add_post("/api/rooms/{room}/stream-key", self.renew_stream_key)

    @operation(
        summary="Get a token and a place",
        tag="tokens",
        description="Students give the class code as `code`; teachers give the teacher secret as `secret` or as "
        "`Authorization: Bearer`. The HLS address leads to the node that was chosen. A student who is in the class "
        "gives the present token as `Authorization: Bearer` and stays the same viewer, however full the nodes are. "
        "Nodes that just failed the student stand in `avoid`, with commas between them: another one is chosen if any "
        "is there.",
        body=TokenRequest,
        returns=TokenResponse,
        errors=(400, 403, 404, 408, 413, 429, 503),
    )
    async def token(self, request: web.Request) -> web.Response:
        """Admit, place, sign."""
        address = self._clients.address(request)
        self._admission.check_rate(address)
        asked = await read_input(request, TokenRequest)
        _check_text("user_id", asked.user_id, _MAX_ID_CHARS)
        if asked.name:
            _check_text("name", asked.name, _MAX_ID_CHARS)
        if asked.avoid:
            _check_text("avoid", asked.avoid, _MAX_AVOID_CHARS)
        if asked.user_type == "teacher":
            found = await self._admission.teacher(address, asked.secret or credential(request), asked.room)
        else:
            found = await self._admission.student(address, asked.code, asked.room)
        await self._classes.saw_user(asked.user_id, asked.user_type, asked.name)
        held = self._held(request, asked, found.room)
        token, claims = self._tokens.issue(asked.user_id, asked.user_type, found.room, held)
        node = await self._place(claims, asked.avoid.split(",") if asked.avoid else (), renewed=held is not None)
        self._issued.labels(asked.user_type).inc()
        answer = TokenResponse(
            token=token,
            hls_url=f"{self._media_url(request, node)}/live/{found.room}/index.m3u8?jwt={token}",
            node_id=node.node_id,
            node_name=node.node_name,
            expires_at=claims.expires_at,
            room=found.room,
            title=found.title,
        )
        if asked.user_type == "teacher":
            ingest = self._ingest(request, found, node)
            answer.rtmp_url, answer.rtmp_server = ingest.rtmp_url, ingest.rtmp_server
            answer.stream_key, answer.class_code = ingest.stream_key, found.code
            answer.class_url = self._class_url(request, found)
        return json_response(answer)

    @operation(summary="List classes", tag="classes", returns=ClassList, errors=(401, 403, 429, 503), auth="teacher")
    async def list_classes(self, request: web.Request) -> web.Response:
        """All classes with their state."""
        self._gate.require_teacher(request)
        return json_response(ClassList([self._summary(each) for each in await self._classes.all()]))

    @operation(
        summary="Make a class",
        tag="classes",
        body=ClassRequest,
        returns=ClassSummary,
        status=201,
        errors=(400, 401, 403, 408, 409, 413, 429, 503),
        auth="teacher",
    )
    async def create_class(self, request: web.Request) -> web.Response:
        """Make a class with a code and a stream key of its own."""
        self._gate.require_teacher(request)
        asked = await read_input(request, ClassRequest)
        _check_text("title", asked.title.strip(), _MAX_TITLE_CHARS)
        if asked.room and not ROOM_PATTERN.match(asked.room):
            message = "A room is 1-63 small letters, digits, - and _, and starts with a letter or digit."
            raise InvalidInput(message, errors=[FieldError("room", message)])
        made = await self._classes.create(asked.title.strip(), asked.room or None)
        await self._stream_keys.refresh()
        log.info("class_created", room=made.room)
        return json_response(self._summary(made), status=201)

    @operation(
        summary="State of a room",
        tag="rooms",
        returns=RoomView,
        errors=(401, 403, 503),
        auth="token",
        path_params=_ROOM,
    )
    async def room(self, request: web.Request) -> web.Response:
        """Once; ``/events`` goes on."""
        self._gate.claims_for(request, request.match_info["room"])
        return json_response(self._board.view(request.match_info["room"]))

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
        """A stream that ends when the client leaves or the node drains."""
        claims = self._gate.claims_for(request, request.match_info["room"])
        return await self._board.stream(
            request, claims.room, stats=claims.user_type == "teacher", expires_at=claims.expires_at
        )

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
        """Make a new key."""
        self._gate.require_teacher(request, request.match_info["room"])
        room = request.match_info["room"]
        node = self._publisher_node(room)
        found = await self._classes.renew_stream_key(room)
        await self._stream_keys.refresh()
        log.info("stream_key_renewed", room=room)
        return json_response(self._ingest(request, found, node))

    def _held(self, request: web.Request, asked: TokenRequest, room: str) -> str | None:
        """The session of a student who renews a token that is still good."""
        given = credential(request)
        if asked.user_type != "student" or not is_token(given):
            return None
        try:
            claims = self._tokens.verify(given)
        except Unauthenticated:
            return None
        same = (claims.user_id, claims.user_type, claims.room) == (asked.user_id, asked.user_type, room)
        return claims.session_id if same else None

    async def _place(self, claims: Claims, avoid: Collection[str], *, renewed: bool) -> NodeRecord:
        """A place among the viewers; a teacher, who is none, gets the node to publish to. Who is in stays in."""
        origin = self._board.origin(claims.room)
        if claims.user_type == "student":
            try:
                return await self._nodes.place_viewer(claims.session_id, [*avoid, *self._nodes.severed(origin)])
            except NoHealthyNodes:
                if not renewed:
                    raise
        return self._publisher_node(claims.room, avoid)

    def _publisher_node(self, room: str, avoid: Collection[str] = ()) -> NodeRecord:
        return self._nodes.place_publisher(self._board.origin(room), avoid, silent=self._board.silent(room))

    def _summary(self, each: Class) -> ClassSummary:
        view = self._board.view(each.room)
        return ClassSummary(each.room, each.title, each.code, view.state, view.viewers)

    def _media_url(self, request: web.Request, node: NodeRecord) -> str:
        host = node.host or self._clients.hostname(request)
        return f"{node.scheme}://{host}:{node.media_port}"

    def _ingest(self, request: web.Request, found: Class, node: NodeRecord) -> StreamKeyResponse:
        server = rtmp_server(node.host or self._clients.hostname(request), node.rtmp_port)
        return StreamKeyResponse(f"{server}/{found.stream_key}", server, found.stream_key)

    def _class_url(self, request: web.Request, found: Class) -> str:
        """The link for students: one that also works from another machine, if there is one."""
        host = self._clients.host(request)
        if is_loopback(self._clients.hostname(request)) and (lan := self._addresses.network_host):
            host = f"{lan}:{self._addresses.ports[PortName.HTTP]}"
        return f"{self._clients.scheme(request)}://{host}/class/{found.code}"


def _check_text(path: str, text: str, most: int) -> None:
    if not 1 <= len(text) <= most or not text.isprintable():
        message = f"{path} must be 1 to {most} printable characters."
        raise InvalidInput(message, errors=[FieldError(path, message)])
