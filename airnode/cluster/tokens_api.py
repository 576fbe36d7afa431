"""``POST /api/token``: a token and a place for a student or a teacher."""

from typing import Literal

import msgspec
from aiohttp import web

from airnode.cluster.class_urls import ClassUrls
from airnode.cluster.room_states import RoomStates
from airnode.cluster.token_issuer import IssuedToken, TokenIssuer, TokenOrder
from airnode.web.clients import Clients
from airnode.web.credentials import credential
from airnode.web.inputs import json_response, read_input
from airnode.web.openapi import operation
from airnode.web.rate_limit import AttemptLimit
from airnode.web.tokens import StudentIdentity, Tokens

STUDENT_COOKIE = "airnode_student"


class TokenRequest(msgspec.Struct):
    """What ``POST /api/token`` takes, as query or JSON.

    Attributes:
        user_type: who joins: a student or a teacher.
        user_id: whom the token is for; at most 128 characters. name: the name to show; empty: the same as the id.
        code: the class code, for students. secret: for teachers: the teacher secret, or the teacher key of a class.
        room: the class, where no code names it; empty: the default class.
        avoid: ids of nodes that just failed this student, with commas between them; masters may not know yet.
        student: the student's signed identity from an earlier answer, for apps; browsers send it as a cookie. `new`:
            make one now, if the browser has none; its id then stands in the token in place of `user_id`.
    """

    user_type: Literal["student", "teacher"]
    user_id: str
    code: str = ""
    secret: str = ""
    room: str = ""
    name: str = ""
    avoid: str = ""
    student: str = ""


class TokenResponse(msgspec.Struct, omit_defaults=True):
    """A token and the place to use it; the fields from ``rtmp_url`` to ``class_url`` are for teachers.

    Attributes:
        hls_url: address of the class's playlist, on the node with the place.
        expires_at: unix seconds.
        user_id: who one is in this class, for everybody in it. name: how one is called there.
        student: a student's signed identity, the same in all classes: apps store it and send it with their next
            requests; browsers get it as a cookie, too.
        rtmp_url: address to publish to, with the stream key. rtmp_server: the same without the key.
        srt_url, rtsp_url, whip_url: the same for other protocols, where the node takes them.
        class_code: what students type to join. class_url: the page that students open.
        waiting: nothing can be played before the teacher begins; left out: the class is live.
        own_class: the teacher key of this class was given, which opens no other one; left out: all classes.
        lowest_delay: the teacher asks pages to play with the lowest delay; left out: no.
    """

    token: str
    hls_url: str
    node_id: str
    node_name: str
    expires_at: int
    room: str
    title: str
    user_id: str
    name: str = ""
    student: str = ""
    rtmp_url: str = ""
    rtmp_server: str = ""
    srt_url: str = ""
    rtsp_url: str = ""
    whip_url: str = ""
    stream_key: str = ""
    class_code: str = ""
    class_url: str = ""
    own_class: bool = False
    lowest_delay: bool = False
    waiting: bool = False


class TokensApi:
    """Reads the request, issues the token, and adds the addresses.

    Args:
        attempts: limits token requests per network.
        identity_ttl_s: how long students keep their signed identity.
    """

    def __init__(
        self,
        issuer: TokenIssuer,
        attempts: AttemptLimit,
        clients: Clients,
        urls: ClassUrls,
        tokens: Tokens,
        identity_ttl_s: float,
        rooms: RoomStates,
    ) -> None:
        self._issuer = issuer
        self._tokens = tokens
        self._identity_ttl_s = identity_ttl_s
        self._attempts = attempts
        self._clients = clients
        self._urls = urls
        self._rooms = rooms

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/api/token", self.token)

    @operation(
        summary="Get a token and a place",
        tag="tokens",
        description="Students give the class code as `code`; teachers give the teacher secret, or the teacher key of a "
        "class, as `secret` or as `Authorization: Bearer`. The HLS address leads to the node that was chosen. A "
        "student who is in the class gives the present token as `Authorization: Bearer` and stays the same viewer, "
        "however full the nodes are. Nodes that just failed the student stand in `avoid`, with commas between them: "
        "another one is chosen if any is there. A student whom the teacher removed gets 403 `removed`; a name that "
        "looks like a teacher's 400 `name_reserved`.",
        body=TokenRequest,
        returns=TokenResponse,
        errors=(400, 403, 404, 408, 413, 429, 503),
    )
    async def token(self, request: web.Request) -> web.Response:
        """Return the token with the addresses that fit the host that the client typed."""
        address = self._clients.address(request)
        self._attempts.check(address)
        body = await read_input(request, TokenRequest)
        issued = await self._issuer.issue(
            TokenOrder(
                user_type=body.user_type,
                user_id=body.user_id,
                address=address,
                code=body.code,
                secret=body.secret,
                credential=credential(request),
                room=body.room,
                name=body.name,
                avoid=body.avoid,
                student=body.student,
                cookie=request.cookies.get(STUDENT_COOKIE, ""),
            )
        )
        answer = self._response(request, issued)
        if body.user_type == "teacher":
            ingest = self._urls.ingest(request, issued.joined, issued.node)
            answer.rtmp_url, answer.rtmp_server = ingest.rtmp_url, ingest.rtmp_server
            answer.srt_url, answer.rtsp_url, answer.whip_url = ingest.srt_url, ingest.rtsp_url, ingest.whip_url
            answer.stream_key, answer.class_code = ingest.stream_key, issued.joined.code
            answer.class_url = self._urls.class_url(request, issued.joined)
        response = json_response(answer)
        if answer.student:
            self._remember(request, response, answer.student)
        return response

    def _remember(self, request: web.Request, response: web.Response, student: str) -> None:
        """Set the cookie. It says who a browser is, and opens nothing."""
        response.set_cookie(
            STUDENT_COOKIE,
            student,
            max_age=int(self._identity_ttl_s),
            path="/api/token",
            httponly=True,
            samesite="Lax",
            secure=self._clients.scheme(request) == "https",
        )

    def _signed(self, identity: StudentIdentity) -> str:
        return self._tokens.issue_identity(identity, self._identity_ttl_s)

    def _response(self, request: web.Request, issued: IssuedToken) -> TokenResponse:
        room, node = issued.joined.room, issued.node
        state = self._rooms.room(room)
        return TokenResponse(
            token=issued.text,
            hls_url=f"{self._urls.media_url(request, node)}/live/{room}/index.m3u8?jwt={issued.text}",
            node_id=node.node_id,
            node_name=node.node_name,
            expires_at=issued.claims.expires_at,
            room=room,
            title=issued.joined.title,
            waiting=state is None or state.phase in ("waiting", "ended"),
            user_id=issued.claims.user_id,
            name=issued.claims.name,
            student=self._signed(issued.identity) if issued.identity is not None else "",
            own_class=issued.claims.own_class,
            lowest_delay=issued.joined.lowest_delay,
        )
