"""The HTTP hook for MediaMTX's authorization requests: a separate loopback port, with a secret in the path.

The address and the secret are not known outside this machine. A request without the secret is counted and answered with
404, like a path that does not exist.
"""

import ipaddress

import msgspec
import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry

from airnode.errors import InvalidInput, NotFound
from airnode.kernel.service import Service
from airnode.media.mediamtx.api import MediaMtxMetrics
from airnode.media.mediamtx.authorizer import AuthRequest, MediaMtxAuthorizer
from airnode.web.credentials import same_secret
from airnode.web.http_listener import HttpListener, HttpLog
from airnode.web.openapi import operation
from airnode.web.problems import problems
from airnode.web.sockets import bind

log = structlog.get_logger(__name__)

_MAX_BODY_BYTES = 64 << 10
_SHUTDOWN_S = 1.0


class AuthHook(Service):
    """The hook's server on ``127.0.0.1``; the port is bound when `start` returns."""

    name = "mediamtx-hook"

    def __init__(self, authorizer: MediaMtxAuthorizer, secret: str, metrics: MediaMtxMetrics) -> None:
        super().__init__()
        self._authorizer = authorizer
        self._secret = secret
        self._metrics = metrics
        self._listener: HttpListener | None = None

    @property
    def url(self) -> str:
        """Return the URL for MediaMTX's configuration (``authHTTPAddress``)."""
        if self._listener is None:
            raise RuntimeError("the hook has not been started")
        return f"http://127.0.0.1:{self._listener.port}/mediamtx/{self._secret}"

    async def start(self) -> None:
        app = web.Application(middlewares=[problems], client_max_size=_MAX_BODY_BYTES)
        app.router.add_post("/mediamtx/{secret}", self._answer)
        sockets = bind("127.0.0.1", 0, "MediaMTX's hook", "--host")
        self._listener = HttpListener(app, sockets, None, _SHUTDOWN_S, HttpLog(CollectorRegistry()))
        await self._listener.start()

    async def stop(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            await listener.stop()

    @operation(
        summary="MediaMTX asks whether somebody may publish",
        tag="mediamtx",
        body=AuthRequest,
        errors=(400, 401, 403, 404, 409, 429, 503),
        path_params=(("secret", "Known to the MediaMTX of this node alone"),),
    )
    async def _answer(self, request: web.Request) -> web.Response:
        secret = request.match_info["secret"]
        if not same_secret(secret, self._secret) or not _is_loopback(request.remote):
            self._metrics.intruders.inc()
            log.warning("mediamtx_hook_intruder", remote=request.remote)
            raise NotFound("There is nothing here.")
        try:
            auth_request = msgspec.json.decode(await request.read(), type=AuthRequest)
        except msgspec.DecodeError as error:
            raise InvalidInput(f"This is not what MediaMTX asks: {error}") from error
        await self._authorizer.decide(auth_request)
        return web.json_response({})


def _is_loopback(remote: str | None) -> bool:
    try:
        return ipaddress.ip_address(remote or "").is_loopback
    except ValueError:
        return False
