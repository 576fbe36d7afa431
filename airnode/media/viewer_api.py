"""The media port: playlists, parts and segments over HTTP, behind tokens.

The token is in the path (``/v/<token>/<room>/…``) and all URIs in playlists are relative. So a playlist has the same
bytes for all viewers, and every player sends the token with each request (docs/adr/0005). A URL with ``?jwt=`` only
redirects to the path form.

``live.mp4`` does not use aiohttp's writer: the feed writes directly to the transport, and the fragments, which all
viewers share, have the chunk framing of HTTP/1.1 already. So a fragment costs one ``write`` for each viewer, and no
task wakes up (:mod:`.live.feed`).
"""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Literal
from urllib.parse import quote

import msgspec
from aiohttp import HttpVersion11, web

from airnode.errors import InvalidInput
from airnode.media.hls.media_store import MEDIA_TYPE
from airnode.media.hls.window import PLAYLIST_TYPE
from airnode.media.live.feed import Ending, LiveViewer
from airnode.media.open_responses import OpenResponses
from airnode.media.room.watchable import WatchableRoom
from airnode.media.viewer_answers import ANSWER_HEADERS, Directives, ViewerAnswers
from airnode.media.viewer_connection import ViewerConnections
from airnode.web.http_listener import CONNECTIONS
from airnode.web.openapi import operation
from airnode.web.tokens import Claims

LIVE = "live.mp4"
_FIRST_WAIT_S = 15.0
_LIVE_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
#: A live response that ends has this long to send the bytes that its transport holds.
_FINISH_TIMEOUT_S = 5.0
#: Most unsent bytes in the kernel for a live viewer (TCP_NOTSENT_LOWAT). More bytes wait in the transport, bounded.
_UNSENT_BYTES = 128 << 10
_PATH = (("token", "A token from POST /api/token."), ("room", "The token's room."))


class Reload(msgspec.Struct, rename={"msn": "_HLS_msn", "part": "_HLS_part", "skip": "_HLS_skip"}):
    """Delivery directives of the media playlist (draft-pantos-hls-rfc8216bis 6.2.5), for the OpenAPI document.

    Attributes:
        msn: wait until the playlist has the segment with this media sequence number.
        part: with ``_HLS_msn``: wait only for this part of it, from 0.
        skip: ask for a delta update, without segments that the player knows.
    """

    msn: int | None = None
    part: int | None = None
    skip: Literal["YES", "v2"] | None = None


