"""airnode's WHIP port: a proxy in front of the WHIP port of a MediaMTX that airnode starts.

MediaMTX answers an offer with codecs in the browser's order, which begins with VP8. The proxy makes H.264 the first
codec of the answer. It refuses an offer without a playable codec, with the names of the codecs. All else is forwarded
unchanged.
"""

import ssl
from collections.abc import Callable

import aiohttp
from aiohttp import web
from aiohttp.typedefs import Handler
from multidict import CIMultiDict, CIMultiDictProxy
from prometheus_client import CollectorRegistry

from airnode.errors import InvalidInput, Unavailable
from airnode.kernel.service import Service
from airnode.media.mediamtx.sdp import prefer_h264, unplayable_video
from airnode.web.http_listener import HttpListener, HttpLog
from airnode.web.problems import problems
from airnode.web.sockets import bind

_MAX_BODY_BYTES = 256 << 10
_SHUTDOWN_S = 1.0
_TIMEOUT_S = 20.0
#: Headers that belong to one connection (RFC 9110 7.6.1), and headers that are set again.
_NOT_PASSED_ON = frozenset(
    {"connection", "content-encoding", "content-length", "date", "host", "keep-alive", "server", "te", "trailer"}
    | {"transfer-encoding", "upgrade", "x-forwarded-for", "x-forwarded-proto"}
)


class WhipProxy(Service):
    """The proxy on the WHIP port; the port is bound when `start` returns.

    Args:
        target: returns the URL of MediaMTX's WebRTC port on loopback.
    """

    name = "whip"

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, target: Callable[[], str]) -> None:
        super().__init__()
        self._host, self._port, self._tls = host, port, tls
        self._target = target
        self._session: aiohttp.ClientSession | None = None
        self._listener: HttpListener | None = None

    async def start(self) -> None:
        app = web.Application(middlewares=[_readable, problems], client_max_size=_MAX_BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        sockets = bind(self._host, self._port, "WHIP", "mediamtx.webrtc_port")
        self._session = aiohttp.ClientSession(auto_decompress=True, timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S))
        self._listener = HttpListener(app, sockets, self._tls, _SHUTDOWN_S, HttpLog(CollectorRegistry()))
        await self._listener.start()

    async def stop(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            await listener.stop()
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _pass_on(self, request: web.Request) -> web.Response:
        body = await request.read()
        is_offer = request.method == "POST" and request.content_type == "application/sdp"
        if is_offer and (codecs := unplayable_video(body.decode(errors="replace"))):
            raise InvalidInput(f"The picture is offered in {codecs}, which browsers cannot play here. Offer H.264.")
        status, headers, answer = await self._request(request, body)
        if is_offer and status == 201:
            answer = prefer_h264(answer.decode(errors="replace")).encode()
        return web.Response(status=status, headers=headers, body=answer)

    async def _request(self, request: web.Request, body: bytes) -> tuple[int, CIMultiDict[str], bytes]:
        """Return MediaMTX's (status, headers, body).

        Raises:
            Unavailable: (503) MediaMTX does not answer.
        """
        if self._session is None:
            raise Unavailable("The server is shutting down.")
        headers = _passed_on(request.headers)
        headers["X-Forwarded-For"] = request.remote or ""
        headers["X-Forwarded-Proto"] = request.scheme
        try:
            async with self._session.request(
                request.method, self._target() + request.raw_path, headers=headers, data=body, allow_redirects=False
            ) as response:
                return response.status, _passed_on(response.headers), await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unavailable("MediaMTX does not answer.", debug=repr(error)) from error


@web.middleware
async def _readable(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Allow pages of any web origin to read refusals too, as MediaMTX does for its answers."""
    response = await handler(request)
    response.headers.setdefault("Access-Control-Allow-Origin", "*")
    return response


def _passed_on(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """Return a copy without the headers that are not forwarded."""
    found = headers.copy()
    for name in _NOT_PASSED_ON:
        found.popall(name, None)
    return found