class MediaApi:
    """The handlers of the media port.

    A request that waits is answered with 503 after three target durations (draft-pantos-hls-rfc8216bis 6.2.5.2).

    Args:
        responses: keeps open responses, so that they can be ended.
        connections: answer most requests for playlists and media before they come here.
    """

    def __init__(self, answers: ViewerAnswers, connections: ViewerConnections, responses: OpenResponses) -> None:
        self._answers = answers
        self._connections = connections
        self._responses = responses

    def add_routes(self, app: web.Application) -> None:
        app[CONNECTIONS] = self._connections
        app.router.add_get(f"/v/{{token}}/{{room}}/{LIVE}", self.live)
        app.router.add_get("/v/{token}/{room}/{name}", self.media)
        app.router.add_get("/live/{room}/{name}", self.entry)

    @operation(
        summary="Enter with ?jwt=",
        tag="media",
        description="Redirects to the path form, which every player carries along.",
        returns=PLAYLIST_TYPE,
        status=302,
        errors=(401, 403, 503),
        auth="query",
        path_params=(_PATH[1], ("name", "`index.m3u8`.")),
    )
    async def entry(self, request: web.Request) -> web.StreamResponse:
        """Return a redirect (302) to ``/v/<token>/<room>/<name>``, for a valid token only."""
        token = request.query.get("jwt", "")
        room, name = request.match_info["room"], request.match_info["name"]
        self._answers.verify(token, room)
        location = f"/v/{quote(token)}/{quote(room)}/{quote(name)}"
        return web.Response(status=302, headers={"Location": location, "Cache-Control": "no-store"})

    @operation(
        summary="A playlist, part, segment or initialization section",
        tag="media",
        description="`index.m3u8` is the multivariant playlist; it leads to the others. The media playlist takes "
        "`_HLS_msn`, `_HLS_part` and `_HLS_skip` (blocking reload, delta update).",
        returns=PLAYLIST_TYPE,
        errors=(400, 401, 403, 404, 503),
        query=Reload,
        path_params=(*_PATH, ("name", "`index.m3u8`, or what a playlist names.")),
    )
    async def media(self, request: web.Request) -> web.StreamResponse:
        """Return a playlist, part, segment or initialization section, for a valid token only."""
        room, claims = self._enter(request)
        name = request.match_info["name"]
        self._answers.note(room, name, claims, asyncio.get_running_loop().time())
        response = await self.answer(request, room, name)
        # The request may have waited, and the student may have been removed since.
        self._answers.verify(request.match_info["token"], room.name)
        return response

    async def answer(self, request: web.Request, room: WatchableRoom, name: str) -> web.StreamResponse:
        """Return the response for ``name`` in ``room``; the request has been authorized."""
        room.note_request("window")
        directives = _directives(request) if name == room.window.media_uri else Directives()
        until_s = asyncio.get_running_loop().time() + self._answers.longest_wait_s(room)
        while (answer := self._answers.attempt(room, name, directives)) is None:
            await self._changed(room, until_s)
        body = answer.body[0] if len(answer.body) == 1 else b"".join(answer.body)
        return web.Response(body=body, headers=ANSWER_HEADERS[answer.kind])

    @operation(
        summary="The class as one endless fragmented MP4",
        tag="media",
        description="The initialization section, everything since the last key frame, then each fragment the moment it "
        "exists, with its time of arrival (`prft`). The codecs stand in the Content-Type. It ends when the class ends, "
        "when the codecs change, and when the node goes down.",
        returns=MEDIA_TYPE,
        errors=(401, 403, 404, 503),
        path_params=_PATH,
    )
    async def live(self, request: web.Request) -> web.StreamResponse:
        """Return the endless response, after the feed or the viewer has ended it."""
        room, claims = self._enter(request)
        self._answers.require_admission()
        return await self.stream(request, room, claims)

    async def stream(
        self, request: web.Request, room: WatchableRoom, claims: Claims | None = None
    ) -> web.StreamResponse:
        """Return the endless response after its end; the request has been authorized.

        Args:
            claims: the viewer's token; None: another node asks. Only students are counted as viewers.
        """
        room.note_request("live")
        until_s = asyncio.get_running_loop().time() + _FIRST_WAIT_S
        while not room.live.ready:
            await self._changed(room, until_s)
        if room.live.ended:
            raise self._answers.ended()
        self._answers.requests.add(1, "live")
        response = web.StreamResponse(headers={"Content-Type": room.live.content_type, **_LIVE_HEADERS})
        await response.prepare(request)
        if request.method == "GET" and request.transport is not None:
            ending: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
            with _counted(room, claims), self._kept(claims, ending):
                await self._stream(request, request.transport, response, room, ending)
        return response

    @contextlib.contextmanager
    def _kept(self, claims: Claims | None, ending: asyncio.Future[Ending]) -> Iterator[None]:
        """Let a removal end the response. The token is checked again: the request may have waited since the check."""
        if claims is None:
            yield
            return
        with self._responses.kept(claims, lambda: _end(ending, "removed")):
            if claims.user_type == "student":
                self._answers.require_not_removed(claims)
            yield

    async def _stream(
        self,
        request: web.Request,
        transport: asyncio.Transport,
        response: web.StreamResponse,
        room: WatchableRoom,
        ending: asyncio.Future[Ending],
    ) -> None:
        _limit_unsent(transport)
        viewer = LiveViewer(transport, chunked=request.version >= HttpVersion11, ended=lambda why: _end(ending, why))
        try:
            room.live.join(viewer)
            why = await ending
        finally:
            room.live.leave(viewer)
        if why not in ("stuck", "removed"):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FINISH_TIMEOUT_S):
                    return await response.write_eof()
        transport.abort()

    def _enter(self, request: web.Request) -> tuple[WatchableRoom, Claims]:
        """Return the room and the claims of a request with a valid token for it.

        Raises:
            Unauthenticated, Forbidden, NotFound, Unavailable: (401, 403, 404, 503).
        """
        name = request.match_info["room"]
        claims = self._answers.verify(request.match_info["token"], name)
        return self._answers.room(name), claims

    async def _changed(self, room: WatchableRoom, until_s: float) -> None:
        """Wait for the room to change.

        Raises:
            Unavailable: (503) it did not change in time, or the node is shutting down.
            NotFound: (404) the room has ended.
        """
        self._answers.require_changing(room)
        if not await room.waiters.wait(until_s):
            raise self._answers.timed_out()


def _end(ending: asyncio.Future[Ending], why: Ending) -> None:
    if not ending.done():
        ending.set_result(why)


@contextlib.contextmanager
def _counted(room: WatchableRoom, claims: Claims | None) -> Iterator[None]:
    """Count a student as viewer while its endless response is open."""
    if claims is None or claims.user_type != "student":
        yield
        return
    session_id = claims.session_id
    room.viewers.open_response(session_id, claims.user_id)
    try:
        yield
    finally:
        room.viewers.close_response(session_id, asyncio.get_running_loop().time())


def _limit_unsent(transport: asyncio.Transport) -> None:
    """Limit the bytes that the kernel buffers for a slow viewer; without a limit it buffers seconds of media."""
    sock = transport.get_extra_info("socket")
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if sock is not None and option is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, option, _UNSENT_BYTES)


def _directives(request: web.Request) -> Directives:
    query = request.query
    msn, part = _number(query.get("_HLS_msn"), "_HLS_msn"), _number(query.get("_HLS_part"), "_HLS_part")
    return Directives(msn, part, query.get("_HLS_skip", "") in ("YES", "v2"))


def _number(text: str | None, name: str) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise InvalidInput(f"{name} must be a number.")
    return int(text)
